"""Parts of an image, as users name them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from xdecoder.structures.masks import Box, check_mask

Prompt = Bool[np.ndarray, "H W"] | Box | str
"""A part of an image: a mask of its size, a box (left, top, right, bottom) in pixels, or a phrase."""


def prompt_mask(region: Bool[np.ndarray, "_ _"] | Box, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """The mask of a region that is no phrase.

    Args:
        region: a mask, or a box (left, top, right, bottom) in pixels; pixels that it cuts count.
        size: the image's height and width.

    Raises:
        ValueError: the mask is of another size or empty, or the box has not four sides or reaches out of the
            image.
    """
    if isinstance(region, np.ndarray):
        check_mask(region, size)
        return region
    if len(region) != 4:
        raise ValueError(
            "a region is a mask of the image's size, a box (left, top, right, bottom) in pixels, or a "
            f"phrase; got {region!r}"
        )
    height, width = size
    left, top, right, bottom = region
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise ValueError(
            "the region's box must be (left, top, right, bottom) within the image of "
            f"{width} x {height} pixels, got {tuple(region)}"
        )
    mask = np.zeros(size, np.bool_)
    mask[int(top) : -int(-bottom // 1), int(left) : -int(-right // 1)] = True
    return mask
