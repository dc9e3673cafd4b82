"""`FORMATS`: the one table of labeling tools' formats that results are written in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from xdecoder.labeling import coco, cvat, fiftyone, labelme, labelstudio, yolo
from xdecoder.labeling.picture import ClassNumbers, LabeledPicture, Shapes, Simplifications

Writer = Callable[[Path, Iterable[LabeledPicture], ClassNumbers, Shapes, Simplifications], None]
"""Writes all but the images of a folder; classes that are new, and what is lost, are added as it goes."""


@final
@dataclass(frozen=True, kw_only=True)
class ExportFormat:
    """A format: what it is, how it may hold regions (the usual way first), where its images lie."""

    title: str
    shapes: tuple[Shapes, ...]
    images: str
    write: Writer


FORMATS: Final[Mapping[str, ExportFormat]] = {
    "coco": ExportFormat(
        title="COCO's instances", shapes=("masks", "polygons"), images=coco.IMAGES, write=coco.write
    ),
    "yolo": ExportFormat(
        title="YOLO's polygons with data.yaml", shapes=("polygons",), images=yolo.IMAGES, write=yolo.write
    ),
    "labelme": ExportFormat(
        title="LabelMe's JSON files",
        shapes=("masks", "polygons"),
        images=labelme.IMAGES,
        write=labelme.write,
    ),
    "labelstudio": ExportFormat(
        title="Label Studio's tasks with predictions",
        shapes=("masks", "polygons"),
        images=labelstudio.IMAGES,
        write=labelstudio.write,
    ),
    "cvat": ExportFormat(
        title="CVAT for images 1.1", shapes=("masks", "polygons"), images=cvat.IMAGES, write=cvat.write
    ),
    "fiftyone": ExportFormat(
        title="FiftyOne's data set", shapes=("masks",), images=fiftyone.IMAGES, write=fiftyone.write
    ),
}
"""Formats by name."""
