"""LabelMe: a JSON file beside each image, with shapes."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Bool

from xdecoder.drawing.regions import Region
from xdecoder.images import read_stored
from xdecoder.labeling.outlines import trace_outline
from xdecoder.labeling.picture import ClassNumbers, LabeledPicture, Shapes, Simplifications
from xdecoder.structures.masks import mask_box
from xdecoder.structures.png import png_bytes

IMAGES = ""
"""Where `write` expects the images."""

_VERSION = "5.5.0"  # of LabelMe, whose fields these are


def encode_mask(mask: Bool[np.ndarray, "H W"]) -> dict[str, Any]:
    """A mask's shape: a PNG of its box in base64, and the box's first and last pixel."""
    left, top, right, bottom = (int(side) for side in mask_box(mask))
    patch = png_bytes(mask[top:bottom, left:right].astype(np.uint8))
    return {
        "shape_type": "mask",
        "points": [[left, top], [right - 1, bottom - 1]],
        "mask": base64.b64encode(patch).decode("ascii"),
    }


def decode_mask(text: object, points: Sequence[float], size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """The inverse of `encode_mask`.

    Args:
        text: the PNG in base64.
        points: x and y of the pixel that it lies at, and more.
        size: the image's height and width.

    Raises:
        ValueError: it is no such PNG, or does not lie within the image.
    """
    try:
        stored = read_stored(base64.b64decode(str(text), validate=True), name="its mask") > 0
    except binascii.Error as error:
        raise ValueError(f"its mask is no base64 ({error})") from error
    whole = np.zeros(size, np.bool_)
    if not all(abs(v) < 1e6 for v in points):
        raise ValueError("its mask lies outside the image")
    left, top = round(points[0]), round(points[1])
    bottom, right = top + stored.shape[0], left + stored.shape[1]
    if stored.ndim != 2 or left < 0 or top < 0 or bottom > size[0] or right > size[1]:
        raise ValueError("its mask lies outside the image")
    whole[top:bottom, left:right] = stored
    return whole


def write(
    folder: Path,
    pictures: Iterable[LabeledPicture],
    classes: ClassNumbers,
    shapes: Shapes,
    simplified: Simplifications,
) -> None:
    """Write a JSON file beside each image; the parts of an object have one `group_id`.

    Args:
        folder: that holds the images.
        pictures: images with their regions.
        classes: not needed: each shape names its own.
        shapes: how regions are written.
        simplified: where it is counted what the format cannot hold.
    """
    for picture in pictures:
        path = folder / PurePosixPath(picture.name).with_suffix(".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        height, width = picture.size
        data = {
            "version": _VERSION,
            "flags": {},
            "shapes": _shapes(picture.regions, shapes, simplified),
            "imagePath": PurePosixPath(picture.name).name,
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
        path.write_text(json.dumps(data, indent=1), encoding="utf-8")


def _shapes(regions: Sequence[Region], shapes: Shapes, simplified: Simplifications) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for number, region in enumerate(regions, start=1):
        if not region.mask.any():
            continue
        if shapes == "masks":
            drawn = [encode_mask(region.mask)]
        else:
            outline = trace_outline(region.mask)
            simplified.filled += outline.holes > 0
            drawn = [{"shape_type": "polygon", "points": ring.tolist()} for ring in outline.parts]
        described = "" if region.score is None else f"score {region.score:.3f}"
        common = {
            "label": region.label,
            "group_id": number if len(drawn) > 1 else None,
            "description": described,
            "flags": {},
        }
        found += [{**common, **shape} for shape in drawn]
    return found
