"""A model, and perhaps some images, to everything that the page shows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from xdecoder.demo.facts import describe
from xdecoder.demo.held_out import POOL, SCENES, run_held_out
from xdecoder.demo.own_images import run_images
from xdecoder.demo.page import Demo
from xdecoder.predictor.predictor import Predictor
from xdecoder.vocabularies import Vocabulary


def build_demo(
    predictor: Predictor,
    source: str,
    *,
    images: Sequence[Path] = (),
    vocabulary: Vocabulary | None = None,
    phrases: Sequence[str] = (),
    scenes: int = SCENES,
    pool: int = POOL,
) -> Demo:
    """Give a model the held-out scenes and the user's images.

    Args:
        predictor: what the page is about; it reads every picture that is shown.
        source: what it was loaded from.
        images: the user's.
        vocabulary: the classes that these are divided into; by default the model's own.
        phrases: what to find in each of these.
        scenes: held-out scenes shown.
        pool: held-out scenes among which captions are searched, those included.

    Raises:
        ValueError: a phrase is empty, or the numbers of scenes do not go together.
    """
    facts = describe(predictor, source)
    begin = time.monotonic()
    words = vocabulary or predictor.default_vocabulary
    read, failures = run_images(predictor, images, vocabulary=words, phrases=phrases)
    held_out = run_held_out(predictor, count=scenes, pool=pool)
    return Demo(
        facts=facts,
        held_out=held_out,
        images=tuple(read),
        failures=tuple(failures),
        seconds=time.monotonic() - begin,
    )
