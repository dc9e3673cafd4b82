"""FiftyOne's data set as JSON: `samples.json`, with detections that have masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xdecoder.data.dataset import Skip
from xdecoder.data.formats.labeled import (
    BOX,
    ImageFinder,
    LabeledFolder,
    LabeledImage,
    ObjectReader,
    classes_of,
    json_files,
    labeled_size,
    split_of,
)
from xdecoder.labeling.fiftyone import decode_mask
from xdecoder.structures.masks import encode_rle


def detect(folder: Path) -> str | None:
    """The samples that are there, in words."""
    found = [path for path, data in json_files(folder, []) if _samples(path, data)]
    return f"{found[0].name} with FiftyOne's samples" if found else None


def _samples(path: Path, data: Any) -> list[Any]:
    samples = data.get("samples") if path.name == "samples.json" and isinstance(data, dict) else None
    listed: list[Any] = samples if isinstance(samples, list) else []
    return listed if listed and isinstance(listed[0], dict) and "filepath" in listed[0] else []


def read(folder: Path) -> LabeledFolder:
    """Read the detections' masks, of whatever fields; what has a box alone is left out."""
    finder = ImageFinder(folder)
    images: list[LabeledImage] = []
    skipped: list[Skip] = []
    for path, data in json_files(folder, skipped):
        for place, sample in enumerate(_samples(path, data)):
            where = f"{path}, sample {place}"
            try:
                image = finder.find(str(sample["filepath"]), path)
                size = labeled_size(image)
            except (ValueError, KeyError, TypeError) as error:
                skipped.append(Skip(item=where, reason=f"{where}: {error}"))
                continue
            reader = ObjectReader(where=where, skipped=skipped)
            for number, detection in enumerate(_detections(sample)):
                _read_detection(detection, f"detection {number}", size, reader)
            images.append(reader.image(image, split_of(image, folder), size))
    return LabeledFolder(
        kind="instances", classes=classes_of(images), images=tuple(images), skipped=tuple(skipped)
    )


def _detections(sample: dict[str, Any]) -> list[Any]:
    fields = [value for value in sample.values() if isinstance(value, dict)]
    lists = [field.get("detections") for field in fields if field.get("_cls") == "Detections"]
    return [detection for listed in lists if isinstance(listed, list) for detection in listed]


def _read_detection(detection: Any, what: str, size: tuple[int, int], reader: ObjectReader) -> None:
    if not isinstance(detection, dict):
        reader.leave_out(what, "it is no object")
        return
    box = detection.get("bounding_box")
    if detection.get("mask") is None:
        reader.leave_out(what, BOX)
    elif not isinstance(box, list) or len(box) != 4 or not all(type(v) in (int, float) for v in box):
        reader.leave_out(what, '"bounding_box" is no list of four numbers')
    else:
        left, top, width, height = box
        try:
            mask = decode_mask(detection["mask"], (left, top, width, height), size)
        except ValueError as error:
            reader.leave_out(what, str(error))
            return
        reader.add(detection.get("label"), encode_rle(mask), what)
