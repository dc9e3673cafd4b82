"""Masks as polygons, for formats that have no run lengths."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool


def outlines(mask: Bool[np.ndarray, "H W"]) -> list[list[tuple[int, int]]]:
    """The outer outlines of a mask's parts, the largest first; holes are filled.

    Returns:
        For each part its points (x, y) in pixels, of which there are three or more: of the pixels on its
        border, the corners. Parts without an area, such as a single pixel, are left out.
    """
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    rings = [ring for ring in found if len(ring) >= 3]
    rings.sort(key=cv2.contourArea, reverse=True)
    return [[(int(x), int(y)) for x, y in ring.reshape(-1, 2)] for ring in rings]
