"""Tensors of a file: read, and compared with what a model expects. What differs is an error."""

from __future__ import annotations

from collections.abc import Container, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import safetensors
import torch
from torch import Tensor

from xdecoder.jobs.files import name_file
from xdecoder.jobs.printable import printable
from xdecoder.weights.documents import one_line, refuse_pointer

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
"""Kinds of numbers that parameters may be stored in."""

LONGEST_NAME = 200
"""Characters of a tensor's name, which may come from anybody, that are shown."""

_LISTED = 12
_WIDENED = 1 << 18  # numbers widened at a time
_PART = 16 << 20  # bytes read at a time, if no tensor has more


def read_safetensors(
    path: Path, *, device: torch.device | str = "cpu", names: Sequence[str] | None = None
) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file that is there, all or those that are named.

    Raises:
        ValueError: it is damaged, cut off or a pointer of Git LFS.
    """
    refuse_pointer(path)
    with _damage_named(path), safetensors.safe_open(path, framework="pt", device=str(device)) as file:
        return {name: file.get_tensor(name) for name in (file.keys() if names is None else names)}


def stored_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of a `.safetensors` file that is there, by name; no tensor is read.

    Raises:
        ValueError: it is damaged, cut off or a pointer of Git LFS.
    """
    refuse_pointer(path)
    with _damage_named(path), safetensors.safe_open(path, framework="pt") as file:
        return {key: tuple(file.get_slice(key).get_shape()) for key in cast("list[str]", file.keys())}


def tensors_in_parts(path: Path, *, whole: Container[str] = ()) -> Iterator[dict[str, Tensor]]:
    """The tensors of a `.safetensors` file that is there, some at a time.

    The file is opened anew for each part, so that it is held in memory no longer than its tensors are. A
    tensor that is larger than a part comes by itself, some of its rows after the other.

    Args:
        path: the file.
        whole: names of tensors that come with all of their rows however large they are.

    Raises:
        ValueError: it is damaged, cut off or a pointer of Git LFS.
    """
    names = list(stored_shapes(path))
    row = 0
    while names:
        part: dict[str, Tensor] = {}
        with _damage_named(path), safetensors.safe_open(path, framework="pt") as file:
            while names and sum(tensor.nbytes for tensor in part.values()) < _PART:
                name = names[0]
                tensor: Tensor = file.get_tensor(name)
                if tensor.nbytes <= _PART or name in whole:
                    part[name] = tensor
                    del names[0]
                elif part:
                    break
                else:
                    rows = max(1, _PART * len(tensor) // tensor.nbytes)
                    part[name] = tensor[row : row + rows]
                    row += rows
                    if row >= len(tensor):
                        row = 0
                        del names[0]
                    break
        yield part


@contextmanager
def _damage_named(path: Path) -> Generator[None]:
    """Errors of the library as one that says what to do, and those of the system with the file's name."""
    try:
        with name_file(path):
            yield
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged or cut off ({one_line(error)}): copy or download it again"
        ) from error


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor, by name."""
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def check_shapes(
    expected: Mapping[str, Sequence[int]], actual: Mapping[str, Sequence[int]], *, where: object
) -> None:
    """Compare names and shapes.

    Raises:
        ValueError: they differ; lists missing, unexpected and differently shaped tensors.
    """
    groups = {
        "missing": [printable(key, most=LONGEST_NAME) for key in expected if key not in actual],
        "unexpected": [printable(key, most=LONGEST_NAME) for key in actual if key not in expected],
        "of another shape": [
            f"{key}: expected {list(expected[key])}, got {list(actual[key])}"
            for key in expected
            if key in actual and tuple(expected[key]) != tuple(actual[key])
        ],
    }
    if not any(groups.values()):
        return
    lines = [f"the tensors of {where} are not those of the configured model:"]
    for title, entries in groups.items():
        if entries:
            lines.append(f"{len(entries)} {title}:")
            lines += [f"  {entry}" for entry in entries[:_LISTED]]
            lines += [f"  and {len(entries) - _LISTED} more"] if len(entries) > _LISTED else []
    lines.append(
        "Nothing was loaded. Check that the file is a whole X-Decoder model, and that its configuration is "
        "the one it was trained with"
    )
    raise ValueError("\n".join(lines))


def check_numbers(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, where: object) -> None:
    """Refuse numbers that a model cannot compute with.

    Args:
        state: tensors of the expected names and shapes.
        expected: the model's own, on any device (the meta device too), for their kinds of numbers.
        where: the file, for errors.

    Raises:
        ValueError: a parameter is stored as something else than floating-point numbers (or a count as
            something else than whole ones), holds NaN or infinity, or is a negative variance; it is named.
    """
    for key, tensor in state.items():
        kinds = FLOATS if expected[key].is_floating_point() else (torch.int64,)
        if tensor.dtype not in kinds:
            raise ValueError(
                f"{where}: {key} is stored as {_kind(tensor.dtype)}; expected "
                f"{', '.join(map(_kind, kinds))}. Quantized or converted files are not read"
            )
    floats = {key: tensor for key, tensor in state.items() if tensor.is_floating_point()}
    if not floats:
        return
    # A sum over numbers that are not finite is none either, and costs a tenth of looking at each of them.
    sums = torch.stack([_sum(tensor) for tensor in floats.values()]).isfinite().tolist()
    suspects = [key for key, good in zip(floats, sums, strict=True) if not good]
    bad = [key for key in suspects if not bool(floats[key].isfinite().all())]
    if bad:
        raise ValueError(
            f"{where}: {_some(bad)} {'holds' if len(bad) == 1 else 'hold'} numbers that are not finite (NaN "
            "or infinity), so that no result would mean anything. Take an earlier or an undamaged file"
        )
    negative = [key for key in floats if key.endswith("running_var") and bool((floats[key] < 0).any())]
    if negative:
        raise ValueError(f"{where}: {_some(negative)} is a variance and holds negative numbers")


def _sum(tensor: Tensor) -> Tensor:
    """The sum in float32, some numbers at a time: those of fewer bits are widened to be added."""
    parts = [part.sum(dtype=torch.float32) for part in tensor.flatten().split(_WIDENED)]
    return torch.stack(parts).sum() if parts else tensor.new_zeros((), dtype=torch.float32)


def one_dtype(state: Mapping[str, Tensor], *, where: object) -> torch.dtype:
    """The kind of floating-point numbers that all tensors are stored in.

    Raises:
        ValueError: there are several; one of each is named.
    """
    examples = {tensor.dtype: key for key, tensor in state.items() if tensor.is_floating_point()}
    if len(examples) > 1:
        several = ", ".join(f"{key} is {_kind(dtype)}" for dtype, key in examples.items())
        raise ValueError(
            f"{where} mixes kinds of numbers ({several}): name one to load all in, dtype=torch.float32 "
            "or --dtype float32"
        )
    return next(iter(examples), torch.float32)


def _kind(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _some(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more tensors"
