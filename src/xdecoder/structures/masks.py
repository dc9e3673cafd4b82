"""Masks in COCO's run-length code, and their boxes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypedDict, cast

import numpy as np
from jaxtyping import Bool, Int64
from PIL import Image, ImageDraw
from pycocotools import mask as coco

from xdecoder.images import MAX_PIXELS

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels; right and bottom lie just outside: a single pixel is 1 wide."""


class Rle(TypedDict):
    """A mask in COCO's compressed run-length code: its height and width, and the runs as text."""

    size: list[int]
    counts: str


Polygons = tuple[tuple[float, ...], ...]
"""Rings of x0, y0, x1, y1, ..., in pixels; three points or more each."""


def encode_rle(mask: Bool[np.ndarray, "H W"]) -> Rle:
    """A mask in COCO's compressed run-length code, ready for JSON."""
    return _from_coco(coco.encode(np.asfortranarray(mask, dtype=np.uint8)))


def decode_rle(rle: object, size: tuple[int, int] | None = None) -> Bool[np.ndarray, "H W"]:
    """The mask of a run-length code, in either of COCO's forms.

    Args:
        rle: `{"size": [height, width], "counts": text or list}`.
        size: the image's height and width, where they are known.

    Raises:
        ValueError: the code is another, is damaged or is of another size.
    """
    checked: Any = read_rle(rle, size)
    return np.asarray(coco.decode(checked)).astype(np.bool_)


def read_rle(value: object, size: tuple[int, int] | None = None) -> Rle:
    """A run-length code from outside: both of COCO's forms, each run checked before anything decodes it.

    Args:
        value: `{"size": [height, width], "counts": text or list}`.
        size: the image's height and width, where they are known.

    Raises:
        ValueError: the code is another, its runs are damaged or do not fill its size, or that is not `size`.
    """
    found = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    extent, counts = found.get("size"), found.get("counts")
    if (
        not isinstance(extent, (list, tuple))
        or len(extent) != 2
        or not all(type(n) is int and n > 0 for n in extent)
        or not isinstance(counts, (str, bytes, list))
    ):
        raise ValueError(
            'expected COCO\'s run-length code, {"size": [height, width], "counts": text or list}; got '
            f"{str(value)[:80]}"
        )
    height, width = extent
    if size is not None and (height, width) != size:
        raise ValueError(
            f"the mask is {width}x{height} and its image {size[1]}x{size[0]}; it belongs to another version "
            "of the image"
        )
    if height * width > MAX_PIXELS:
        raise ValueError(f"a mask of {width}x{height} pixels is over the limit of {MAX_PIXELS:,}")
    if isinstance(counts, list):
        if not all(type(n) is int and n >= 0 for n in counts):
            raise ValueError("run lengths must be whole numbers of pixels, none below 0")
        runs = sum(counts)
    else:
        counts = counts.encode("utf-8", "replace") if isinstance(counts, str) else counts
        runs = int(_runs(counts).sum())
    if runs != height * width:
        raise ValueError(f"the run lengths cover {runs} pixels of {width}x{height} = {height * width}")
    if isinstance(counts, list):
        plain: Any = {"size": [height, width], "counts": counts}
        return _from_coco(coco.frPyObjects(plain, height, width))
    return Rle(size=[height, width], counts=counts.decode("ascii"))


def rle_area(rle: Rle) -> int:
    """The pixels of a mask."""
    return int(_runs(rle["counts"].encode("ascii"))[1::2].sum())


