"""A region blurred."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageFilter

from xdecoder.editing.change import Change


@final
@dataclass(frozen=True, kw_only=True)
class Blur(Change):
    """Blur the region, so that it cannot be recognized.

    Attributes:
        radius: standard deviation of the blur in pixels; by default an eighth of the side of a square of the
            region's area.
    """

    radius: float | None = None

    def __post_init__(self) -> None:
        if self.radius is not None and not self.radius > 0:
            raise ValueError(f"the blur's radius must be over 0 pixels, got {self.radius}")

    def apply(
        self, image: UInt8[np.ndarray, "H W 3"], area: Bool[np.ndarray, "H W"]
    ) -> UInt8[np.ndarray, "H W 3"]:
        radius = self.radius or float(np.sqrt(np.count_nonzero(area))) / 8
        return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))
