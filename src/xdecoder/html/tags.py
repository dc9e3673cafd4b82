"""Where the names of regions stand: in each region's widest place, none over another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from xdecoder.drawing.regions import Region, distance_to_border

LETTER = 0.022
"""Width of a letter, as a share of the picture's width."""

HEIGHT = 0.062
"""Height of a tag, as a share of the picture's width."""

_CELLS = 48
_MARGIN = 0.03
_CANDIDATES = 8


@dataclass(frozen=True, kw_only=True)
class Tag:
    """A name and where its middle stands.

    Attributes:
        text: the name.
        label: what it names, which decides its color.
        x: from the left, as a share of the picture's width.
        y: from the top, as a share of the picture's height.
    """

    text: str
    label: str
    x: float
    y: float


def place_tags(regions: Sequence[Region]) -> list[Tag]:
    """Places for the names of regions, the largest region's first; a name without room is left out.

    Args:
        regions: masks of one picture.
    """
    tags: list[Tag] = []
    taken: list[tuple[float, float, float, float]] = []
    for region in sorted(regions, key=lambda r: -int(np.count_nonzero(r.mask))):
        height, width = region.mask.shape
        tall = HEIGHT * width / height
        wide = LETTER * len(region.name) + _MARGIN
        for x, y in _middles(region, tall=tall, wide=wide):
            x = min(max(x, wide / 2), max(wide / 2, 1 - wide / 2))
            y = min(max(y, tall / 2), 1 - tall / 2)
            box = (x - wide / 2, y - tall / 2, x + wide / 2, y + tall / 2)
            if not any(box[0] < c and a < box[2] and box[1] < d and b < box[3] for a, b, c, d in taken):
                taken.append(box)
                tags.append(Tag(text=region.name, label=region.label, x=x, y=y))
                break
    return tags


def _middles(region: Region, *, tall: float, wide: float) -> list[tuple[float, float]]:
    """Points of a region, those farthest from its border first, distances being measured in tags."""
    small = Image.fromarray(region.mask.astype(np.uint8) * 255).resize((_CELLS, _CELLS), Image.Resampling.BOX)
    cells = np.asarray(small) >= 128
    if not cells.any():
        cells = np.asarray(small) > 0
    step_x, step_y = 1 / (_CELLS * wide), 1 / (_CELLS * tall)
    score = np.where(cells, distance_to_border(cells, step_x=step_x, step_y=step_y), -np.inf)
    ys, xs = np.indices(cells.shape)
    found: list[tuple[float, float]] = []
    for _ in range(_CANDIDATES):
        y, x = np.unravel_index(int(score.argmax()), score.shape)
        if not np.isfinite(score[y, x]):
            break
        found.append(((float(x) + 0.5) / _CELLS, (float(y) + 0.5) / _CELLS))
        score = np.where((abs(xs - x) * step_x < 0.7) & (abs(ys - y) * step_y < 0.7), -np.inf, score)
    return found
