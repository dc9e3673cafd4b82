"""COCO's panoptic format, wherever its JSON files, PNGs and images lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xdecoder.data.coco import read_panoptic
from xdecoder.data.coco_file import categories_of_file
from xdecoder.data.dataset import Skip
from xdecoder.data.formats.labeled import (
    ImageFinder,
    LabeledFolder,
    LabeledImage,
    json_files,
    labeled_size,
    split_of_name,
)
from xdecoder.data.selection import Selection


def detect(folder: Path) -> str | None:
    """The JSON files that are there, in words."""
    found = [path for path, data in json_files(folder, []) if _first_rows(data)]
    return f'{len(found)} JSON file(s) with "segments_info" ({found[0].name})' if found else None


def _first_rows(data: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The first image and the first annotation of a panoptic file; None where it is none."""
    images, rows = (data.get(key) for key in ("images", "annotations")) if isinstance(data, dict) else (0, 0)
    if not isinstance(rows, list) or not isinstance(images, list) or not rows or not images:
        return None
    first = images[0], rows[0]
    return first if all(isinstance(row, dict) for row in first) and "segments_info" in rows[0] else None


def read(folder: Path) -> LabeledFolder:
    """Read every panoptic JSON file; its split is what its name ends with.

    Raises:
        ValueError: a file is malformed, or the files have other categories.
    """
    finder = ImageFinder(folder)
    images: list[LabeledImage] = []
    skipped: list[Skip] = []
    classes: tuple[str, ...] | None = None
    things: frozenset[int] = frozenset()
    for path, data in json_files(folder, skipped):
        first = _first_rows(data)
        if first is None:
            continue
        png = _map_of(str(first[1].get("file_name")), path, finder)
        picture = finder.find(str(first[0].get("file_name")), path, outside=png.parent)
        split = split_of_name(path)
        selection = Selection(
            root=folder, name=path.name, task="panoptic", split=split or "", word="", missing="skip"
        )
        opened = read_panoptic(
            selection, annotations=path, maps=png.parent, images=picture.parent, categories=categories_of_file
        )
        assert opened.vocabulary is not None
        if classes not in (None, opened.vocabulary.classes):
            raise ValueError(f"{path}: other categories than the files before it; convert each by itself")
        classes, things = opened.vocabulary.classes, opened.vocabulary.things
        skipped += opened.skipped
        for sample in opened:
            where = Path(sample.source.name)
            images.append(
                LabeledImage(
                    path=where,
                    split=split,
                    size=sample.size or labeled_size(where),
                    panoptic=sample.panoptic_source,
                )
            )
    return LabeledFolder(
        kind="panoptic", classes=classes or (), things=things, images=tuple(images), skipped=tuple(skipped)
    )


def _map_of(name: str, path: Path, finder: ImageFinder) -> Path:
    """The first PNG: in a folder that is called as the file, or the only one of its name."""
    named = [p for p in finder.paths if p.name == Path(name).name and p.parent.name == path.stem]
    return named[0] if named else finder.find(name, path)
