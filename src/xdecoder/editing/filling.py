"""A hole in a picture filled with patches from around it, from coarse to fine.

Each patch that touches the hole looks for the one most like it outside, and the hole's pixels become the mean
of what the found ones show (Wexler et al. 2007). The search takes its neighbors' finds and tries others at
random (PatchMatch, Barnes et al. 2009).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from xdecoder.editing.edges import depths
from xdecoder.editing.opencv import cv2

_RADIUS = 3
_PATCH = np.array([(y, x) for y in range(-_RADIUS, _RADIUS + 1) for x in range(-_RADIUS, _RADIUS + 1)])
_COMPARED = _PATCH[::2]
"""Every other pixel, as on a chessboard: enough to compare patches by, in half the time."""

_NEIGHBOURS = ((0, 1), (0, -1), (1, 0), (-1, 0))
_COARSEST = 24
_ROUNDS = 4
_LAST_ROUNDS = 2
_SEARCHED = 60_000
_CHUNK = 20_000


def fill(image: UInt8[np.ndarray, "H W 3"], hole: Bool[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """The picture with its hole filled; the same in every process.

    Where a hole leaves no patch whole, it is filled smoothly instead (Telea 2004).
    """
    levels = [(image.astype(np.float32), hole)]
    while min(levels[-1][1].shape) >= 2 * _COARSEST and depths(levels[-1][1]).max() > _RADIUS:
        smaller = _halved(*levels[-1])
        if not _Patches.of(smaller[1]).sources.size:
            break
        levels.append(smaller)
    picture, gap = levels[-1]
    filled = cv2.inpaint(picture.astype(np.uint8), gap.astype(np.uint8), _RADIUS, cv2.INPAINT_TELEA)
    generator = np.random.default_rng(0)
    matches: Int[np.ndarray, "h w 2"] | None = None
    for depth, (known, gap) in reversed(list(enumerate(levels))):
        patches = _Patches.of(gap)
        if not patches.sources.size:
            break
        enlarged = cv2.resize(filled.astype(np.float32), gap.shape[::-1], interpolation=cv2.INTER_LINEAR)
        filled = np.where(gap[..., None], enlarged, known)
        found = patches.random(len(patches.targets), generator)
        if matches is not None:
            guesses = patches.enlarge(matches)
            usable = patches.are_sources(guesses)
            found[usable] = guesses[usable]
        for _ in range(_LAST_ROUNDS if depth == 0 else _ROUNDS):
            costs = patches.search(filled, found, generator)
            filled = patches.vote(filled, found, costs)
        matches = patches.spread(found)
    return np.rint(filled).clip(0, 255).astype(np.uint8)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Patches:
    """The patches of a picture with a hole, by their middles.

    Attributes:
        hole: the pixels to fill.
        targets: rows and columns of patches that touch the hole.
        sources: of those that do not.
        is_source: the latter as a mask.
    """

    hole: Bool[np.ndarray, "H W"]
    targets: Int[np.ndarray, "N 2"]
    sources: Int[np.ndarray, "M 2"]
    is_source: Bool[np.ndarray, "H W"]

    @classmethod
    def of(cls, hole: Bool[np.ndarray, "H W"]) -> _Patches:
        side = 2 * _RADIUS + 1
        touching = cv2.dilate(hole.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
        whole = np.zeros(hole.shape, np.bool_)
        whole[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS] = True
        free = whole & ~touching
        return cls(
            hole=hole, targets=np.argwhere(whole & touching), sources=np.argwhere(free), is_source=free
        )

    def random(self, count: int, generator: np.random.Generator) -> Int[np.ndarray, "N 2"]:
        return self.sources[generator.integers(len(self.sources), size=count)]

    def spread(self, found: Int[np.ndarray, "N 2"]) -> Int[np.ndarray, "H W 2"]:
        """The finds at their targets' places; -1 elsewhere."""
        field = np.full((*self.hole.shape, 2), -1)
        field[self.targets[:, 0], self.targets[:, 1]] = found
        return field

    def enlarge(self, matches: Int[np.ndarray, "h w 2"]) -> Int[np.ndarray, "N 2"]:
        """The finds of a level half as large, as guesses for this one."""
        rows, columns = np.minimum(self.targets // 2, np.array(matches.shape[:2]) - 1).T
        return 2 * matches[rows, columns] + self.targets % 2

    def are_sources(self, places: Int[np.ndarray, "N 2"]) -> Bool[np.ndarray, " N"]:
        inside = np.all((places >= 0) & (places < self.hole.shape), axis=1)
        rows, columns = np.where(inside[:, None], places, 0).T
        return inside & self.is_source[rows, columns]

    def search(
        self,
        picture: Float[np.ndarray, "H W 3"],
        found: Int[np.ndarray, "N 2"],
        generator: np.random.Generator,
    ) -> Float[np.ndarray, " N"]:
        """Better finds, in place, and what they differ by: the sum of squares."""
        costs = self._costs(picture, self.targets, found)
        if len(self.targets) > _SEARCHED:  # those of the coarser level must do
            return costs
        places = np.full(self.hole.shape, -1)
        places[self.targets[:, 0], self.targets[:, 1]] = np.arange(len(self.targets))
        padded = np.pad(places, 1, constant_values=-1)
        for step in _NEIGHBOURS:
            rows, columns = (self.targets + step + 1).T
            neighbors = padded[rows, columns]
            candidates = np.where(neighbors[:, None] >= 0, found[neighbors] - step, -1)
            self._keep_better(picture, candidates, found, costs)
        reach = max(self.hole.shape) // 2
        while reach >= 1:
            jumps = generator.integers(-reach, reach + 1, size=found.shape)
            self._keep_better(picture, found + jumps, found, costs)
            reach //= 4
        return costs

    def vote(
        self,
        picture: Float[np.ndarray, "H W 3"],
        found: Int[np.ndarray, "N 2"],
        costs: Float[np.ndarray, " N"],
    ) -> Float[np.ndarray, "H W 3"]:
        """The hole's pixels as the mean of what the finds show there, similar ones counting more."""
        scale = 0.5 * np.quantile(costs, 0.75) + 1e-3
        weights = np.exp(-costs / scale)[:, None].astype(np.float32) + 1e-6
        total, count = np.zeros_like(picture), np.zeros((*self.hole.shape, 1), np.float32)
        for offset in _PATCH:
            rows, columns = (self.targets + offset).T
            shown_rows, shown_columns = (found + offset).T
            total[rows, columns] += weights * picture[shown_rows, shown_columns]
            count[rows, columns] += weights
        return np.where(self.hole[..., None] & (count > 0), total / np.maximum(count, 1e-9), picture)

    def _keep_better(
        self,
        picture: Float[np.ndarray, "H W 3"],
        candidates: Int[np.ndarray, "N 2"],
        found: Int[np.ndarray, "N 2"],
        costs: Float[np.ndarray, " N"],
    ) -> None:
        rows = np.flatnonzero(self.are_sources(candidates))
        new = self._costs(picture, self.targets[rows], candidates[rows])
        better = new < costs[rows]
        costs[rows[better]], found[rows[better]] = new[better], candidates[rows[better]]

    def _costs(
        self,
        picture: Float[np.ndarray, "H W 3"],
        targets: Int[np.ndarray, "K 2"],
        sources: Int[np.ndarray, "K 2"],
    ) -> Float[np.ndarray, " K"]:
        flat, width = picture.reshape(-1, 3), self.hole.shape[1]
        steps, here, there = (p[:, 0] * width + p[:, 1] for p in (_COMPARED, targets, sources))
        costs = np.empty(len(here), np.float32)
        for start in range(0, len(here), _CHUNK):
            part = slice(start, start + _CHUNK)
            apart = flat[here[part, None] + steps] - flat[there[part, None] + steps]
            costs[part] = np.einsum("kpc,kpc->k", apart, apart)
        return costs


def _halved(
    picture: Float[np.ndarray, "H W 3"], hole: Bool[np.ndarray, "H W"]
) -> tuple[Float[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]:
    """Half as large: the known pixels' means, and what is mostly hole."""
    size = ((hole.shape[1] + 1) // 2, (hole.shape[0] + 1) // 2)
    share = cv2.resize((~hole).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    known = cv2.resize(picture * ~hole[..., None], size, interpolation=cv2.INTER_AREA)
    return known / np.maximum(share, 1e-6)[..., None], share < 0.5
