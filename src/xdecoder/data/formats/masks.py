"""Label maps of any tool: images and PNGs of their names, of indices or of colors, with a file of names."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np
from jaxtyping import Int16
from numpy.typing import NDArray

from xdecoder.data.dataset import Skip, spread
from xdecoder.data.decoding import read_json
from xdecoder.data.formats.labeled import (
    ImageFinder,
    LabeledFolder,
    LabeledImage,
    files_in,
    labeled_size,
    split_of,
)
from xdecoder.data.records import VOID, StoredLabels
from xdecoder.images import read_header, read_stored
from xdecoder.jobs.files import read_text
from xdecoder.vocabularies import normal_name

Color = tuple[int, int, int]

_FOLDERS: Final = re.compile(
    r"(masks?|labels?|annotations?|annots?|segmentations?|segs?|gt|ground_?truth|label_?maps?|semantic)"
    r"(_?(png|images?|train(ing)?|val(id)?|test))?"
    r"|(train(ing)?|val(id(ation)?)?|test|default)(_?(masks?|labels?|annot))",
    re.IGNORECASE,
)
LABEL_SUFFIXES: Final = (".png", ".tif", ".tiff", ".bmp")
"""Label maps are kept without loss."""

_ENDINGS: Final = re.compile(r"[_-](masks?|labels?|seg(mentation)?|gt|L|label_?ids?)$", re.IGNORECASE)
_NAMES: Final = (
    "classes.txt", "labels.txt", "names.txt", "class_names.txt", "labelmap.txt", "label_colors.txt",
    "class_dict.csv", "classes.csv", "_classes.csv", "labels.csv", "id2label.json",
)  # fmt: skip
_HEADINGS: Final = ("name,r,g,b", "name,red,green,blue", "pixelvalue,class")
_NOT_A_CLASS: Final = ("background", "void", "unlabeled", "unlabelled", "ignore")
_IGNORED: Final = "__ignore__"
_LOOKED_AT: Final = 200
"""Label maps that are read to learn what the values of one class are."""


def is_no_class(name: str) -> bool:
    """Whether lists of classes mean by a name what is no class: "background", LabelMe's "_background_"."""
    return normal_name(name).strip("_") in _NOT_A_CLASS


@final
@dataclass(frozen=True, kw_only=True)
class ClassName:
    """A class of a names file: the index that label maps hold, and the color if the file says it."""

    name: str
    index: int
    color: Color | None


@final
@dataclass(frozen=True, kw_only=True)
class MappedLabels(StoredLabels):
    """A label map of indices or colors."""

    path: str
    indices: tuple[tuple[int, int], ...]
    colors: tuple[tuple[Color, int], ...] = ()

    def load(self) -> Int16[np.ndarray, "H W"]:
        """Decode to `[H, W]` indexes into the classes.

        Raises:
            ValueError: it holds a value that is none of them.
        """
        stored = read_stored(self.path, palette="colors" if self.colors else "indices")
        if stored.ndim == 3 and not self.colors:
            stored = read_as_gray(stored, self.path)
        if stored.ndim == 2:
            keys = stored.astype(np.int64)
            place_of = dict(self.indices)
        else:
            keys = stored[..., :3].astype(np.int64) @ np.array([65536, 256, 1])
            place_of = {r * 65536 + g * 256 + b: place for (r, g, b), place in self.colors}
        found, inverse = np.unique(keys, return_inverse=True)
        unknown = [int(v) for v in found if int(v) not in place_of]
        if unknown:
            shown = unknown if stored.ndim == 2 else [(v >> 16, v >> 8 & 255, v & 255) for v in unknown]
            raise ValueError(
                f"{self.path}: {len(unknown)} value(s) that the file of names does not list: {shown[:5]}"
            )
        table = np.array([place_of[int(v)] for v in found], np.int16)
        return table[inverse].reshape(keys.shape)


def read_as_gray(stored: NDArray[Any], path: str) -> NDArray[Any]:
    """One channel of a label map whose channels are equal.

    Raises:
        ValueError: they differ: it holds colors.
    """
    if not _is_gray(stored):
        raise ValueError(f"{path}: a label map of colors; a file of names has to say which color means what")
    return stored[..., 0]


