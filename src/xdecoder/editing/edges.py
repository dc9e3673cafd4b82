"""The edges of a region: grown or shrunken, and made soft."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from xdecoder.editing.opencv import cv2


def grow(mask: Bool[np.ndarray, "H W"], pixels: int) -> Bool[np.ndarray, "H W"]:
    """All that is at most so many pixels away; a negative number takes as much off instead.

    The picture's border is no edge: a mask that touches it does not shrink from there.
    """
    if pixels > 0:
        return depths(~mask) <= pixels
    return depths(mask) > -pixels


def soften(mask: Bool[np.ndarray, "H W"], pixels: int) -> Float[np.ndarray, "H W"]:
    """1 inside, falling smoothly to 0 within so many pixels of the edge; outside all is exactly 0."""
    rise = np.minimum(depths(mask) / (pixels + 1), 1)
    return rise * rise * (3 - 2 * rise)


def depths(mask: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """Distance of each pixel inside to the nearest outside, 1 at the edge; 0 outside."""
    return cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
