"""Checkpoints that are whole or absent, that hold no code, and that any number of processes can go on from.

A checkpoint is a folder `step_00001200`, filled under a temporary name and renamed when it is complete; a run
that is killed while writing leaves only a folder that nobody reads. Each process writes its share of the
tensors to `rank-00000.safetensors` and beside it `rank-00000.json`: the file's length and checksum, and of
each tensor the row of the whole at which the process's rows begin. Tensors are found by their names, so that
two processes' checkpoint loads into one or eight, sharded (FSDP2) or not. Nothing random needs to be kept:
each step starts its own generators from (seed, step, rank).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import zlib
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast, final

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Shard
from torch.optim import Optimizer

from xdecoder.jobs.distributed import World, number_of_first, wait_for_all
from xdecoder.jobs.files import name_file, read_file
from xdecoder.jobs.gather import mean_over_world
from xdecoder.training.optimizer import EMA, named_tensors, plain_name

_NAME: Final = re.compile(r"step_(\d{8,})")
_UNFINISHED: Final = ".unfinished"
_FORMAT: Final = 1
_BLOCK: Final = 1 << 24
_NONE, _NO_GOOD_ONE = -1, -2


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
        step: how many steps were taken.
        world: all processes call this together.
        model: the trained module, wrapped or not.
        optimizer: holds the moments of the module's parameters.
        ema: its moving average, if one is kept.
        keep: complete checkpoints kept.

    Raises:
        OSError: it could not be written (disk full); what was there before is untouched.
    """
    final = folder / f"step_{step:08d}"
    unfinished = final.with_suffix(_UNFINISHED)
    failure: Exception | None = None
    if world.is_first:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
    wait_for_all()
    try:
        _write_share(unfinished, _state(model, optimizer, ema), world)
    except (OSError, safetensors.SafetensorError) as error:
        failure = error
    failed = bool(mean_over_world(torch.tensor(float(failure is not None))) > 0)
    if world.is_first and failed:
        shutil.rmtree(unfinished, ignore_errors=True)
    if failed:
        raise OSError(f"no checkpoint written at step {step}: {failure or 'see the other processes'}")
    if world.is_first:
        shutil.rmtree(final, ignore_errors=True)
        unfinished.rename(final)
        _sync(folder)
        for old in _steps_in(folder)[:-keep]:
            shutil.rmtree(old, ignore_errors=True)
    wait_for_all()
    return final


def find_newest(folder: Path, world: World) -> tuple[Path | None, tuple[str, ...]]:
    """The newest good checkpoint in a run's folder, and what is wrong with those that are newer.

    All processes call this together; the first looks, and only it is told what is wrong.

    Raises:
        ValueError: there are checkpoints, but none of them is good.
    """
    found, bad = _NONE, list[str]()
    if world.is_first:
        for checkpoint in reversed(_steps_in(folder)):
            try:
                _read_index(checkpoint, thorough=True)
            except (ValueError, OSError) as error:
                bad.append(f"{checkpoint}: {error}")
                found = _NO_GOOD_ONE
            else:
                found = step_of(checkpoint)
                break
    found = number_of_first(found)
    if found == _NO_GOOD_ONE:
        raise ValueError(
            f"no checkpoint in {folder} can be read ({'; '.join(bad) or 'the first process says why'}): put "
            "a whole one back, or delete them to begin anew"
        )
    return (None if found == _NONE else folder / f"step_{found:08d}"), tuple(bad)


def step_of(checkpoint: Path) -> int:
    """The number of steps that a checkpoint had done."""
    return int(checkpoint.name.removeprefix("step_"))


def load(checkpoint: Path, *, model: nn.Module, optimizer: Optimizer, ema: EMA | None) -> int:
    """Continue from a checkpoint, which any number of processes may have written; the steps it had done.

    Raises:
        ValueError: it is damaged, or of another model.
    """
    shares = _read_index(checkpoint, thorough=False)
    wanted = _state(model, optimizer, ema)
    held = {name for share in shares for name in share.first_rows}
    if held != set(wanted):
        differing = sorted(held ^ set(wanted))
        raise ValueError(
            f"{checkpoint} is of another model or optimizer: {len(differing)} tensors differ, such as "
            f"{', '.join(differing[:3])}"
        )
    with ExitStack() as stack:
        files = [stack.enter_context(safetensors.safe_open(share.path, "pt")) for share in shares]
        for name, tensor in wanted.items():
            pieces = [
                (share.first_rows[name], file.get_slice(name))
                for share, file in zip(shares, files, strict=True)
                if name in share.first_rows
            ]
            _fill(tensor, pieces, f"{checkpoint}: {name}")
    return step_of(checkpoint)


@final
@dataclass(frozen=True, kw_only=True)
class _Share:
    """What one process wrote: its tensors' file, and where each begins in the whole."""

    path: Path
    first_rows: Mapping[str, int]


def _steps_in(folder: Path) -> list[Path]:
    """Checkpoints under their final names, oldest first."""
    return sorted((p for p in folder.glob("step_*") if _NAME.fullmatch(p.name)), key=step_of)