def _is_gray(stored: NDArray[Any]) -> bool:
    return bool((stored[..., :1] == stored[..., :3]).all())


def detect(folder: Path) -> str | None:
    """The pairs of images and label maps that are there, in words."""
    pairs, _skipped = _pairs(folder)
    names = find_names(folder)
    if not pairs:
        return None
    return f"{len(pairs)} label maps with images of their names, classes {names.name if names else 'unnamed'}"


def read(folder: Path) -> LabeledFolder:
    """Read label maps.

    Raises:
        FileNotFoundError: there is no file of names.
        ValueError: it is malformed.
    """
    names = find_names(folder)
    pairs, skipped = _pairs(folder)
    if names is None:
        raise FileNotFoundError(
            f"{folder}: no file of class names ({', '.join(_NAMES)}); {_how_to_name(pairs[:20])}"
        )
    return as_folder(folder, pairs, read_names(names), skipped)


def _how_to_name(pairs: list[tuple[Path, Path]]) -> str:
    """What to write for label maps that nobody named."""
    maps = [stored for _image, path in pairs if (stored := _stored(path)) is not None]
    colored = [s[..., :3].reshape(-1, 3) for s in maps if s.ndim == 3 and not _is_gray(s)]
    if colored:
        colors = np.unique(np.concatenate(colored), axis=0).tolist()
        return (
            'write class_dict.csv with a line "name,r,g,b" for each color. The first label maps hold '
            f"{len(colors)} colors: {', '.join(str(tuple(color)) for color in colors[:20])}"
        )
    values = sorted({int(v) for s in maps for v in np.unique(s if s.ndim == 2 else s[..., 0])})
    return (
        "write classes.txt with a class a line, the first being the value 0. The first label maps hold "
        f"{values[:20]}"
    )


def as_folder(
    folder: Path, pairs: list[tuple[Path, Path]], listed: list[ClassName], skipped: list[Skip]
) -> LabeledFolder:
    """Pairs of an image and its label map, with the classes that are no background."""
    kept = [c for c in listed if not is_no_class(c.name)]
    place_of = {c.index: place for place, c in enumerate(kept)}
    colored = bool(kept) and all(c.color for c in kept)
    notes: tuple[str, ...] = ()
    if len(kept) == 1 and not colored and _are_black_and_white([label for _image, label in pairs]):
        place_of = {0: VOID, 255: 0}
        notes = (f"the label maps hold 0 and 255 alone: 255 is taken for {kept[0].name}, 0 for the rest",)
    void = {c.index for c in listed} | {255, 65535}
    indices = tuple((dict.fromkeys(void, VOID) | place_of).items())
    colors = tuple((c.color, place_of.get(c.index, VOID)) for c in listed if c.color) if colored else ()
    colors += (((224, 224, 192), VOID),) if colored else ()  # VOC's border
    images: list[LabeledImage] = []
    for image, label in pairs:
        try:
            header = read_header(label)
            size = labeled_size(image, (header.height, header.width))
        except ValueError as error:
            skipped.append(Skip(item=str(label), reason=str(error)))
            continue
        labels = MappedLabels(path=str(label), indices=indices, colors=colors)
        split = split_of(image, folder) or split_of(label, folder)
        images.append(LabeledImage(path=image, split=split, size=size, labels=labels))
    return LabeledFolder(
        kind="semantic",
        classes=tuple(c.name for c in kept),
        images=tuple(images),
        skipped=tuple(skipped),
        notes=notes,
    )


def _are_black_and_white(labels: Sequence[Path]) -> bool:
    """Whether label maps, of at most 200 spread over them, hold 0 and 255 and nothing else."""
    values: set[int] = set()
    for path in spread(labels, _LOOKED_AT):
        stored = _stored(path)
        if stored is not None:
            values.update(np.unique(stored if stored.ndim == 2 else stored[..., :3]).tolist())
    return values == {0, 255}


