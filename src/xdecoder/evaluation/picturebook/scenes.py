"""Drawn scenes that no training shows, as a data set."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from xdecoder.data.dataset import Dataset
from xdecoder.data.records import Sample, StoredImage
from xdecoder.picturebook import VOCABULARY, Scene, draw_scene
from xdecoder.structures.result import png_bytes

SIZE = 128
"""Side of the pictures in pixels."""

_SCENES = 1000


@final
@dataclass(frozen=True, kw_only=True)
class DrawnImage(StoredImage):
    """The picture of a scene, drawn when it is asked for.

    Attributes:
        seed: that the scene is drawn from.
        unseen: with a (color, category) pair that no training scene shows.
        size: side in pixels.
    """

    seed: int
    unseen: bool
    size: int = SIZE

    @property
    def name(self) -> str:
        """What messages call the scene."""
        return f"scene {self.seed}"

    @cached_property
    def scene(self) -> Scene:
        """The picture and everything that is true of it."""
        return draw_scene(self.seed, split="val", size=self.size, held_out=self.unseen)

    def load(self, size: tuple[int, int] | None = None) -> UInt8[np.ndarray, "H W 3"]:
        """The picture."""
        return self.scene.image

    def encoded(self) -> bytes:
        """The picture as a PNG file."""
        return png_bytes(Image.fromarray(self.scene.image))


@final
@dataclass(frozen=True, kw_only=True)
class SceneSample(Sample):
    """A scene; its picture is its source."""

    source: DrawnImage


def drawn_scenes(split: str, *, limit: int | None = None) -> Dataset[SceneSample]:
    """The scenes of a benchmark: 1,000, or `limit`.

    Args:
        split: "val" for scenes like those of training, "unseen" for (color, category) pairs that no training
            scene shows.
        limit: how many.
    """
    return Dataset(
        [
            SceneSample(image_id=seed, source=DrawnImage(seed=seed, unseen=split == "unseen"))
            for seed in range(limit or _SCENES)
        ],
        name="picturebook",
        task="panoptic",
        split=split,
        vocabulary=VOCABULARY,
    )