def _state(model: nn.Module, optimizer: Optimizer, ema: EMA | None) -> dict[str, Tensor]:
    state = {f"model.{name}": tensor for name, tensor in named_tensors(model)}
    for name, parameter in model.named_parameters():
        for moment, value in optimizer.state[parameter].items():
            state[f"optimizer.{plain_name(name)}.{moment}"] = value
    if ema is not None:
        state |= {f"ema.{name}": tensor for name, tensor in ema.tensors.items()}
    return state


def _own_rows(tensor: Tensor) -> tuple[int, Tensor]:
    """The first row of a tensor that this process holds, and its rows; all of one not shared out."""
    if not isinstance(tensor, DTensor):
        return 0, tensor
    (placement,) = tensor.placements
    if not (isinstance(placement, Shard) and placement.dim == 0):
        raise NotImplementedError(f"a tensor that is placed as {placement}")
    rows, parts = tensor.shape[0], tensor.device_mesh.size()
    return min(rows, -(-rows // parts) * tensor.device_mesh.get_local_rank()), tensor.to_local()


def _write_share(folder: Path, state: Mapping[str, Tensor], world: World) -> None:
    """Write this process's rows of what is shared out, and its part of what every process has."""
    first_rows: dict[str, int] = {}
    tensors: dict[str, Tensor] = {}
    for place, (name, tensor) in enumerate(state.items()):
        first, own = _own_rows(tensor)
        if own.numel() and (isinstance(tensor, DTensor) or place % world.size == world.rank):
            first_rows[name] = first
            tensors[name] = own.detach().cpu().contiguous()
    path = folder / f"rank-{world.rank:05d}.safetensors"
    save_file(tensors, path)
    _sync(path)
    index = {
        "format": _FORMAT,
        "processes": world.size,
        "bytes": path.stat().st_size,
        "crc32": _checksum(path),
        "first_rows": first_rows,
    }
    path.with_suffix(".json").write_text(json.dumps(index))
    _sync(path.with_suffix(".json"))


def _read_index(checkpoint: Path, *, thorough: bool) -> list[_Share]:
    """What each process wrote.

    Args:
        checkpoint: a folder under its final name.
        thorough: compare the files' checksums.

    Raises:
        ValueError: something is missing, damaged or not a checkpoint of this program.
    """
    shares: list[_Share] = []
    processes = 1
    while len(shares) < processes:
        path = checkpoint / f"rank-{len(shares):05d}.json"
        try:
            index = cast("dict[str, Any]", json.loads(read_file(path)))
            form, processes = int(index["format"]), int(index["processes"])
            length, checksum = int(index["bytes"]), int(index["crc32"])
            first_rows = {str(k): int(v) for k, v in dict(index["first_rows"]).items()}
        except FileNotFoundError as error:
            raise ValueError(
                f"no {path.name}: it was not written by this version, or is not whole"
            ) from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"{path.name} is damaged ({error!r})") from error
        if form != _FORMAT:
            raise ValueError(f"format {form} is not {_FORMAT}: it was written by another version")
        tensors = path.with_suffix(".safetensors")
        if not tensors.is_file() or tensors.stat().st_size != length:
            raise ValueError(f"{tensors.name} is missing or cut short")
        if thorough and _checksum(tensors) != checksum:
            raise ValueError(f"{tensors.name} is damaged: its checksum differs")
        try:
            with name_file(tensors), safetensors.safe_open(tensors, "pt") as file:
                names = set(file.keys())
        except safetensors.SafetensorError as error:
            raise ValueError(f"{tensors.name} is damaged: {error}") from error
        if names != set(first_rows):
            raise ValueError(f"{path.name} does not tell of the tensors of {tensors.name}")
        shares.append(_Share(path=tensors, first_rows=first_rows))
    return shares


def _fill(tensor: Tensor, pieces: list[tuple[int, Any]], where: str) -> None:
    """Write the rows that this process holds of a tensor, from the pieces that have them."""
    first, own = _own_rows(tensor)
    shapes = [tuple(piece.get_shape()) for _, piece in pieces]
    if tensor.ndim == 0 or not tensor.shape[0]:
        whole = shapes[0] if len(shapes) == 1 else None
    else:
        whole = (sum(shape[0] for shape in shapes if shape), *shapes[0][1:])
    if whole != tuple(tensor.shape):
        raise ValueError(
            f"{where} is of shape {whole}, expected {tuple(tensor.shape)}: it is another model's"
        )
    if tensor.ndim == 0:
        own.copy_(pieces[0][1][...])
        return
    filled = 0
    for (begin, piece), shape in zip(pieces, shapes, strict=True):
        low, high = max(first, begin), min(first + own.shape[0], begin + shape[0])
        if low < high:
            own[low - first : high - first].copy_(piece[low - begin : high - begin])
            filled += high - low
    if filled != own.shape[0]:
        raise ValueError(f"{where}: {own.shape[0] - filled} of its rows are in no file")


def _checksum(path: Path) -> int:
    value = 0
    with name_file(path), path.open("rb") as file:
        while block := file.read(_BLOCK):
            value = zlib.crc32(block, value)
    return value


def _sync(path: Path) -> None:
    """Make a file, or the renaming in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
