"""Pictures of a run: what the model sees in held-out scenes, and the learning curves."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from xdecoder.model import XDecoder
from xdecoder.picturebook import STUFF_CATEGORIES, THING_CATEGORIES, draw_scene
from xdecoder.predictor.predictor import Predictor
from xdecoder.tokenizer import Tokenizer


def draw_samples(
    model: XDecoder, tokenizer: Tokenizer, path: Path, *, count: int = 6, size: int = 256
) -> None:
    """Draw held-out scenes, and below each what the model finds in it.

    Args:
        model: in evaluation mode.
        tokenizer: its tokenizer.
        path: the picture that is written.
        count: scenes.
        size: side of a scene in pixels.
    """
    predictor = Predictor(model, tokenizer)
    sheet = Image.new("RGB", (count * size, 2 * size))
    for place in range(count):
        scene = draw_scene(place, split="val", size=size)
        found = predictor.segment(
            scene.image,
            [*THING_CATEGORIES, *STUFF_CATEGORIES],
            task="panoptic",
            things=THING_CATEGORIES,
            stuff=STUFF_CATEGORIES,
        )
        sheet.paste(Image.fromarray(scene.image), (place * size, 0))
        sheet.paste(found.draw(), (place * size, size))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
