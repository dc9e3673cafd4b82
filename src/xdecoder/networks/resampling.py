"""Bicubic, antialiased resizing (a = -0.5, normalized taps), whole or in tiles.

Resizing is linear and separable: rows and columns are each multiplied by a matrix with a narrow band. A tile
of the result needs only the part of the input under its band, so large results are made in bounded memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

_BAND = 32


def resize(x: Float[Tensor, "B C H W"], size: tuple[int, int]) -> Float[Tensor, "B C H2 W2"]:
    """Resize maps to (height, width)."""
    if x.shape[-2:] == size:
        return x
    x = x.permute(0, 2, 3, 1)
    row_bands, column_bands = (
        bands(resize_matrix(old, new), _BAND, dtype=x.dtype, device=x.device)
        for old, new in zip(x.shape[1:3], size, strict=True)
    )
    strips: list[Tensor] = []
    for row in row_bands:
        strip = (row.matrix @ x[:, row.columns].flatten(2)).unflatten(2, x.shape[2:])
        strips.append(torch.cat([c.matrix @ strip[:, :, c.columns] for c in column_bands], dim=2))
    return torch.cat(strips, dim=1).permute(0, 3, 1, 2)


@lru_cache(maxsize=256)
def resize_matrix(length: int, new_length: int) -> Float[Tensor, "new old"]:
    """The matrix that resizes one axis: float64, on the CPU."""
    identity = torch.eye(length, dtype=torch.float64)
    return F.interpolate(
        identity[None, None], (new_length, length), mode="bicubic", align_corners=False, antialias=True
    )[0, 0]


@dataclass(frozen=True, kw_only=True)
class Band:
    """Some consecutive rows of a matrix and the only columns in which they are not zero.

    Attributes:
        rows: the rows, a slice of the result.
        columns: the columns, a slice of the input.
        matrix: that part of the matrix, (..., rows, columns).
    """

    rows: slice
    columns: slice
    matrix: Tensor


def bands(
    matrix: Float[Tensor, "*stack rows length"], rows: int, *, dtype: torch.dtype, device: torch.device
) -> list[Band]:
    """Cut a banded matrix, or several of one shape alike, into groups of `rows` rows."""
    cut: list[Band] = []
    for start in range(0, matrix.shape[-2], rows):
        part = matrix[..., start : start + rows, :]
        used = part.ne(0).flatten(0, -2).any(0).nonzero()
        first, last = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
        cut.append(
            Band(
                rows=slice(start, start + part.shape[-2]),
                columns=slice(first, last),
                matrix=part[..., first:last].to(device=device, dtype=dtype),
            )
        )
    return cut


def output_matrix(length: int, padded: int, kept: int, output: int) -> Float[Tensor, "output length"]:
    """One axis of the way from mask logits to a result.

    Args:
        length: cells of the mask logits.
        padded: pixels of the padded input, which they are resized to first.
        kept: pixels of the input that are not padding; the rest is cut off.
        output: pixels of the result, which what is kept is resized to.
    """
    return resize_matrix(kept, output) @ resize_matrix(length, padded)[:kept]


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
    x: Float[Tensor, "C H W"], row_matrix: Tensor, column_matrix: Tensor, *, side: int = 128
) -> Iterator[Tile]:
    """The map `row_matrix @ x @ column_matrix.T`, a tile at a time.

    Args:
        x: the map.
        row_matrix: (height of the result, H), banded.
        column_matrix: (width of the result, W), banded.
        side: rows and columns of a tile at the most.
    """
    dtype = torch.float32 if x.dtype in (torch.float16, torch.bfloat16) else x.dtype
    row_bands = bands(row_matrix, side, dtype=dtype, device=x.device)
    column_bands = bands(column_matrix, side, dtype=dtype, device=x.device)
    for row in row_bands:
        strip = row.matrix @ x[:, row.columns].to(dtype)
        for column in column_bands:
            values = strip[:, :, column.columns] @ column.matrix.T
            yield Tile(rows=row.rows, columns=column.rows, values=values)
