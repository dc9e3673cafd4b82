"""What one process trains on in one step: frozen records of tensors, and the contract of their source."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar, cast, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from xdecoder.picturebook import Scene


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One process's share of a step. Its fields are tensors, tuples of tensors, and plain values."""

    def to(self: B, device: torch.device) -> B:
        """The batch, with every tensor on a device."""
        moved = {f.name: _to(getattr(self, f.name), device) for f in dataclasses.fields(self)}
        return dataclasses.replace(self, **moved)


B = TypeVar("B", bound=Batch)
B_co = TypeVar("B_co", bound=Batch, covariant=True)


def _to(value: object, device: torch.device) -> object:
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, Batch):
        return value.to(device)
    if isinstance(value, tuple):
        return tuple(_to(item, device) for item in cast("tuple[object, ...]", value))
    return value


@final
@dataclass(frozen=True, kw_only=True)
class TextBatch(Batch):
    """Texts alone.

    Attributes:
        token_ids: (M, L).
        overlaps: cosine of the texts' bags of words.
    """

    token_ids: Int[Tensor, "M L"]
    overlaps: Float[Tensor, "M M"]


@final
@dataclass(frozen=True, kw_only=True)
class PatchBatch(Batch):
    """Pictures of one thing, and lists of texts among which each has one of its own.

    Attributes:
        images: normalized.
        token_ids: the texts of all lists.
        names: what each list is called.
        rows: per list, its rows in `token_ids`.
        wanted: per list, each image's own text, counted within the list.
    """

    images: Float[Tensor, "B 3 H W"]
    token_ids: Int[Tensor, "M L"]
    names: tuple[str, ...]
    rows: tuple[Int[Tensor, " _K"], ...]
    wanted: tuple[Int[Tensor, " B"], ...]


@final
@dataclass(frozen=True, kw_only=True)
class SceneBatch(Batch):
    """Whole scenes with everything that is known of them.

    Attributes:
        images: normalized; H and W are multiples of 32.
        names: the vocabulary, the background last.
        classes: per image, each segment's row of `names`.
        masks: per image, how much of each cell at the masks' stride each segment covers, 0 to 1.
        phrases: of all images, one after the other.
        phrase_lengths: tokens of each phrase, start and end included.
        phrase_counts: phrases of each image.
        phrase_masks: per image, what each phrase means, as `masks`.
        captions: `captions_each` for each image.
        caption_valid: true from the start token to the end token.
        caption_names: tokens that name a category or a color.
        captions_each: captions an image.
        caption_regions: per level of the decoder's memory, the cells that each caption is about.
        pairs: the text that retrieval learns from, of each image.
        pair_groups: such texts of the same words have the same number.
        questions: of all images, one after the other, padded as the answer head wants them.
        question_images: the image that each is about.
        answers: index of each answer.
        scenes: what the images show, for captions that the model makes up; empty where it need not.
    """

    images: Float[Tensor, "B 3 H W"]
    names: Int[Tensor, "K L1"]
    classes: tuple[Int[Tensor, " _N"], ...]
    masks: tuple[Float[Tensor, "_N H4 W4"], ...]
    phrases: Int[Tensor, "M1 L2"]
    phrase_lengths: tuple[int, ...]
    phrase_counts: tuple[int, ...]
    phrase_masks: tuple[Float[Tensor, "_N H4 W4"], ...]
    captions: Int[Tensor, "M2 L3"]
    caption_valid: Bool[Tensor, "M2 L3"]
    caption_names: Bool[Tensor, "M2 L3"]
    captions_each: int
    caption_regions: tuple[Bool[Tensor, "M2 _ _"], ...]
    pairs: Int[Tensor, "B L5"]
    pair_groups: Int[Tensor, " B"]
    questions: Int[Tensor, "M3 L4"]
    question_images: Int[Tensor, " M3"]
    answers: Int[Tensor, " M3"]
    scenes: tuple[Scene, ...] = ()


class BatchSource(ABC, Generic[B_co]):
    """Where batches come from: a pure function of the step, so that a resumed run sees what it would have."""

    @property
    @abstractmethod
    def images_a_step(self) -> tuple[int, ...]:
        """Images of each kind of batch, or part of one, over all processes, which share them evenly."""

    @abstractmethod
    def batch(self, step: int, rank: int, world_size: int) -> B_co:
        """The batch of one process in one step."""


class _Steps(Dataset[tuple[B, ...]]):
    """A source as a data set whose items are whole steps."""

    def __init__(self, source: BatchSource[B], rank: int, world_size: int, accumulate: int) -> None:
        self.source = source
        self.rank = rank
        self.world_size = world_size
        self.accumulate = accumulate

    def __getitem__(self, index: int) -> tuple[B, ...]:
        """The batches that this process takes one after the other: as if it were several processes."""
        ranks = range(self.rank * self.accumulate, (self.rank + 1) * self.accumulate)
        return tuple(self.source.batch(index, rank, self.world_size * self.accumulate) for rank in ranks)


def stream(
    source: BatchSource[B],
    *,
    first: int,
    last: int,
    rank: int,
    world_size: int,
    accumulate: int,
    workers: int,
) -> DataLoader[tuple[B, ...]]:
    """The batches of steps `first` to `last - 1`, made ahead by worker processes.

    Args:
        source: makes them; pickled to the workers.
        first: the first step.
        last: the step after the last.
        rank: this process.
        world_size: all processes.
        accumulate: into how many batches a process's share of a step is cut.
        workers: worker processes; 0 makes each batch when it is asked for.

    Raises:
        ValueError: a step's images cannot be shared out evenly.
    """
    shares = world_size * accumulate
    for images in source.images_a_step:
        if images % shares:
            raise ValueError(
                f"{images} images a step cannot be shared evenly by {world_size} process(es) of {accumulate} "
                f"batch(es) each; make them a multiple of {shares}"
            )
    return DataLoader(
        _Steps(source, rank, world_size, accumulate),
        sampler=range(first, last),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=2 if workers else None,
        persistent_workers=False,
    )
