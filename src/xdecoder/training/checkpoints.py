"""Checkpoints that are whole or absent, and that any number of processes can continue from.

A checkpoint is a folder `step_00001200`, written by `torch.distributed.checkpoint` under a temporary name and
renamed when it is complete; a run that is killed while writing leaves only a folder that nobody reads. Every
tensor is stored by its name, so 2 processes' checkpoint loads into 1 or 8, sharded or not. Nothing random
needs to be kept: each step starts its own generators from (seed, step, rank).
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor, nn
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.optim import Optimizer

from xdecoder.jobs.distributed import World, wait_for_all
from xdecoder.training.optimizer import EMA, named_tensors, plain_name

_PREFIX = "step_"
_UNFINISHED = ".unfinished"


def newest(folder: Path) -> Path | None:
    """The newest complete checkpoint in a run's folder."""
    complete = [p for p in folder.glob(f"{_PREFIX}*") if (p / ".metadata").is_file() and not p.suffix]
    return max(complete, key=lambda p: p.name, default=None)


def step_of(checkpoint: Path) -> int:
    """The number of steps that a checkpoint had done."""
    return int(checkpoint.name.removeprefix(_PREFIX))


@contextmanager
def _alone() -> Generator[None]:
    """Without the warning that there is but one process, which is no fault."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


def save(
    folder: Path,
    step: int,
    *,
    world: World,
    model: nn.Module,
    optimizer: Optimizer,
    ema: EMA | None,
    keep: int = 2,
) -> Path:
    """Write a checkpoint and delete all but the newest `keep`.

    Args:
        folder: the run's checkpoints.
        step: steps done.
        world: all processes call this together.
        model: the trained module, wrapped or not.
        optimizer: its optimizer.
        ema: its moving average, if one is kept.
        keep: complete checkpoints kept.

    Raises:
        OSError: it could not be written (disk full); what was there before is untouched.
    """
    final = folder / f"{_PREFIX}{step:08d}"
    unfinished = final.with_suffix(_UNFINISHED)
    if world.is_first:
        shutil.rmtree(unfinished, ignore_errors=True)
    wait_for_all()
    try:
        with _alone():
            state_dict_saver.save(
                _state(model, optimizer, ema),
                storage_writer=FileSystemWriter(unfinished, single_file_per_rank=True, sync_files=True),
                no_dist=world.size == 1,
            )
        if world.is_first:
            shutil.rmtree(final, ignore_errors=True)
            unfinished.rename(final)
            _sync_folder(folder)
            for old in sorted(p for p in folder.glob(f"{_PREFIX}*") if not p.suffix)[:-keep]:
                shutil.rmtree(old, ignore_errors=True)
    except Exception as error:  # a process's error reaches all as one of the package's own kinds
        if world.is_first:
            shutil.rmtree(unfinished, ignore_errors=True)
        raise OSError(f"no checkpoint written at step {step}: {error}") from error
    finally:
        wait_for_all()
    return final


def load(
    checkpoint: Path,
    *,
    world: World,
    model: nn.Module,
    optimizer: Optimizer,
    ema: EMA | None,
) -> int:
    """Continue from a checkpoint, which any number of processes may have written; the steps it had done."""
    with _alone():  # loading writes into the tensors themselves
        state_dict_loader.load(
            _state(model, optimizer, ema), checkpoint_id=checkpoint, no_dist=world.size == 1
        )
    return step_of(checkpoint)


def start_from(run: Path, module: nn.Module) -> None:
    """Put the averaged weights of a run (its weights where it kept no average) into an unwrapped module.

    Raises:
        FileNotFoundError: the folder holds no run with a complete checkpoint.
        ValueError: the run trained another model.
    """
    checkpoint = newest(run / "checkpoints")
    if checkpoint is None:
        raise FileNotFoundError(f"{run} is no run's folder, or has no complete checkpoint yet")
    stored = FileSystemReader(checkpoint).read_metadata().state_dict_metadata
    source = "ema" if any(name.startswith("ema.") for name in stored) else "model"
    try:
        with _alone():
            state_dict_loader.load(
                {source: dict(named_tensors(module))}, checkpoint_id=checkpoint, no_dist=True
            )
    except (RuntimeError, CheckpointException) as error:
        raise ValueError(f"{checkpoint} is of another model: {error}") from error


def _state(model: nn.Module, optimizer: Optimizer, ema: EMA | None) -> dict[str, dict[str, Tensor]]:
    tensors = dict(named_tensors(model))
    moments = {
        f"{name}.{moment}": value
        for name, parameter in model.named_parameters()
        for moment, value in optimizer.state[parameter].items()
    }
    state = {"model": tensors, "optimizer": {plain_name(k): v for k, v in moments.items()}}
    return state if ema is None else {**state, "ema": ema.tensors}


def _sync_folder(folder: Path) -> None:
    """Make the renaming itself durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
