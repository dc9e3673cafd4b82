"""A region kept, and all around it replaced by another picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageOps

from xdecoder.editing.change import Change
from xdecoder.images import ImageSource, read_image


@final
@dataclass(frozen=True, kw_only=True)
class ReplaceBackground(Change):
    """Set the region before another picture, which is scaled to fill the frame and cropped about its middle.

    Attributes:
        background: the other picture.
    """

    outside: ClassVar[bool] = True
    background: ImageSource

    def apply(
        self, image: UInt8[np.ndarray, "H W 3"], area: Bool[np.ndarray, "H W"]
    ) -> UInt8[np.ndarray, "H W 3"]:
        if not area.any():
            raise ValueError("the region is the whole picture: there is no background to replace")
        behind = Image.fromarray(read_image(self.background))
        size = (image.shape[1], image.shape[0])
        return np.asarray(ImageOps.fit(behind, size, Image.Resampling.LANCZOS))
