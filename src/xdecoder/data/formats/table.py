"""`FORMATS`: the one table of labeling tools' formats, and which of them a folder holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from xdecoder.data.formats import (
    cityscapes,
    coco_instances,
    coco_panoptic,
    cvat,
    fiftyone,
    labelme,
    labelstudio,
    masks,
    voc,
    yolo,
)
from xdecoder.data.formats.labeled import LabeledFolder


@final
@dataclass(frozen=True, kw_only=True)
class Format:
    """A format: what it is, what is seen of it in a folder (None: nothing), and how it is read."""

    title: str
    detect: Callable[[Path], str | None]
    read: Callable[[Path], LabeledFolder]


FORMATS: Final[Mapping[str, Format]] = {
    "cityscapes": Format(title="Cityscapes' download", detect=cityscapes.detect, read=cityscapes.read),
    "coco": Format(title="COCO's instances, JSON", detect=coco_instances.detect, read=coco_instances.read),
    "coco-panoptic": Format(
        title="COCO's panoptic JSON and PNGs", detect=coco_panoptic.detect, read=coco_panoptic.read
    ),
    "cvat": Format(title="CVAT for images, XML", detect=cvat.detect, read=cvat.read),
    "fiftyone": Format(title="FiftyOne's data set, JSON", detect=fiftyone.detect, read=fiftyone.read),
    "labelme": Format(title="LabelMe's JSON files", detect=labelme.detect, read=labelme.read),
    "labelstudio": Format(title="Label Studio's JSON", detect=labelstudio.detect, read=labelstudio.read),
    "voc": Format(title="Pascal VOC's SegmentationClass", detect=voc.detect, read=voc.read),
    "yolo": Format(title="YOLO's polygons with data.yaml", detect=yolo.detect, read=yolo.read),
    "masks": Format(
        title="images and label maps, with a file of names", detect=masks.detect, read=masks.read
    ),
}
"""Formats by name; "masks", the least particular, last."""


def detect_format(folder: Path) -> tuple[str, str]:
    """The name of the format that a folder holds, and what was seen.

    Raises:
        ValueError: nothing is recognized, or several formats are.
    """
    seen = {name: what for name, form in FORMATS.items() if name != "masks" and (what := form.detect(folder))}
    if not seen and (what := FORMATS["masks"].detect(folder)):
        seen = {"masks": what}
    if len(seen) == 1:
        return next(iter(seen.items()))
    if seen:
        listed = "; ".join(f"{name}: {what}" for name, what in seen.items())
        raise ValueError(f"{folder} looks like several formats ({listed}); say which with --from")
    raise ValueError(
        f"{folder}: no format recognized; known are {', '.join(FORMATS)}. Labels and images have to lie in "
        "the folder, unpacked; --from names a format, whose reader says what it lacks"
    )
