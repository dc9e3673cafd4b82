"""Mask logits at the size of a result: `xdecoder.networks.resampling` in numpy.

Resizing is bicubic, antialiased (a = -0.5, normalized taps), linear and separable: rows and columns are each
multiplied by a matrix.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Float32

from xdecoder.tasks.sizes import ImageSizes

_ROWS = 64


def taps(old: int, new: int) -> Float[np.ndarray, "new old"]:
    """The matrix that resizes an axis, in float64."""
    scale = old / new
    centers = (np.arange(new) + 0.5) * scale
    x = np.abs((np.arange(old) + 0.5 - centers[:, None]) / max(scale, 1.0))
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    return weights / weights.sum(1, keepdims=True)


def output_matrices(
    cells: tuple[int, int], sizes: ImageSizes
) -> tuple[Float32[np.ndarray, "H h"], Float32[np.ndarray, "W w"]]:
    """What takes the rows and columns of maps through the padded and the resized input to the output."""
    rows, columns = (
        (taps(kept, output) @ taps(length, padded)[:kept]).astype(np.float32)
        for length, padded, kept, output in zip(cells, sizes.padded, sizes.resized, sizes.output, strict=True)
    )
    return rows, columns


def strips(
    maps: Float32[np.ndarray, "N h w"], rows: Float32[np.ndarray, "H h"], columns: Float32[np.ndarray, "W w"]
) -> Iterator[tuple[slice, Float32[np.ndarray, "N _ W"]]]:
    """Resized maps, some rows at a time, so that memory is bounded.

    Args:
        maps: what is resized.
        rows: the matrix of its vertical axis.
        columns: the matrix of its horizontal axis.
    """
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        used = np.flatnonzero(part.any(0))
        first, end = int(used[0]), int(used[-1]) + 1
        yield (
            slice(start, start + len(part)),
            np.matmul(np.matmul(part[:, first:end], maps[:, first:end]), columns.T),
        )
