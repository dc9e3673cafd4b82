"""Masks in COCO's run-length code, and their boxes."""

from __future__ import annotations

from typing import Any, TypedDict, cast

import numpy as np
from jaxtyping import Bool
from pycocotools import mask as coco

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels; right and bottom lie just outside: a single pixel is 1 wide."""


class Rle(TypedDict):
    """A mask in COCO's compressed run-length code: its height and width, and the runs as text."""

    size: list[int]
    counts: str


def encode_rle(mask: Bool[np.ndarray, "H W"]) -> Rle:
    """A mask in COCO's compressed run-length code, ready for JSON."""
    code = cast("dict[str, Any]", coco.encode(np.asfortranarray(mask, dtype=np.uint8)))
    return {"size": [int(n) for n in code["size"]], "counts": code["counts"].decode("ascii")}


def decode_rle(rle: Rle) -> Bool[np.ndarray, "H W"]:
    """The mask of a run-length code.

    Raises:
        ValueError: the code is not `{"size": [height, width], "counts": text}`.
    """
    try:
        code = {"size": [int(n) for n in rle["size"]], "counts": rle["counts"].encode("ascii")}
        return np.asarray(coco.decode(cast("Any", code))).astype(np.bool_)
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise ValueError(
            'expected COCO\'s compressed run-length code, {"size": [height, width], "counts": text}; got '
            f"{str(rle)[:80]}"
        ) from error


def check_mask(mask: Bool[np.ndarray, "_ _"], size: tuple[int, int]) -> None:
    """Refuse a region that is not of this image, or nothing.

    Args:
        mask: the region.
        size: the image's height and width.

    Raises:
        ValueError: the mask has another size or marks no pixel.
    """
    if mask.shape != size:
        raise ValueError(f"the region must have the image's size {size}, got {mask.shape}")
    if not mask.any():
        raise ValueError("the region is empty: mark at least one pixel")


def mask_box(mask: Bool[np.ndarray, "H W"]) -> Box:
    """The smallest box around a mask; (0, 0, 0, 0) where it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        return (0.0, 0.0, 0.0, 0.0)
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def box_to_xywh(box: Box) -> list[float]:
    """COCO's form of a box: left, top, width, height."""
    left, top, right, bottom = box
    return [left, top, right - left, bottom - top]


def box_from_xywh(box: list[float]) -> Box:
    """The inverse of `box_to_xywh`."""
    left, top, width, height = (float(v) for v in box)
    return left, top, left + width, top + height
