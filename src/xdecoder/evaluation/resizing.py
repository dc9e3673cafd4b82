"""How a benchmark brings an image to the network's input size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, final

import numpy as np
from jaxtyping import UInt8
from PIL import Image

Interpolation = Literal["bilinear", "bicubic"]
Rounding = Literal["nearest", "down"]

_FILTERS: dict[Interpolation, Image.Resampling] = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


@final
@dataclass(frozen=True, kw_only=True)
class Resizing:
    """A size, and the way to it.

    The published evaluation resizes COCO, ADE20K and Cityscapes by Detectron2's `ResizeShortestEdge`
    (bilinear, nearest), the other data sets by torchvision's `Resize` (bicubic, down).

    Attributes:
        short_side: pixels that the shorter side becomes; both sides, where `square`.
        long_side: the longer side's limit; None for none.
        interpolation: of the pixels, by Pillow, which filters where it shrinks.
        rounding: of the sides, to the nearest pixel (halves up) or down.
        square: squeeze the image into a square.
    """

    short_side: int
    long_side: int | None = None
    interpolation: Interpolation = "bicubic"
    rounding: Rounding = "down"
    square: bool = False

    def __post_init__(self) -> None:
        if self.short_side < 1:
            raise ValueError(f"short_side must be at least 1 pixel, got {self.short_side}")
        if self.long_side is not None and self.long_side < self.short_side:
            raise ValueError(f"long_side {self.long_side} must not be less than short_side {self.short_side}")

    def with_short_side(self, short_side: int) -> Resizing:
        """The same way to another size; the limit of the longer side keeps its proportion."""
        long = None if self.long_side is None else round(self.long_side * short_side / self.short_side)
        return replace(self, short_side=short_side, long_side=long)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the network's input, before it is padded."""
        if self.square:
            return self.short_side, self.short_side
        shorter = min(height, width)
        sides = [
            side * (self.short_side / shorter) if side != shorter else self.short_side
            for side in (height, width)
        ]
        if self.long_side is not None and max(sides) > self.long_side:
            scale = self.long_side / max(sides)
            sides = [side * scale for side in sides]
        half = 0.5 if self.rounding == "nearest" else 1e-9  # a side that is whole stays whole
        rows, columns = (max(1, int(side + half)) for side in sides)
        return rows, columns

    def __call__(self, image: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H2 W2 3"]:
        """The image at its new size."""
        height, width = self.size(*image.shape[:2])
        if image.shape[:2] == (height, width):
            return image
        return np.asarray(Image.fromarray(image).resize((width, height), _FILTERS[self.interpolation]))

    def __str__(self) -> str:
        if self.square:
            return f"{self.short_side} x {self.short_side}, {self.interpolation}"
        limit = "" if self.long_side is None else f", long side at most {self.long_side}"
        rounded = "" if self.rounding == "nearest" else ", rounded down"
        return f"short side {self.short_side}{limit}, {self.interpolation}{rounded}"