def read_segmentation(value: object) -> Polygons | Rle:
    """An annotation's "segmentation" from outside: polygons, one bare polygon, or run lengths of either form.

    Rings of fewer than three points hold no pixel and are left out.

    Raises:
        ValueError: there is no mask, a coordinate is no finite number, or run lengths are damaged.
    """
    if isinstance(value, dict):
        return read_rle(cast("object", value))
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError("no mask: expected polygons or run lengths")
    listed = cast("list[Any]", list(value))
    rings = listed if isinstance(listed[0], (list, tuple)) else [listed]
    kept: list[tuple[float, ...]] = []
    for ring in rings:
        if not isinstance(ring, (list, tuple)) or not all(type(v) in (int, float) for v in ring):
            raise ValueError(f"a polygon is a list of numbers x0, y0, x1, y1, ..., got {str(ring)[:60]}")
        try:
            values = tuple(float(v) for v in cast("list[float]", ring))
        except OverflowError:
            values = (math.inf,)
        if not all(map(math.isfinite, values)):
            raise ValueError("a polygon has coordinates that are infinite or no number")
        if len(values) % 2:
            raise ValueError(f"a polygon has {len(values)} coordinates; expected x and y of each point")
        if len(values) >= 6:
            kept.append(values)
    if not kept:
        raise ValueError("no mask: a polygon needs three points or more")
    return tuple(kept)


def segmentation_rle(segmentation: Polygons | Rle, height: int, width: int) -> Rle:
    """The mask of a segmentation, for an image of this size; polygons are filled as pycocotools fills them.

    Raises:
        ValueError: run lengths are of another size.
    """
    if isinstance(segmentation, dict):
        return read_rle(segmentation, (height, width))
    rings: Any = [clipped for ring in segmentation if len(clipped := _clip(ring, height, width)) >= 6]
    if not rings:
        return encode_rle(np.zeros((height, width), np.bool_))
    return _from_coco(coco.merge(coco.frPyObjects(rings, height, width)))


def outlined_rle(polygons: Polygons, height: int, width: int) -> Rle:
    """The mask of polygons as PhraseCut draws them: by Pillow, at whole coordinates, borders included."""
    image = Image.new("1", (width, height))
    for ring in polygons:
        points = [int(v) for v in _clip(ring, height, width)]
        if len(points) >= 4:
            ImageDraw.Draw(image).polygon(points, outline=1, fill=1)
    return encode_rle(np.asarray(image))


def _from_coco(code: Any) -> Rle:
    return Rle(size=[int(n) for n in code["size"]], counts=code["counts"].decode("ascii"))


def _runs(counts: bytes) -> Int64[np.ndarray, " N"]:
    """The lengths of the runs, unmarked and marked pixels in turn.

    The code: a run is written by 5 bits a byte, the lowest first, plus 48, where bit 32 says that more follow
    and the last byte's bit 16 is the sign; from the fourth run on, the difference to the run before the last.

    Raises:
        ValueError: these are no such runs.
    """
    codes = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero((codes & 32) == 0)
    if not codes.size or codes.min() < 0 or codes.max() > 63 or not ends.size or ends[-1] != codes.size - 1:
        raise ValueError(f"damaged run lengths {counts[:40]!r}: not COCO's compressed code")
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 7:  # 32 bits
        raise ValueError(f"damaged run lengths {counts[:40]!r}: a run is too long")
    places = np.arange(codes.size) - np.repeat(starts, lengths)
    runs = np.add.reduceat((codes & 31) << (5 * places), starts)
    runs -= np.where(codes[ends] & 16, np.int64(1) << (5 * lengths), 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    if (runs < 0).any():
        raise ValueError(f"damaged run lengths {counts[:40]!r}: a run is negative")
    return runs


def _clip(ring: Sequence[float], height: int, width: int) -> list[float]:
    """A ring cut to thrice the image, which has it in its middle.

    pycocotools walks along every edge, so that a far point takes all memory; what is nearer is left to it.
    """
    points = np.clip(np.asarray(ring, np.float64).reshape(-1, 2), -1e9, 1e9)
    for axis, extent in ((0, width), (1, height)):
        for sign, bound in ((1.0, -float(extent)), (-1.0, 2.0 * extent)):  # Sutherland and Hodgman, 1974
            inside = sign * (points[:, axis] - bound) >= 0
            if inside.all():
                continue
            kept: list[np.ndarray] = []
            for i in range(len(points)):
                before, here = points[i - 1], points[i]
                if inside[i] != inside[i - 1]:
                    share = (bound - before[axis]) / (here[axis] - before[axis])
                    kept.append(before + share * (here - before))
                if inside[i]:
                    kept.append(here)
            points = np.array(kept, np.float64).reshape(-1, 2)
    return points.ravel().tolist()


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
