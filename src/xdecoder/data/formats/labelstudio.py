"""Label Studio's JSON exports: outlines in percent of the image, and brush strokes in its own run lengths.

Exported as "JSON" a task has its image in "data" and its annotations beside it; as "JSON-MIN" it has its
image and, under the name of each control, the values of one annotation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from xdecoder.data.dataset import Skip
from xdecoder.data.formats.labeled import (
    BOX,
    ImageFinder,
    LabeledFolder,
    LabeledImage,
    ObjectReader,
    classes_of,
    ellipse,
    json_files,
    labeled_size,
    ring,
    split_of,
)
from xdecoder.data.problems import is_number
from xdecoder.labeling.brush import decode_brush
from xdecoder.labeling.outlines import from_shares
from xdecoder.structures.masks import encode_rle

_KINDS: Final = ("polygonlabels", "ellipselabels", "brushlabels", "rectanglelabels")
"""Kinds of regions whose values name their labels."""


def detect(folder: Path) -> str | None:
    """The export that is there, in words."""
    found = [path for path, data in json_files(folder, []) if _tasks(data)]
    return f"{len(found)} JSON export(s) of tasks with annotations ({found[0].name})" if found else None


def _tasks(data: Any) -> list[Any]:
    first = data[0] if isinstance(data, list) and data else None
    if not isinstance(first, dict):
        return []
    whole = "data" in first and ("annotations" in first or "predictions" in first)
    return data if whole or any(isinstance(t, dict) and _minimal_results(t) for t in data) else []


def _minimal_results(task: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of a task of JSON-MIN, as JSON has them; none of other tasks."""
    listed = [value for field in task.values() if isinstance(field, list) for value in field]
    values = [value for value in listed if isinstance(value, dict)]
    return [{"type": kind, "value": value} for value in values for kind in _KINDS if kind in value]


def read(folder: Path) -> LabeledFolder:
    """Read polygons, ellipses and brush strokes of each task's first annotation that was not cancelled.

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
            labels = _labels_apart(results)
            for number, result in enumerate(results):
                _read_result(result, f"result {number}", size, reader, labels)
            images.append(reader.image(image, split_of(image, folder), size))
    return LabeledFolder(
        kind="instances", classes=classes_of(images), images=tuple(images), skipped=tuple(skipped)
    )


def _image_and_results(task: Any, finder: ImageFinder, path: Path) -> tuple[Path, list[Any]]:
    data = task.get("data", task) if isinstance(task, dict) else None
    if not isinstance(data, dict):
        raise ValueError('it has no "data" with an image')
    names = [v for k, v in data.items() if isinstance(v, str) and (k in ("image", "img") or "/" in v)]
    if not names:
        raise ValueError('its "data" names no image')
    if data is task:
        return finder.find(names[0], path), _minimal_results(task)
    annotations = task.get("annotations", task.get("predictions"))
    if not isinstance(annotations, list) or not all(isinstance(a, dict) for a in annotations):
        raise ValueError('its "annotations" are no list of objects')
    done = [a.get("result") for a in annotations if not a.get("was_cancelled")]
    if done and not isinstance(done[0], list):
        raise ValueError('the "result" of its annotation is no list')
    return finder.find(names[0], path), done[0] if done else []


def _labels_apart(results: list[Any]) -> dict[str, Any]:
    """The label of each region, by its id, where a control of its own (`Labels`) gives it."""
    found: dict[str, Any] = {}
    for result in results:
        if (
            isinstance(result, dict)
            and result.get("type") == "labels"
            and isinstance(result.get("value"), dict)
        ):
            labels = result["value"].get("labels")
            if isinstance(labels, list) and labels:
                found[str(result.get("id"))] = labels[0]
    return found


def _read_result(
    result: Any, what: str, size: tuple[int, int], reader: ObjectReader, apart: dict[str, Any]
) -> None:
    kind = str(result.get("type")) if isinstance(result, dict) else ""
    if kind in ("choices", "textarea", "labels", "relation", "rating", "taxonomy"):
        return
    value = result.get("value") if isinstance(result, dict) else None
    if not isinstance(value, dict):
        reader.leave_out(what, "it has no value")
        return
    labels = value.get(kind)
    label = labels[0] if isinstance(labels, list) and labels else apart.get(str(result.get("id")))
    try:
        if kind in ("polygonlabels", "polygon"):
            reader.add(label, [_polygon(value, size)], what)
        elif kind in ("ellipselabels", "ellipse"):
            reader.add(label, [_ellipse(value, size)], what)
        elif kind in ("brushlabels", "brush"):
            reader.add(label, encode_rle(decode_brush(value.get("rle"), size)), what)
        elif kind in ("rectanglelabels", "rectangle"):
            reader.leave_out(what, BOX)
        else:
            reader.leave_out(what, f"{kind[:30]}: such a result gives no mask")
    except ValueError as error:
        reader.leave_out(what, str(error))


def _polygon(value: dict[str, Any], size: tuple[int, int]) -> list[float]:
    points = ring(value.get("points"))
    if points is None:
        raise ValueError('"points" is no list of [x, y]')
    return from_shares(points, size, whole=100)


def _ellipse(value: dict[str, Any], size: tuple[int, int]) -> list[float]:
    numbers: list[Any] = [value.get(key, 0) for key in ("x", "y", "radiusX", "radiusY", "rotation")]
    if not all(map(is_number, numbers)):
        raise ValueError('"x", "y", "radiusX", "radiusY" and "rotation" are not all numbers')
    x, y, across, down = from_shares(numbers[:4], size, whole=100)
    return ellipse((x, y), (across, down), numbers[4])
