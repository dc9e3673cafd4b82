"""Label Studio's JSON export: polygons in percent of the image, and brush strokes in its own run lengths."""

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
    ring,
    split_of,
)
from xdecoder.labeling.brush import decode_brush
from xdecoder.labeling.outlines import from_shares
from xdecoder.structures.masks import encode_rle


def detect(folder: Path) -> str | None:
    """The export that is there, in words."""
    found = [path for path, data in json_files(folder, []) if _tasks(data)]
    return f"{len(found)} JSON export(s) of tasks with annotations ({found[0].name})" if found else None


def _tasks(data: Any) -> list[Any]:
    first = data[0] if isinstance(data, list) and data else None
    labeled = (
        isinstance(first, dict) and "data" in first and ("annotations" in first or "predictions" in first)
    )
    return data if labeled else []


def read(folder: Path) -> LabeledFolder:
    """Read polygons and brush strokes of each task's first annotation that was not cancelled.

    A file of tasks that were never annotated, with predictions to import, is read by its predictions.
    """
    finder = ImageFinder(folder)
    images: list[LabeledImage] = []
    skipped: list[Skip] = []
    for path, data in json_files(folder, skipped):
        for place, task in enumerate(_tasks(data)):
            where = f"{path}, task {place}"
            try:
                image, results = _image_and_results(task, finder, path)
                size = labeled_size(image)
            except (ValueError, FileNotFoundError) as error:
                skipped.append(Skip(item=where, reason=f"{where}: {error}"))
                continue
            reader = ObjectReader(where=where, skipped=skipped)
            for number, result in enumerate(results):
                _read_result(result, f"result {number}", size, reader)
            images.append(
                LabeledImage(
                    path=image, split=split_of(image, folder), size=size, objects=tuple(reader.objects)
                )
            )
    return LabeledFolder(
        kind="instances", classes=classes_of(images), images=tuple(images), skipped=tuple(skipped)
    )


def _image_and_results(task: Any, finder: ImageFinder, path: Path) -> tuple[Path, list[Any]]:
    data = task.get("data") if isinstance(task, dict) else None
    if not isinstance(data, dict):
        raise ValueError('it has no "data" with an image')
    names = [v for k, v in data.items() if isinstance(v, str) and (k in ("image", "img") or "/" in v)]
    if not names:
        raise ValueError('its "data" names no image')
    annotations = task.get("annotations", task.get("predictions"))
    if not isinstance(annotations, list) or not all(isinstance(a, dict) for a in annotations):
        raise ValueError('its "annotations" are no list of objects')
    done = [a.get("result") for a in annotations if not a.get("was_cancelled")]
    if done and not isinstance(done[0], list):
        raise ValueError('the "result" of its annotation is no list')
    return finder.find(names[0], path), done[0] if done else []


def _read_result(result: Any, what: str, size: tuple[int, int], reader: ObjectReader) -> None:
    value = result.get("value") if isinstance(result, dict) else None
    if not isinstance(value, dict):
        reader.leave_out(what, "it has no value")
        return
    kind = str(result.get("type"))
    labels = value.get(kind)
    label = labels[0] if isinstance(labels, list) and labels else None
    if kind in ("polygonlabels", "polygon"):
        points = ring(value.get("points"))
        if points is None:
            reader.leave_out(what, '"points" is no list of [x, y]')
            return
        reader.add(label, [from_shares(points, size, whole=100)], what)
    elif kind in ("brushlabels", "brush"):
        try:
            mask = decode_brush(value.get("rle"), size)
        except ValueError as error:
            reader.leave_out(what, str(error))
            return
        reader.add(label, encode_rle(mask), what)
    elif kind in ("rectanglelabels", "rectangle"):
        reader.leave_out(what, BOX)
    elif kind not in ("choices", "textarea", "labels", "relation", "rating", "taxonomy"):
        reader.leave_out(what, f"{kind[:30]} gives no mask")
