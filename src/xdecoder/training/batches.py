"""What one process trains on in one step: frozen records of tensors, and the contract of their source."""

from __future__ import annotations

import dataclasses
import pickle
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar, cast, final

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One process's share of a step. Its fields are tensors, tuples of tensors, and plain values.

    Attributes:
        skipped: samples that could not be read, and why; others stand in their places.
    """

    skipped: tuple[str, ...] = ()

    def to(self: B, device: torch.device) -> B:
        """The batch, with every tensor on a device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def share_memory(self: B) -> B:
        """The batch, with every tensor in memory that processes share.

        Raises:
            RuntimeError: there is no room in it.
        """
        return self._each(Tensor.share_memory_)

    def _each(self: B, change: Callable[[Tensor], Tensor]) -> B:
        changed = {f.name: _change(getattr(self, f.name), change) for f in dataclasses.fields(self)}
        return dataclasses.replace(self, **changed)


B = TypeVar("B", bound=Batch)
B_co = TypeVar("B_co", bound=Batch, covariant=True)


def _change(value: object, change: Callable[[Tensor], Tensor]) -> object:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Batch):
        return value._each(change)  # pyright: ignore[reportPrivateUsage]
    if isinstance(value, tuple):
        return tuple(_change(item, change) for item in cast("tuple[object, ...]", value))
    return value


@final
@dataclass(frozen=True, kw_only=True)
class NounTexts(Batch):
    """What captions say of segmented images: each image's nouns and then the caption itself.

    Attributes:
        texts: token ids, of all images one after the other.
        counts: texts of each image.
        groups: texts of the same number mean the same.
        name_groups: likewise, of the vocabulary's names.
    """

    texts: Int[Tensor, "M L"]
    counts: tuple[int, ...]
    groups: Int[Tensor, " M"]
    name_groups: Int[Tensor, " K"]


class BatchSource(ABC, Generic[B_co]):
    """Where batches come from: a pure function of the step, so that a resumed run sees what it would have."""

    @property
    @abstractmethod
    def images_a_step(self) -> tuple[int, ...]:
        """Images of each kind of batch, or part of one, over all processes, which share them evenly."""

    @abstractmethod
    def batch(self, step: int, rank: int, world_size: int) -> B_co:
        """The batch of one process in one step."""


def text_id(text: str) -> int:
    """A number by which equal texts know each other, the same in every process."""
    value = 0
    for byte in text.encode():
        value = (value * 1_000_003 + byte) % (1 << 61)
    return value


@final
@dataclass(frozen=True)
class _Failure:
    """Why there is no batch: an error in a worker process, in words for who uses the program."""

    message: str


class _Steps(Dataset["tuple[B, ...] | bytes | _Failure"]):
    """A source as a data set whose items are whole steps.

    What a worker process makes is put into shared memory here, where there is another way when that is full:
    left to torch it is done in a thread whose error nobody sees, and the training waits for ever.
    """

    def __init__(self, source: BatchSource[B], rank: int, world_size: int, accumulate: int) -> None:
        self.source = source
        self.rank = rank
        self.world_size = world_size
        self.accumulate = accumulate

    def __getitem__(self, index: int) -> tuple[B, ...] | bytes | _Failure:
        """The batches that this process takes one after the other: as if it were several processes.

        Pickled where they are to go through a pipe, since there is no shared memory for them.
        """
        ranks = range(self.rank * self.accumulate, (self.rank + 1) * self.accumulate)
        try:
            made = tuple(self.source.batch(index, rank, self.world_size * self.accumulate) for rank in ranks)
        except (ValueError, OSError) as error:
            return _Failure(str(error))
        if get_worker_info() is None:
            return made
        try:
            return tuple(batch.share_memory() for batch in made)
        except RuntimeError:
            return pickle.dumps(made)


def stream(
    source: BatchSource[B],
    *,
    first: int,
    last: int,
    rank: int,
    world_size: int,
    accumulate: int,
    workers: int,
) -> Iterator[tuple[B, ...]]:
    """The batches of steps `first` to `last - 1`, made ahead by worker processes.

    Args:
        source: makes them; pickled to the workers.
        first: number of the first step, counted from 0.
        last: the step after the last.
        rank: number of this process among all.
        world_size: how many processes share each step.
        accumulate: into how many batches a process's share of a step is cut.
        workers: worker processes; 0 makes each batch when it is asked for.

    Raises:
        ValueError: a step's images cannot be shared out evenly, or a batch cannot be made.
    """
    shares = world_size * accumulate
    for images in source.images_a_step:
        if images % shares:
            raise ValueError(
                f"{images} images a step cannot be shared evenly by {world_size} process(es) of {accumulate} "
                f"batch(es) each; make them a multiple of {shares}"
            )
    loader = DataLoader(
        _Steps(source, rank, world_size, accumulate),
        sampler=range(first, last),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=2 if workers else None,
        persistent_workers=False,
    )
    told = False
    for made in loader:
        if isinstance(made, _Failure):
            raise ValueError(made.message)
        if isinstance(made, bytes):
            if not told:
                warnings.warn(
                    "shared memory is full (/dev/shm; in a container, --shm-size): batches come through "
                    "pipes, which is slower; fewer run.workers need less",
                    stacklevel=1,
                )
            told = True
            made = pickle.loads(made)  # from this program's own worker
        yield made


@contextmanager
def told_of_workers() -> Generator[None]:
    """Around what takes batches of a stream: says in plain words that a worker process was killed.

    Raises:
        ChildProcessError: it was.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker (pid" not in str(error):
            raise
        raise ChildProcessError(
            "a worker process that makes batches was killed, most often because the memory was full: take "
            f"fewer (run.workers=0 makes batches in the training's process) and start the run again ({error})"
        ) from error
