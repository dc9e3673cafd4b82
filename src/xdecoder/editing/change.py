"""`edit`: what every change of a region has in common, its bounds and its edges."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from xdecoder.editing.edges import grow, soften
from xdecoder.editing.options import EditOptions
from xdecoder.images import MAX_PIXELS, ImageSource, read_image
from xdecoder.structures.masks import check_mask

_FEATHER = 1 / 200


class Change(ABC):
    """What becomes of a region's pixels.

    Attributes:
        outside: it changes all but the region.
        reach: how far the region grows unless told otherwise, as a share of the picture's longer side.
    """

    outside: ClassVar[bool] = False
    reach: ClassVar[float] = 0.0

    @abstractmethod
    def apply(
        self, image: UInt8[np.ndarray, "H W 3"], area: Bool[np.ndarray, "H W"]
    ) -> UInt8[np.ndarray, "H W 3"]:
        """The picture with that area changed; what stands outside the area does not count."""


def edit(
    image: ImageSource,
    mask: Bool[np.ndarray, "_ _"],
    change: Change,
    *,
    grow_by: int | None = None,
    feather: int | None = None,
    strength: float = 1.0,
    size: int | None = None,
) -> UInt8[np.ndarray, "_ _ 3"]:
    """Change a region of a picture, and not a pixel besides.

    The change fades out toward the region's edge from the inside, so that whatever lies outside the (grown)
    region stays as it was, to the bit; unless `size` scales the whole.

    Args:
        image: the picture; see `xdecoder.images.read_image`.
        mask: the region, of the picture's size; see `Predictor.locate`.
        change: what to do: `Remove`, `Recolor`, `Blur`, `ReplaceBackground`, `Paint`.
        grow_by: pixels that the region grows first, or, negative, shrinks; by default as the change needs.
        feather: pixels within which the change fades out; by default a 200th of the longer side.
        strength: how much of the change is mixed in, 0 to 1.
        size: the result's longer side in pixels; by default the picture's own.

    Raises:
        ValueError: the mask has another size or marks nothing, or an option is out of range.
    """
    options = EditOptions(grow_by=grow_by, feather=feather, strength=strength, size=size)
    return edit_region(read_image(image), mask, change, options)


def edit_region(
    pixels: UInt8[np.ndarray, "H W 3"], mask: Bool[np.ndarray, "_ _"], change: Change, options: EditOptions
) -> UInt8[np.ndarray, "_ _ 3"]:
    """As `edit`, with its options as a record.

    Raises:
        ValueError: the mask has another size or marks nothing, or the result would be too large.
    """
    height, width, _ = pixels.shape
    check_mask(mask, (height, width))
    side = max(height, width)
    if options.size is not None:
        _check_size(options.size, height * width / side**2)
    growth = options.grow_by if options.grow_by is not None else round(change.reach * side)
    fade = options.feather if options.feather is not None else max(1, round(_FEATHER * side))
    region = grow(mask, growth)
    if not region.any():
        raise ValueError(f"nothing is left of the region after it shrank by {-growth} pixels; take off fewer")
    area = ~region if change.outside else region
    share = (options.strength * soften(area, fade))[..., None]
    changed = np.rint(pixels + share * (change.apply(pixels, area) - pixels.astype(np.float32)))
    return _scaled(changed.astype(np.uint8), side, options.size)


def _check_size(size: int, shape: float) -> None:
    """Refuse a size over the limit of images; `shape`: the short side over the long one."""
    if size * size * shape > MAX_PIXELS:
        raise ValueError(
            f"size {size} makes a picture over the limit of {MAX_PIXELS:,} pixels; choose a smaller one"
        )


def _scaled(pixels: UInt8[np.ndarray, "H W 3"], side: int, size: int | None) -> UInt8[np.ndarray, "H2 W2 3"]:
    if size is None or size == side:
        return pixels
    height, width = (max(1, round(n * size / side)) for n in pixels.shape[:2])
    return np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))
