"""YOLO's segmentation format: a text file an image, each line a class and a polygon, and a list of classes.

The list is `data.yaml`, or `classes.txt` with a name a line, as Label Studio and others write it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml

from xdecoder.data.dataset import Skip, name_parts
from xdecoder.data.formats.labeled import (
    BOX,
    LabeledFolder,
    LabeledImage,
    ObjectReader,
    files_in,
    labeled_size,
    split_of,
)
from xdecoder.images import IMAGE_SUFFIXES
from xdecoder.jobs.files import read_file, read_text
from xdecoder.labeling.outlines import from_shares
from xdecoder.labeling.yolo import label_path

_NUMBER: Final = re.compile(rb"-?[\d.]+(e[+-]?\d+)?", re.IGNORECASE)


def detect(folder: Path) -> str | None:
    """The list of classes that is there, in words."""
    found = _description(folder)
    return f"{found[0].name} with {len(found[1])} names" if found else None


def _description(folder: Path) -> tuple[Path, tuple[str, ...], dict[str, Any]] | None:
    for path in files_in(folder, (".yaml", ".yml")):
        try:
            data = yaml.safe_load(read_file(path))
        except (yaml.YAMLError, ValueError, RecursionError):
            continue
        names = data.get("names") if isinstance(data, dict) else None
        if isinstance(names, dict) and sorted(names, key=str) and set(names) == set(range(len(names))):
            names = [names[i] for i in range(len(names))]
        if isinstance(names, list) and names and all(isinstance(n, (str, int)) for n in names):
            return path, tuple(str(name).strip() for name in names), data
    if not any(_is_labeled(path) for path in files_in(folder, IMAGE_SUFFIXES)):
        return None
    for path in files_in(folder, (".txt", ".names")):
        if path.name.lower() in ("classes.txt", "obj.names"):
            lines = read_file(path).decode("utf-8", "replace").splitlines()
            if names := tuple(line.strip() for line in lines if line.strip()):
                return path, names, {}
    return None


def _is_labeled(image: Path) -> bool:
    """Whether an image has a text file that begins as YOLO's do, with five numbers or more."""
    labels = _label_file(image)
    words = read_file(labels)[:400].split() if labels else []
    return len(words) > 4 and all(_NUMBER.fullmatch(word) for word in words[:5])


def read(folder: Path) -> LabeledFolder:
    """Read polygons; boxes are left out.

    Raises:
        ValueError: there is no list of classes.
    """
    found = _description(folder)
    if found is None:
        raise ValueError(f'{folder}: no data.yaml with "names", and no classes.txt; they list the classes')
    description, names, data = found
    splits = _splits(description.parent, data)
    images: list[LabeledImage] = []
    skipped: list[Skip] = []
    for path in files_in(folder, IMAGE_SUFFIXES):
        labels = _label_file(path)
        if labels is None:
            continue
        try:
            size = labeled_size(path)
            lines = read_text(labels).splitlines()
        except ValueError as error:
            skipped.append(Skip(item=str(path), reason=str(error)))
            continue
        reader = ObjectReader(where=str(labels), skipped=skipped)
        for number, line in enumerate(lines, start=1):
            _read_line(line.split(), f"line {number}", names, size, reader)
        split = next((s for f, s in splits if f == path or f in path.parents), split_of(path, folder))
        images.append(reader.image(path, split, size))
    return LabeledFolder(kind="instances", classes=names, images=tuple(images), skipped=tuple(skipped))


def _splits(folder: Path, data: dict[str, Any]) -> list[tuple[Path, str]]:
    """The folders and images that `train`, `val` and `test` of `data.yaml` name."""
    found: list[tuple[Path, str]] = []
    base = folder / Path(*name_parts(data["path"])) if isinstance(data.get("path"), str) else folder
    for split in ("train", "val", "test"):
        named = data.get(split)
        for name in named if isinstance(named, list) else [named]:
            if not isinstance(name, str):
                continue
            parts = name_parts(name)
            for place in (base.joinpath(*parts), folder.joinpath(*parts)):
                if place.suffix == ".txt" and place.is_file():
                    lines = read_file(place).decode("utf-8", "replace").splitlines()
                    found += [(place.parent.joinpath(*name_parts(line)), split) for line in lines if line]
                elif place.is_dir():
                    found.append((place, split))
    return found


def _label_file(image: Path) -> Path | None:
    """The text file of an image: in `labels` where the image is in `images`, or beside it."""
    options = (Path(label_path(image)), image.with_suffix(".txt"))
    return next((path for path in options if path.is_file()), None)


def _read_line(
    words: list[str], what: str, names: tuple[str, ...], size: tuple[int, int], reader: ObjectReader
) -> None:
    if not words:
        return
    try:
        category, values = int(words[0]), [float(word) for word in words[1:]]
    except ValueError:
        reader.leave_out(what, "expected a class number and coordinates in 0 to 1")
        return
    if not 0 <= category < len(names):
        reader.leave_out(what, f"class {category}; {len(names)} are named")
    elif len(values) in (4, 5):
        reader.leave_out(what, BOX)
    elif not all(-0.5 <= v <= 1.5 for v in values):  # NaN fails
        reader.leave_out(what, "coordinates outside 0 to 1; they are shares of width and height")
    else:
        reader.add(names[category], [from_shares(values, size)], what)
