"""LabelMe: a JSON file beside each image, with shapes."""

from __future__ import annotations

import math
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
from xdecoder.labeling.labelme import decode_mask
from xdecoder.structures.masks import encode_rle


def detect(folder: Path) -> str | None:
    """How many files of LabelMe's there are, in words."""
    count = sum(_is_labelme(data) for _path, data in json_files(folder, []))
    return f'{count} JSON file(s) with "shapes" and "imagePath"' if count else None


def _is_labelme(data: Any) -> bool:
    return isinstance(data, dict) and isinstance(data.get("shapes"), list) and "imagePath" in data


def read(folder: Path) -> LabeledFolder:
    """Read polygons, circles and masks; shapes of one label and group are one object."""
    finder = ImageFinder(folder)
    images: list[LabeledImage] = []
    skipped: list[Skip] = []
    for path, data in json_files(folder, skipped):
        if not _is_labelme(data):
            continue
        try:
            image = finder.find(str(data["imagePath"]), path)
            size = labeled_size(image, _size(data))
        except ValueError as error:
            skipped.append(Skip(item=str(path), reason=str(error)))
            continue
        reader = ObjectReader(where=str(path), skipped=skipped)
        _read_shapes(data["shapes"], size, reader)
        images.append(
            LabeledImage(path=image, split=split_of(image, folder), size=size, objects=tuple(reader.objects))
        )
    return LabeledFolder(
        kind="instances", classes=classes_of(images), images=tuple(images), skipped=tuple(skipped)
    )


def _size(data: dict[str, Any]) -> tuple[int, int] | None:
    height, width = data.get("imageHeight"), data.get("imageWidth")
    return (height, width) if type(height) is int and type(width) is int and min(height, width) > 0 else None


def _read_shapes(shapes: list[Any], size: tuple[int, int], reader: ObjectReader) -> None:
    groups: dict[tuple[Any, ...], tuple[str, list[Any]]] = {}
    for place, shape in enumerate(shapes):
        what = f"shape {place}"
        if not isinstance(shape, dict):
            reader.leave_out(what, "it is no object")
            continue
        kind, label = shape.get("shape_type") or "polygon", shape.get("label")
        points = ring(shape.get("points"))
        if points is None:
            reader.leave_out(what, '"points" is no list of [x, y]')
        elif kind == "polygon":
            group = shape.get("group_id")
            key = (label, group) if isinstance(group, (int, str)) and isinstance(label, str) else (place,)
            groups.setdefault(key, (what, []))[1].append((label, points))
        elif kind == "circle" and len(points) == 4:
            reader.add(label, [_circle(*points)], what)
        elif kind == "mask" and len(points) == 4:
            try:
                reader.add(label, encode_rle(decode_mask(shape.get("mask"), points, size)), what)
            except ValueError as error:
                reader.leave_out(what, str(error))
        elif kind == "rectangle":
            reader.leave_out(what, BOX)
        else:
            reader.leave_out(what, f"a {str(kind)[:20]} covers no area")
    for what, parts in groups.values():
        reader.add(parts[0][0], [points for _label, points in parts], what)


def _circle(x: float, y: float, edge_x: float, edge_y: float) -> list[float]:
    radius = math.hypot(edge_x - x, edge_y - y)
    angles = [2 * math.pi * k / 64 for k in range(64)]
    return [v for a in angles for v in (x + radius * math.cos(a), y + radius * math.sin(a))]
