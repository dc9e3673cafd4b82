"""Masks as polygons, for formats that have no run lengths, and polygons as shares of an image's sides.

A polygon goes through the middles of the edges between marked and other pixels: slanting borders become
straight lines, it has as many points as one through the pixels' middles, and a rule that fills by pixels'
middles, such as COCO's, gives the mask again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    rings = list(_rings(mask))
    areas = [_area(ring) for ring in rings]
    outer = sorted((i for i, area in enumerate(areas) if area > 0), key=lambda i: -areas[i])
    parts: list[Ring] = []
    for ring in (rings[i] for i in outer):
        if len(outer) == len(rings) or not any(_encloses(part, ring) for part in parts):
            parts.append(ring)
    return Outline(parts=tuple(parts), holes=len(rings) - len(outer))


def join_parts(parts: Sequence[Ring]) -> Ring:
    """Several parts as one polygon: lines that lead there and back, and cover nothing, join them."""
    joined = parts[0]
    for part in parts[1:]:
        apart = np.abs(joined[:, None] - part[None]).sum(axis=2)
        here, there = (int(i) for i in np.unravel_index(int(apart.argmin()), apart.shape))
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


def _rings(mask: Bool[np.ndarray, "H W"]) -> Iterator[Ring]:
    """Closed borders: around a part clockwise as seen on the screen, around a hole the other way."""
    start, following, width = _edges(mask)
    steps = following.tolist()
    seen = bytearray(len(steps))
    for first in range(len(steps)):
        path: list[int] = []
        edge = first
        while not seen[edge]:
            seen[edge] = 1
            path.append(edge)
            edge = steps[edge]
        if not path:
            continue
        corners = np.stack([start[path] % width, start[path] // width], axis=1)
        middles = (corners + np.roll(corners, -1, axis=0)) / 2
        ways = np.roll(middles, -1, axis=0) - middles
        yield middles[(ways != np.roll(ways, 1, axis=0)).any(axis=1)]


def _edges(mask: Bool[np.ndarray, "H W"]) -> tuple[Int64[np.ndarray, " E"], Int64[np.ndarray, " E"], int]:
    """Edges between marked and other pixels, each with the marked one at its right.

    Returns:
        The corner that each begins at (row × (W + 1) + column), the edge that follows it, and W + 1.
    """
    padded = np.pad(mask, 1)
    across, down = padded[:, 1:-1], padded[1:-1, :]
    width = mask.shape[1] + 1
    kinds = (
        (across[1:] & ~across[:-1], (0, 1)),  # above a pixel, to the right
        (down[:, :-1] & ~down[:, 1:], (0, width)),  # at its right, down
        (across[:-1] & ~across[1:], (1, 0)),  # below it, to the left
        (down[:, 1:] & ~down[:, :-1], (width, 0)),  # at its left, up
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
    return start, np.where(left, other, following), width


def _encloses(ring: Ring, other: Ring) -> bool:
    """Whether a ring that crosses none of this one lies within: a way out from one of its points tells."""
    x, y = other[0, 0] + 0.25, other[0, 1] + 0.125  # on no ring's corner
    ahead = np.roll(ring, -1, axis=0)
    crossed = (ring[:, 1] > y) != (ahead[:, 1] > y)
    begin, end = ring[crossed], ahead[crossed]
    meets = begin[:, 0] + (y - begin[:, 1]) / (end[:, 1] - begin[:, 1]) * (end[:, 0] - begin[:, 0])
    return int((meets > x).sum()) % 2 == 1


def _area(ring: Ring) -> float:
    x, y = ring[:, 0], ring[:, 1]
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2
