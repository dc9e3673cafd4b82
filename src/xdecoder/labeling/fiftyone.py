"""FiftyOne's data set as JSON, `samples.json` and `metadata.json`, for its importer of `FiftyOneDataset`.

Without a `version` in the metadata the importer reads plain JSON, with masks as text, and finds the fields of
the samples by itself; with one it reads a dump of its database.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Bool

from xdecoder.drawing.regions import Region
from xdecoder.labeling.picture import ClassNumbers, LabeledPicture, Shapes, Simplifications
from xdecoder.structures.masks import mask_box

IMAGES = "data"
"""Where `write` expects the images."""

FIELD: Final = "predictions"
"""The samples' field that holds the detections."""

_HEADER: Final = 256  # bytes of an array's header, at the most
_WIDEST: Final = 8  # bytes of a value


def encode_mask(mask: Bool[np.ndarray, "H W"]) -> str:
    """A mask's box as FiftyOne writes arrays: numpy's file format, compressed by zlib, in base64."""
    left, top, right, bottom = (int(side) for side in mask_box(mask))
    stream = io.BytesIO()
    np.save(stream, mask[top:bottom, left:right], allow_pickle=False)
    return base64.b64encode(zlib.compress(stream.getvalue())).decode("ascii")


def decode_mask(
    text: object, box: tuple[float, float, float, float], size: tuple[int, int]
) -> Bool[np.ndarray, "H W"]:
    """The inverse of `encode_mask`.

    Args:
        text: the mask of the box.
        box: left, top, width and height, as shares of the image's sides.
        size: the image's height and width.

    Raises:
        ValueError: it is no such mask, or does not lie within the image.
    """
    height, width = size
    try:
        stored = _unpack(base64.b64decode(str(text), validate=True), height * width)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise ValueError(f"its mask is none of FiftyOne's ({error})") from error
    if not all(0 <= share <= 1 for share in box):  # NaN fails
        raise ValueError("its box lies outside the image")
    left, top = round(box[0] * width), round(box[1] * height)
    if top + stored.shape[0] > height or left + stored.shape[1] > width:
        raise ValueError("its mask lies outside the image")
    whole = np.zeros(size, np.bool_)
    whole[top : top + stored.shape[0], left : left + stored.shape[1]] = stored
    return whole


def _unpack(packed: bytes, most: int) -> Bool[np.ndarray, "H W"]:
    """An array of at most so many values, where its header says that and no more is unpacked."""
    unpacked = zlib.decompressobj().decompress(packed, _WIDEST * most + _HEADER)
    stream = io.BytesIO(unpacked)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("another version of numpy's format")
    shape, by_columns, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype.kind not in "bu" or len(shape) != 2 or not 0 < shape[0] * shape[1] <= most:
        raise ValueError(f"an array of {dtype} of shape {shape}")
    values = np.frombuffer(stream.read(), dtype)
    return values.reshape(shape, order="F" if by_columns else "C") > 0


def write(
    folder: Path,
    pictures: Iterable[LabeledPicture],
    classes: ClassNumbers,
    shapes: Shapes,
    simplified: Simplifications,
) -> None:
    """Write `samples.json` and `metadata.json`; `shapes` is "masks".

    Args:
        folder: that holds `IMAGES`.
        pictures: images with their regions.
        classes: of the data set; more come with the pictures.
        shapes: how regions are written.
        simplified: where it is counted what the format cannot hold: nothing.
    """
    with (folder / "samples.json").open("w", encoding="utf-8") as file:
        file.write('{"samples": [')
        for place, picture in enumerate(pictures):
            for region in picture.regions:
                classes.place(region.label)
            file.write(f"{',' if place else ''}\n{json.dumps(_sample(picture))}")
        file.write("\n]}\n")
    metadata = {"name": "xdecoder", "media_type": "image", "info": {"classes": {FIELD: classes.names}}}
    (folder / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")


def _sample(picture: LabeledPicture) -> dict[str, Any]:
    height, width = picture.size
    return {
        "filepath": f"{IMAGES}/{picture.name}",
        "tags": [],
        "metadata": {"_cls": "ImageMetadata", "width": width, "height": height},
        FIELD: {
            "_cls": "Detections",
            "detections": [_detection(r, picture.size) for r in picture.regions if r.mask.any()],
        },
    }


def _detection(region: Region, size: tuple[int, int]) -> dict[str, Any]:
    height, width = size
    left, top, right, bottom = mask_box(region.mask)
    return {
        "_cls": "Detection",
        "attributes": {},
        "tags": [],
        "label": region.label,
        "bounding_box": [left / width, top / height, (right - left) / width, (bottom - top) / height],
        "mask": encode_mask(region.mask),
        **({} if region.score is None else {"confidence": region.score}),
    }
