"""Bicubic, antialiased resizing (a = -0.5, normalized taps), whole or in tiles.

Resizing is linear and separable: rows and columns are each multiplied by a matrix with a narrow band. A tile
of the result needs only the part of the input under its band, so large results are made in bounded memory.
Where the band lies follows from the lengths alone, and its taps are computed on the device that they are
wanted on: nothing is read back from a device or copied to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from xdecoder.networks.linear import linear

_BAND = 8  # rows: of more, most entries are zero


def resize(x: Float[Tensor, "B C H W"], size: tuple[int, int]) -> Float[Tensor, "B C H2 W2"]:
    """Resize maps to (height, width)."""
    if x.shape[-2:] == size:
        return x
    x = x.permute(0, 2, 3, 1)
    # a GPU multiplies whole matrices faster than it starts many bands; a graph of free sizes has no loops
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        rows, columns = (
            _whole_matrix(old, new, x.device).to(x.dtype) for old, new in zip(x.shape[1:3], size, strict=True)
        )
        strip = (rows @ x.flatten(2)).unflatten(2, x.shape[2:])
        return (columns @ strip).permute(0, 3, 1, 2)
    row_bands, column_bands = (
        Axis.of(old, new).bands(_BAND, dtype=x.dtype, device=x.device)
        for old, new in zip(x.shape[1:3], size, strict=True)
    )
    strips: list[Tensor] = []
    for row in row_bands:
        strip = (row.matrix @ x[:, row.columns].flatten(2)).unflatten(2, x.shape[2:])
        strips.append(torch.cat([c.matrix @ strip[:, :, c.columns] for c in column_bands], dim=2))
    return torch.cat(strips, dim=1).permute(0, 3, 1, 2)


@dataclass(frozen=True, kw_only=True)
class Band:
    """Some consecutive rows of a matrix and the only columns in which they are not zero.

    Attributes:
        rows: the rows, a slice of the result.
        columns: the columns, a slice of the input.
        matrix: that part of the matrix.
    """

    rows: slice
    columns: slice
    matrix: Float[Tensor, "rows columns"]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis of a map on its way to a result: a matrix that is written out in bands only.

    Attributes:
        steps: (old, new) lengths of the resizings, in order; each takes the first `old` of what the one
            before it made.
        rows: the entries of the last resizing that are wanted.
    """

    steps: tuple[tuple[int, int], ...]
    rows: slice

    @classmethod
    def of(cls, length: int, new_length: int) -> Axis:
        """The axis that is resized once."""
        return cls(steps=((length, new_length),), rows=slice(0, new_length))

    def __len__(self) -> int:
        return self.rows.stop - self.rows.start

    def cut(self, rows: slice) -> Axis:
        """Some consecutive entries of the result."""
        start = self.rows.start
        return Axis(steps=self.steps, rows=slice(start + rows.start, start + rows.stop))

    def bands(self, rows: int, *, dtype: torch.dtype, device: torch.device) -> list[Band]:
        """The matrix, in groups of `rows` rows; whole where that is all of them."""
        length = self.rows.stop - self.rows.start
        return [
            self._band(slice(start, min(start + rows, length)), dtype, device)
            for start in range(0, length, rows)
        ]

    def _band(self, rows: slice, dtype: torch.dtype, device: torch.device) -> Band:
        needed = self.cut(rows).rows
        matrix: Tensor | None = None
        for old, new in reversed(self.steps):
            columns = _columns(old, new, needed)
            taps = _taps(old / new, needed, columns, device)
            matrix = taps if matrix is None else matrix @ taps
            needed = columns
        assert matrix is not None
        return Band(rows=rows, columns=needed, matrix=matrix.to(dtype))


def _columns(old: int, new: int, rows: slice) -> slice:
    """The only columns in which some rows of the matrix of a resizing are not zero."""
    scale = old / new
    reach = 2 * max(scale, 1.0)
    first, last = (rows.start + 0.5) * scale - reach, (rows.stop - 0.5) * scale + reach
    return slice(max(int(first + 0.5), 0), min(int(last + 0.5), old))


def _whole_matrix(old: int, new: int, device: torch.device) -> Float[Tensor, "new old"]:
    """The matrix that resizes one axis; of lengths that are not known yet, their ratio may be."""
    scale = float(old // new) if old % new == 0 else old / new
    return _taps(scale, slice(0, new), slice(0, old), device)


def _taps(scale: float, rows: slice, columns: slice, device: torch.device) -> Float[Tensor, "rows columns"]:
    """Part of the matrix that resizes one axis, in float64; `columns` are all that its rows need.

    `scale` is the old length over the new one.
    """
    precision = torch.float32 if device.type == "mps" else torch.float64  # Apple's has nothing wider
    centers = (torch.arange(rows.start, rows.stop, device=device, dtype=precision) + 0.5) * scale
    places = torch.arange(columns.start, columns.stop, device=device, dtype=precision) + 0.5
    x = ((places - centers[:, None]) / max(scale, 1.0)).abs()
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    taps = torch.where(x < 1, near, torch.where(x < 2, far, 0.0))
    return taps / taps.sum(1, keepdim=True)


def output_axis(length: int, padded: int, kept: int, output: int) -> Axis:
    """One axis of the way from mask logits to a result.

    Args:
        length: cells of the mask logits.
        padded: pixels of the padded input, which they are resized to first.
        kept: pixels of the input that are not padding; the rest is cut off.
        output: pixels of the result, which what is kept is resized to.
    """
    return Axis(steps=((length, padded), (kept, output)), rows=slice(0, output))


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A rectangle of a resized map.

    Attributes:
        rows: its rows in the result.
        columns: its columns in the result.
        values: (B, C, rows, columns).
    """

    rows: slice
    columns: slice
    values: Tensor


def resized_tiles(
    x: Float[Tensor, "C H W"], rows: Axis, columns: Axis, *, side: int | None = None
) -> Iterator[Tile]:
    """A map resized along both axes, a tile at a time.

    Args:
        x: what is resized, a tile at a time.
        rows: its vertical axis.
        columns: its horizontal axis.
        side: rows and columns of a tile at the most; by default what fits a CPU's cache, and more on other
            devices, where a tile costs a few launches whatever its size.
    """
    dtype = torch.float32 if x.dtype in (torch.float16, torch.bfloat16) else x.dtype
    side = side or (64 if x.device.type == "cpu" else 512)
    row_bands = rows.bands(side, dtype=dtype, device=x.device)
    column_bands = columns.bands(side, dtype=dtype, device=x.device)
    for row in row_bands:
        strip = linear(x[:, row.columns].to(dtype).transpose(1, 2), row.matrix)
        for column in column_bands:
            values = linear(strip[:, column.columns].transpose(1, 2), column.matrix)
            yield Tile(rows=row.rows, columns=column.rows, values=values)