def find_names(folder: Path) -> Path | None:
    """The file of class names of a folder, the nearest to its top."""
    found = [path for path in files_in(folder, (".txt", ".csv", ".json")) if path.name.lower() in _NAMES]
    return min(found, key=lambda path: (len(path.parts), _NAMES.index(path.name.lower())), default=None)


def read_names(path: Path) -> list[ClassName]:
    """Class names as tools write them: "name", "3: name", "name:r,g,b::", "name,r,g,b" or "r g b name".

    A JSON file holds an object of numbers and names. LabelMe's list begins at -1, with "__ignore__".

    Raises:
        ValueError: it is not UTF-8, is no such JSON, or names no class.
    """
    if path.suffix.lower() == ".json":
        return _numbered_names(path)
    lines = read_text(path).splitlines()
    classes: list[ClassName] = []
    first = -1 if next((t for line in lines if (t := line.strip())), "") == _IGNORED else 0
    for line in lines:
        text = line.strip()
        if not text or text.startswith("#") or text.lower().replace(" ", "") in _HEADINGS:
            continue
        index, color = first + len(classes), None
        if match := re.fullmatch(r"(\d+)\s*[:,\t ]\s*(\D.*)", text):
            index, text = int(match[1]), match[2].strip()
        elif match := re.fullmatch(r"(\d+)\s+(\d+)\s+(\d+)\s+(\S.*)", text):
            color, text = _color(match[1], match[2], match[3]), match[4].strip()
        elif match := re.fullmatch(r"([^:]+):(\d+),(\d+),(\d+)(:.*)?", text):
            color, text = _color(match[2], match[3], match[4]), match[1].strip()
        elif len(cells := next(csv.reader([text]))) == 4 and all(c.strip().isdecimal() for c in cells[1:]):
            color, text = _color(*(c.strip() for c in cells[1:])), cells[0].strip()
        classes.append(ClassName(name=text, index=index, color=color))
    if not classes:
        raise ValueError(f"{path}: names no class; write one a line")
    return classes


def _numbered_names(path: Path) -> list[ClassName]:
    data = read_json(path)
    if (
        not isinstance(data, dict)
        or not data
        or not all(key.isdecimal() and isinstance(name, str) for key, name in data.items())
    ):
        raise ValueError(f'{path}: expected an object of numbers and class names, as {{"0": "background"}}')
    return [ClassName(name=name.strip(), index=int(key), color=None) for key, name in data.items()]


def _color(red: str, green: str, blue: str) -> Color | None:
    values = (int(red), int(green), int(blue))
    return values if max(values) < 256 else None


def _pairs(folder: Path) -> tuple[list[tuple[Path, Path]], list[Skip]]:
    """Images and their label maps; label maps lie in folders that are called so, or end so."""
    paths = ImageFinder(folder).paths
    labels = [p for p in paths if is_label(p, folder)]
    images: dict[str, list[Path]] = {}
    for path in paths:
        if not is_label(path, folder):
            images.setdefault(path.stem, []).append(path)
    pairs: list[tuple[Path, Path]] = []
    skipped: list[Skip] = []
    for label in labels:
        stem = label.stem if label.stem in images else _ENDINGS.sub("", label.stem)
        found = images.get(stem, [])
        if len(found) > 1:
            split = split_of(label, folder)
            found = [path for path in found if split_of(path, folder) == split]
        if len(found) == 1:
            pairs.append((found[0], label))
        else:
            reason = f"{label}: {len(found)} images of its name"
            skipped.append(Skip(item=str(label), reason=reason))
    return pairs, skipped


def is_label(path: Path, folder: Path) -> bool:
    """Whether an image below a folder is called as label maps are, or lies in a folder that is."""
    if path.suffix.lower() not in LABEL_SUFFIXES:
        return False
    parts = path.relative_to(folder).parts[:-1]
    return any(_FOLDERS.fullmatch(part) for part in parts) or bool(_ENDINGS.search(path.stem))


def _stored(path: Path) -> NDArray[Any] | None:
    """A label map as it is stored, `[H, W]` or `[H, W, C]`; None where it cannot be read."""
    with suppress(ValueError, OSError):
        return read_stored(path)
    return None
