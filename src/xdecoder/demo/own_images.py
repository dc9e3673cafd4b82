"""The model on the images that the user passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from xdecoder.images import read_image
from xdecoder.jobs.isolation import FailedImage, check_name
from xdecoder.predictor.predictor import Predictor
from xdecoder.structures import Grounding, PanopticSegmentation
from xdecoder.vocabularies import Vocabulary

LONGEST_SIDE = 1280
"""Pixels; larger images are made smaller first: the page shows no more."""


@dataclass(frozen=True, kw_only=True)
class ImageResult:
    """Everything a model said of one image.

    Attributes:
        name: of the file, without its folder.
        panoptic: its things and stuff.
        grounding: where the phrases are; None without phrases.
        caption: its description.
    """

    name: str
    panoptic: PanopticSegmentation
    grounding: Grounding | None
    caption: str


def run_images(
    predictor: Predictor, paths: Sequence[Path], *, vocabulary: Vocabulary, phrases: Sequence[str]
) -> tuple[list[ImageResult], list[FailedImage]]:
    """Give a model some images; what cannot be read is passed over and told.

    Args:
        predictor: what reads the images.
        paths: image files; one that cannot be read is among the failures.
        vocabulary: the classes that they are divided into.
        phrases: what to find in each of them.

    Raises:
        ValueError: a phrase is empty.
    """
    if not all(phrase.strip() for phrase in phrases):
        raise ValueError("an empty phrase means nothing; leave it out or write some words")
    read: list[ImageResult] = []
    failures: list[FailedImage] = []
    for path in paths:
        try:
            check_name(path)
            image = _shrunk(read_image(path))
        except (ValueError, OSError) as error:
            failures.append(FailedImage(path=path, error=error))
            continue
        encoded = predictor.encode(image)
        read.append(
            ImageResult(
                name=path.name,
                panoptic=predictor.segment(encoded, vocabulary),
                grounding=predictor.refer(encoded, phrases) if phrases else None,
                caption=predictor.caption(encoded).text,
            )
        )
    return read, failures


def _shrunk(image: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w 3"]:
    picture = Image.fromarray(image)
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    return np.asarray(picture)
