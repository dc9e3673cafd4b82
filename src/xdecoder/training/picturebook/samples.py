"""A picture of a run: what the model sees in held-out scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from PIL import Image

from xdecoder.drawing.sheet import SheetStyle, draw_cell, join_cells
from xdecoder.model import XDecoder
from xdecoder.picturebook import VOCABULARY, draw_scene
from xdecoder.predictor.predictor import Predictor
from xdecoder.structures.png import write_png
from xdecoder.tokenizer import Tokenizer

_SCENES: Final = 6  # the first of the held-out split
_SIDE: Final = 256  # of a scene, in pixels


def draw_samples(model: XDecoder, tokenizer: Tokenizer, path: Path) -> None:
    """Draw held-out scenes, and beside each what the model finds in it.

    Args:
        model: in evaluation mode.
        tokenizer: the one that the model was trained with.
        path: the picture that is written.
    """
    predictor, style = Predictor(model, tokenizer), SheetStyle(side=_SIDE)
    cells: list[Image.Image] = []
    for place in range(_SCENES):
        scene = draw_scene(place, split="val", size=_SIDE)
        found = predictor.segment(scene.image, VOCABULARY)
        cells += [draw_cell(picture, style=style) for picture in (Image.fromarray(scene.image), found.draw())]
    write_png(path, join_cells(cells, columns=4, style=style))
