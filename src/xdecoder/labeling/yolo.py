"""YOLO's segmentation format: a text file an image, each line a class and a polygon, and `data.yaml`.

Source: Ultralytics' documentation of segmentation data sets. Parts of an object are joined as its own
conversion from COCO joins them, by lines that lead there and back.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePath

import yaml

from xdecoder.labeling.outlines import join_parts, to_shares, trace_outline
from xdecoder.labeling.picture import ClassNumbers, LabeledPicture, Shapes, Simplifications

IMAGES = "images/train"
"""Where `write` expects the images."""


def lines(picture: LabeledPicture, classes: ClassNumbers, simplified: Simplifications) -> list[str]:
    """The lines of an image: a class and coordinates from 0 to 1; regions without a pixel have none."""
    found: list[str] = []
    for region in picture.regions:
        outline = trace_outline(region.mask)
        if not outline.parts:
            continue
        simplified.filled += outline.holes > 0
        points = to_shares(join_parts(outline.parts), picture.size)
        values = " ".join(f"{value:.7g}" for point in points for value in point)
        found.append(f"{classes.place(region.label)} {values}")
    return found


def label_path(image: PurePath) -> PurePath:
    """The text file of an image: in `labels` where the image is in `images`, else beside it."""
    parts = list(image.parts)
    places = [i for i, part in enumerate(parts) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    return PurePath(*parts).with_suffix(".txt")


def write(
    folder: Path,
    pictures: Iterable[LabeledPicture],
    classes: ClassNumbers,
    shapes: Shapes,
    simplified: Simplifications,
) -> None:
    """Write `labels/train` and `data.yaml`; `shapes` is "polygons".

    Args:
        folder: that holds `IMAGES`.
        pictures: images with their regions.
        classes: in the order of their numbers; more come with the pictures.
        shapes: how regions are written.
        simplified: where it is counted what the format cannot hold.
    """
    for picture in pictures:
        path = folder / label_path(PurePath(IMAGES, picture.name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            "".join(f"{line}\n" for line in lines(picture, classes, simplified)), encoding="utf-8"
        )
    description = {
        "path": ".",
        "train": IMAGES,
        "val": IMAGES,
        "names": dict(enumerate(classes.names)),
    }
    text = yaml.safe_dump(description, sort_keys=False, allow_unicode=True)
    (folder / "data.yaml").write_text(text, encoding="utf-8")
