"""A region removed: filled from what is around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from jaxtyping import Bool, UInt8

from xdecoder.editing.change import Change
from xdecoder.editing.opencv import cv2

_RADIUS = 5


@final
@dataclass(frozen=True, kw_only=True)
class Remove(Change):
    """Fill the region from around it, by fast marching (Telea 2004)."""

    reach: ClassVar[float] = 1 / 60

    def apply(
        self, image: UInt8[np.ndarray, "H W 3"], area: Bool[np.ndarray, "H W"]
    ) -> UInt8[np.ndarray, "H W 3"]:
        if area.all():
            raise ValueError("the region is the whole picture: nothing is left to fill it from")
        return cv2.inpaint(image, area.astype(np.uint8), _RADIUS, cv2.INPAINT_TELEA)
