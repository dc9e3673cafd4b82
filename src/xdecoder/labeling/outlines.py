"""Masks as polygons, for formats that have no run lengths, and polygons as shares of an image's sides.

A polygon goes through the middles of the edges between marked and other pixels: slanting borders become
straight lines, it has as many points as one through the pixels' middles, and a rule that fills by pixels'
middles, such as COCO's, gives the mask again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64

Ring = Float[np.ndarray, "_ 2"]
"""Points (x, y) in pixels, three or more; pixel (0, 0) reaches from 0 to 1."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Outline:
    """A mask's border.

    Attributes:
        parts: the outer border of each part, the largest first; pixels that touch at a corner are one part.
        holes: how many holes the parts have. They are filled, so that what lies in one is no part.
    """

    parts: tuple[Ring, ...]
    holes: int


def trace_outline(mask: Bool[np.ndarray, "H W"]) -> Outline:
    """The border of a mask, without parts where it marks nothing."""
    edges = _find_edges(mask)
    loops = _loops(edges)
    rings = [_ring(edges, loop) for loop in loops]
    areas = [_area(ring) for ring in rings]
    holes = [loop for loop, area in zip(loops, areas, strict=True) if area < 0]
    outer = [i for i, area in enumerate(areas) if area > 0]
    if holes:
        filled = _enclosed(edges, np.concatenate(holes), mask.shape)
        outer = [i for i in outer if not filled[edges.row[loops[i][0]], edges.column[loops[i][0]]]]
    outer.sort(key=lambda i: -areas[i])
    return Outline(parts=tuple(rings[i] for i in outer), holes=len(holes))


def join_parts(parts: Sequence[Ring]) -> Ring:
    """Several parts as one polygon: lines that lead there and back, and cover nothing, join them."""
    joined = parts[0]
    for part in parts[1:]:
        here = int(np.abs(joined - part[0]).sum(axis=1).argmin())
        there = int(np.abs(part - joined[here]).sum(axis=1).argmin())
        detour = np.concatenate([part[there:], part[: there + 1]])
        joined = np.concatenate([joined[: here + 1], detour, joined[here:]])
    return joined


def to_shares(ring: Ring, size: tuple[int, int], *, whole: float = 1.0) -> list[list[float]]:
    """The points [x, y] of a ring as shares of the image's width and height.

    Args:
        ring: in pixels.
        size: the image's height and width.
        whole: what the whole side is: 1, or 100 for percent.
    """
    height, width = size
    return [[round(whole * x / width, 8), round(whole * y / height, 8)] for x, y in ring.tolist()]


def from_shares(values: Sequence[float], size: tuple[int, int], *, whole: float = 1.0) -> list[float]:
    """The inverse of `to_shares`, of coordinates x0, y0, x1, y1, ..."""
    height, width = size
    return [value * (height if i % 2 else width) / whole for i, value in enumerate(values)]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Edges:
    """Edges between marked and other pixels, each with the marked one at its right, those to the right first.

    Attributes:
        row: of the corner that each begins at.
        column: of that corner.
        direction: 0 to the right, 1 down, 2 to the left, 3 up.
        following: the edge that begins where each ends.
    """

    row: Int64[np.ndarray, " E"]
    column: Int64[np.ndarray, " E"]
    direction: Int64[np.ndarray, " E"]
    following: Int64[np.ndarray, " E"]


def _find_edges(mask: Bool[np.ndarray, "H W"]) -> _Edges:
    padded = np.pad(mask, 1)
    across, down = padded[:, 1:-1], padded[1:-1, :]
    width = mask.shape[1] + 1  # corners in a row
    kinds = (  # where there is an edge, and what leads from its pixel's corner to its beginning and its end
        (across[1:] & ~across[:-1], (0, 1)),  # above a pixel
        (down[:, :-1] & ~down[:, 1:], (0, width)),  # at its right
        (across[:-1] & ~across[1:], (1, 0)),  # below it
        (down[:, 1:] & ~down[:, :-1], (width, 0)),  # at its left
    )
    starts: list[np.ndarray] = []
    ends: list[np.ndarray] = []
    for there, (begin, end) in kinds:
        rows, columns = np.nonzero(there)
        corners = rows * width + columns
        starts.append(corners + begin)
        ends.append(corners + end)
    direction = np.repeat(np.arange(4), [len(edges) for edges in starts])
    start, end = np.concatenate(starts).astype(np.int64), np.concatenate(ends).astype(np.int64)
    order = np.argsort(start, kind="stable")
    place = np.searchsorted(start[order], end)
    following = order[place]
    other = order[np.minimum(place + 1, max(len(order) - 1, 0))]
    # Where two pixels touch at a corner two edges begin there: turning left keeps both in one part.
    left = (start[other] == end) & (direction[other] == (direction - 1) % 4)
    return _Edges(
        row=start // width,
        column=start % width,
        direction=direction,
        following=np.where(left, other, following),
    )


def _loops(edges: _Edges) -> list[Int64[np.ndarray, " L"]]:
    """The edges of each closed border, one after the other; a part's first one lies above a pixel."""
    following = edges.following.tolist()
    seen = bytearray(len(following))
    loops: list[Int64[np.ndarray, " L"]] = []
    for first in range(len(following)):
        path: list[int] = []
        edge = first
        while not seen[edge]:
            seen[edge] = 1
            path.append(edge)
            edge = following[edge]
        if path:
            loops.append(np.array(path, np.int64))
    return loops


def _ring(edges: _Edges, loop: Int64[np.ndarray, " L"]) -> Ring:
    """A border through the middles of its edges: clockwise on the screen around a part, else around holes."""
    corners = np.stack([edges.column[loop], edges.row[loop]], axis=1)
    middles = (corners + np.roll(corners, -1, axis=0)) / 2
    ways = np.roll(middles, -1, axis=0) - middles
    return middles[(ways != np.roll(ways, 1, axis=0)).any(axis=1)]


def _enclosed(
    edges: _Edges, borders: Int64[np.ndarray, " L"], size: tuple[int, ...]
) -> Bool[np.ndarray, "H W"]:
    """The pixels within holes, and what lies in them, of the edges around these."""
    down, up = (borders[edges.direction[borders] == way] for way in (1, 3))
    crossed = np.zeros(size, np.int32)  # no hole reaches the last column
    np.add.at(crossed, (edges.row[down], edges.column[down]), 1)
    np.add.at(crossed, (edges.row[up] - 1, edges.column[up]), -1)
    return np.cumsum(crossed, axis=1) > 0


def _area(ring: Ring) -> float:
    x, y = ring[:, 0], ring[:, 1]
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2
