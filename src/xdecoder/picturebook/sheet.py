"""A contact sheet: scenes beside their segments, a caption under each."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xdecoder.drawing.sheet import SheetStyle, draw_cell, join_cells
from xdecoder.picturebook.captions import captions
from xdecoder.picturebook.nouns import words_rng
from xdecoder.picturebook.scene import Scene

_PAPER = (250, 246, 236)
_TEXT = (60, 54, 50)
_MARGIN = 10


def contact_sheet(scenes: Sequence[Scene], *, columns: int = 4, cell: int = 200) -> Image.Image:
    """A picture of scenes: each with its segments tinted beside it and two of its captions below.

    Args:
        scenes: one or more scenes, of any size.
        columns: scenes in a row.
        cell: side in pixels at which a scene is shown.

    Raises:
        ValueError: without scenes, or where `columns` or `cell` leave no room.
    """
    if not scenes:
        raise ValueError("contact_sheet needs at least one scene")
    if columns < 1 or cell < 64:
        raise ValueError(f"columns must be at least 1 and cell at least 64, got {columns} and {cell}")
    style = SheetStyle(
        side=2 * cell + _MARGIN, gap=_MARGIN, font_size=max(10, cell // 16), paper=_PAPER, ink=_TEXT
    )
    cells: list[Image.Image] = []
    for scene in scenes:
        pair = Image.new("RGB", (style.side, cell), _PAPER)
        for column, picture in enumerate((scene.image, tinted(scene))):
            shown = Image.fromarray(picture).resize((cell, cell), Image.Resampling.LANCZOS)
            pair.paste(shown, (column * (cell + _MARGIN), 0))
        texts = captions(scene, words_rng(scene), count=2)
        cells.append(draw_cell(pair, texts=texts, style=style))
    return join_cells(cells, columns=min(columns, len(cells)), style=style)


def tinted(scene: Scene) -> NDArray[np.uint8]:
    """The picture with every segment washed in a color of its own and outlined, uint8 `H W 3`."""
    colors = np.zeros((len(scene.segments) + 1, 3), np.float32)
    for segment in scene.segments:
        hue = segment.id * 0.618034 % 1
        strength = (0.75, 0.95) if segment.is_thing else (0.35, 0.75)
        colors[segment.id] = np.array(colorsys.hsv_to_rgb(hue, *strength)) * 255
    mixed = 0.3 * scene.image + 0.7 * colors[scene.ids]
    edge = np.zeros(scene.ids.shape, bool)
    edge[:-1] |= scene.ids[:-1] != scene.ids[1:]
    edge[:, :-1] |= scene.ids[:, :-1] != scene.ids[:, 1:]
    mixed[edge] *= 0.35
    return mixed.astype(np.uint8)
