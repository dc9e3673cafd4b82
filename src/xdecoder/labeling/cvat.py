"""CVAT for images 1.1: one XML file with masks or polygons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Bool

from xdecoder.labeling.outlines import trace_outline
from xdecoder.labeling.picture import ClassNumbers, LabeledPicture, Shapes, Simplifications
from xdecoder.labeling.text import writable
from xdecoder.structures.masks import mask_box

IMAGES = "images"
"""Where `write` expects the images."""


def encode_runs(mask: Bool[np.ndarray, "H W"]) -> list[int]:
    """The runs of a mask's box row by row, unmarked and marked pixels in turn; the mask marks something."""
    left, top, right, bottom = (int(side) for side in mask_box(mask))
    values = mask[top:bottom, left:right].ravel()
    ends = np.append(np.flatnonzero(values[1:] != values[:-1]) + 1, values.size)
    runs = np.diff(ends, prepend=0).tolist()
    return [0, *runs] if values[0] else runs


def decode_runs(
    runs: Sequence[int], box: tuple[int, int, int, int], size: tuple[int, int]
) -> Bool[np.ndarray, "H W"]:
    """The inverse of `encode_runs`.

    Args:
        runs: lengths.
        box: left, top, width and height of the rectangle that they fill.
        size: the image's height and width.

    Raises:
        ValueError: the rectangle does not lie within the image, or the runs do not fill it.
    """
    left, top, width, height = box
    if min(left, top) < 0 or min(width, height) < 1 or top + height > size[0] or left + width > size[1]:
        raise ValueError("the mask lies outside the image")
    if min(runs) < 0 or sum(runs) != height * width:
        raise ValueError(f"the run lengths cover {sum(runs)} pixels of {width}x{height}")
    values = np.arange(len(runs)) % 2 == 1
    whole = np.zeros(size, np.bool_)
    whole[top : top + height, left : left + width] = np.repeat(values, runs).reshape(height, width)
    return whole


def write(
    folder: Path,
    pictures: Iterable[LabeledPicture],
    classes: ClassNumbers,
    shapes: Shapes,
    simplified: Simplifications,
) -> None:
    """Write `annotations.xml`; the parts of an object have one `group_id`.

    Args:
        folder: that holds `IMAGES`.
        pictures: images with their regions.
        classes: not needed: CVAT knows a task's own.
        shapes: how regions are written.
        simplified: where it is counted what the format cannot hold.
    """
    with (folder / "annotations.xml").open("w", encoding="utf-8") as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n')
        for number, picture in enumerate(pictures):
            element = _image(picture, number, shapes, simplified)
            file.write(ElementTree.tostring(element, encoding="unicode") + "\n")
        file.write("</annotations>\n")


def _image(
    picture: LabeledPicture, number: int, shapes: Shapes, simplified: Simplifications
) -> ElementTree.Element:
    height, width = picture.size
    image = ElementTree.Element(
        "image", id=str(number), name=writable(picture.name), width=str(width), height=str(height)
    )
    for group, region in enumerate(picture.regions, start=1):
        if not region.mask.any():
            continue
        common = {"label": writable(region.label), "source": "auto", "occluded": "0", "z_order": "0"}
        if shapes == "masks":
            left, top, right, bottom = (int(side) for side in mask_box(region.mask))
            box = {"left": left, "top": top, "width": right - left, "height": bottom - top}
            runs = ", ".join(map(str, encode_runs(region.mask)))
            drawn = {key: str(value) for key, value in box.items()}
            ElementTree.SubElement(image, "mask", {**common, "rle": runs, **drawn})
            continue
        outline = trace_outline(region.mask)
        simplified.filled += outline.holes > 0
        if len(outline.parts) > 1:
            common["group_id"] = str(group)
        for ring in outline.parts:
            points = ";".join(f"{x:.1f},{y:.1f}" for x, y in ring)
            ElementTree.SubElement(image, "polygon", {**common, "points": points})
    return image
