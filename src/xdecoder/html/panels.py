"""The pictures of a page: regions painted, one thing lit, and files small enough to be inlined."""

from __future__ import annotations

import base64
import io
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageFilter

from xdecoder.drawing.regions import Region, draw_regions
from xdecoder.structures import PanopticSegmentation

SPOT = "what is meant"
_DIMMED = 0.38
_GRAY = 0.65


def regions_of(panoptic: PanopticSegmentation) -> list[Region]:
    """The segments, each named by its class."""
    return [Region(mask=panoptic.mask(s), label=s.label) for s in panoptic.segments]


def painted(panoptic: PanopticSegmentation) -> Image.Image:
    """The picture with its segments painted over it, without names.

    Raises:
        ValueError: the result has no picture.
    """
    if panoptic.image is None:
        raise ValueError("the result was loaded without its picture; give the picture")
    bare = [replace(region, text="") for region in regions_of(panoptic)]
    return draw_regions(panoptic.image, bare, opacity=0.55)


def lit(image: UInt8[np.ndarray, "H W 3"], mask: Bool[np.ndarray, "H W"]) -> Image.Image:
    """The picture dark and gray but for the mask, which is outlined."""
    pixels = image.astype(np.float32)
    gray = pixels.mean(axis=2, keepdims=True)
    dark = (pixels * (1 - _GRAY) + gray * _GRAY) * _DIMMED
    soft = Image.fromarray(mask.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(0.8))
    share = np.asarray(soft, np.float32)[..., None] / 255
    blended = (pixels * share + dark * (1 - share)).round().astype(np.uint8)
    return draw_regions(blended, [Region(mask=mask, label=SPOT, text="")], opacity=0.08)


def inlined(picture: Image.Image, *, quality: int = 84) -> str:
    """A picture as the text of a `data:` address."""
    stream = io.BytesIO()
    picture.convert("RGB").save(stream, "WEBP", quality=quality, method=4)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
