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
    ellipse,
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
    return f'{count} JSON file(s) with "shapes"' if count else None


def _is_labelme(data: Any) -> bool:
    known = isinstance(data, dict) and isinstance(data.get("shapes"), list)
    return known and bool({"imagePath", "imageData", "imageHeight"} & data.keys())


def read(folder: Path) -> LabeledFolder:
    """Read polygons, circles and masks; shapes of one label and group are one object."""
    finder = ImageFinder(folder)
    images: list[LabeledImage] = []
    skipped: list[Skip] = []
    for path, data in json_files(folder, skipped):
        if not _is_labelme(data):
            continue
        try:
            image = _find_image(data.get("imagePath"), path, finder)
            size = labeled_size(image, _size(data))
        except ValueError as error:
            skipped.append(Skip(item=str(path), reason=str(error)))
            continue
        reader = ObjectReader(where=str(path), skipped=skipped)
        _read_shapes(data["shapes"], size, reader)
        images.append(reader.image(image, split_of(image, folder), size))
    return LabeledFolder(
        kind="instances", classes=classes_of(images), images=tuple(images), skipped=tuple(skipped)
    )


def _find_image(name: object, path: Path, finder: ImageFinder) -> Path:
    """The image that a file names, or where there is none the one beside it that is called as it is."""
    try:
        if not isinstance(name, str):
            raise ValueError(f'{path}: it has no "imagePath", and no image beside it is called as it is')
        return finder.find(name, path)
    except ValueError:
        beside = finder.beside(path)
        if beside is None:
            raise
        return beside


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
            x, y, edge_x, edge_y = points
            radius = math.hypot(edge_x - x, edge_y - y)
            reader.add(label, [ellipse((x, y), (radius, radius))], what)
        elif kind == "mask" and len(points) == 4:
            try:
                reader.add(label, encode_rle(decode_mask(shape.get("mask"), points, size)), what)
            except ValueError as error:
                reader.leave_out(what, str(error))
        elif kind == "rectangle":
            reader.leave_out(what, BOX)
        else:
            reader.leave_out(what, f"{str(kind)[:20]}: such a shape covers no area")
    for what, parts in groups.values():
        reader.add(parts[0][0], [points for _label, points in parts], what)
