"""COCO's instances as tools export them, wherever their JSON files and images lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xdecoder.data.coco_file import (
    AnnotationRow,
    Categories,
    categories_of_file,
    read_annotation,
    read_coco_file,
)
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
    split_of_name,
)


def detect(folder: Path) -> str | None:
    """The JSON files that are there, in words."""
    found = [path for path, data in json_files(folder, []) if _is_instances(data)]
    return f"{len(found)} JSON file(s) of COCO's instances ({found[0].name})" if found else None


def _is_instances(data: Any) -> bool:
    """Whether a file has annotations of objects: no segments of a panoptic map, no points of a body."""
    images, rows = (data.get(key) for key in ("images", "annotations")) if isinstance(data, dict) else (0, 0)
    if not isinstance(rows, list) or not isinstance(images, list) or not rows or not images:
        return False
    first = rows[0]
    return (
        isinstance(first, dict)
        and bool({"segmentation", "bbox"} & first.keys())
        and not {"segments_info", "keypoints"} & first.keys()
    )


def read(folder: Path) -> LabeledFolder:
    """Read the masks of every file; its split is that of its images' folder, of its own, or of its name.

    Raises:
        ValueError: a file is malformed.
    """
    finder = ImageFinder(folder)
    images: list[LabeledImage] = []
    skipped: list[Skip] = []
    declared: list[str] = []
    for path, data in json_files(folder, skipped):
        if not _is_instances(data):
            continue
        file = read_coco_file(path)
        categories = categories_of_file(file, {row.fields.get("category_id") for row in file.annotations})
        file.problems.refuse()
        declared += categories.vocabulary.classes
        rows = file.of_images()
        for image in file.images.values():
            try:
                where = finder.find(image.file_name, path)
                size = labeled_size(where, image.size)
            except ValueError as error:
                skipped.append(Skip(item=f"{path}, image {image.id}", reason=str(error)))
                continue
            reader = ObjectReader(where=str(path), skipped=skipped)
            for row in rows.get(image.id, ()):
                _read_row(row, categories, reader)
            images.append(
                reader.image(
                    where, split_of(where, folder) or split_of(path, folder) or split_of_name(path), size
                )
            )
    return LabeledFolder(
        kind="instances", classes=classes_of(images, declared), images=tuple(images), skipped=tuple(skipped)
    )


def _read_row(row: AnnotationRow, categories: Categories, reader: ObjectReader) -> None:
    what = f"annotation {row.number}"
    if not row.fields.get("segmentation"):
        reader.leave_out(what, BOX)
        return
    try:
        place = categories.index(row.fields.get("category_id"), what)
        found = read_annotation(row.fields, number=row.number, category=place, where=what)
    except ValueError as error:
        reader.leave_out(what, str(error).removeprefix(f"{what}: "))
        return
    reader.add(categories.vocabulary.classes[place], found.segmentation, what, crowd=found.crowd)
