"""What is read of a labeling tool's files, whatever the tool, and what its readers have in common."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, final

from xdecoder.data.dataset import Skip, last_names, name_parts
from xdecoder.data.decoding import read_json
from xdecoder.data.records import StoredLabels, StoredPanoptic
from xdecoder.images import IMAGE_SUFFIXES, read_header
from xdecoder.structures.masks import Polygons, Rle, read_segmentation

LabelKind = Literal["instances", "panoptic", "semantic"]

_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


@final
@dataclass(frozen=True, kw_only=True)
class LabeledObject:
    """An object's class and mask; a crowd is a group that is not told apart."""

    label: str
    segmentation: Polygons | Rle
    crowd: bool = False


@final
@dataclass(frozen=True, kw_only=True)
class LabeledImage:
    """An image and what is known of it: its objects, its label map or its panoptic map.

    Attributes:
        path: the image file.
        split: "train", "val" or "test", where the source says.
        size: (height, width) that the labels are of.
        without_mask: how many of its labels have no mask, as boxes.
    """

    path: Path
    split: str | None
    size: tuple[int, int]
    objects: tuple[LabeledObject, ...] = ()
    without_mask: int = 0
    labels: StoredLabels | None = None
    panoptic: StoredPanoptic | None = None


@final
@dataclass(frozen=True, kw_only=True)
class LabeledFolder:
    """All that was read.

    Attributes:
        kind: what every image has.
        classes: names; label maps and panoptic maps hold indexes into them.
        things: of a panoptic folder, the classes that are countable objects.
        images: in the order of their paths.
        skipped: what could not be read, and why.
        notes: what was taken to be meant, where the files do not say it.
    """

    kind: LabelKind
    classes: tuple[str, ...]
    images: tuple[LabeledImage, ...]
    skipped: tuple[Skip, ...]
    things: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()


def split_of(path: Path, root: Path) -> str | None:
    """The split that a folder on the way to a file names."""
    parts = path.relative_to(root).parts[:-1]
    return next((_SPLITS[part.lower()] for part in parts if part.lower() in _SPLITS), None)


def split_of_name(path: Path) -> str | None:
    """The split that a file is called after, as `instances_train2017.json` is."""
    return next((s for s in ("train", "val", "test") if s in path.stem.lower()), None)


def files_in(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """The files below a folder that end so, hidden ones and those in hidden folders left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def json_files(folder: Path, skipped: list[Skip]) -> Iterator[tuple[Path, Any]]:
    """The JSON files below a folder, and what each holds; one that cannot be read is noted in `skipped`."""
    for path in files_in(folder, (".json",)):
        try:
            yield path, read_json(path)
        except ValueError as error:
            skipped.append(Skip(item=str(path), reason=str(error)))


@final
class ImageFinder:
    """The images below a folder, found by as many last parts of a name as tell them apart."""

    def __init__(self, folder: Path) -> None:
        self.paths = files_in(folder, IMAGE_SUFFIXES)
        self._by_name: dict[str, list[Path]] = {}
        for path in self.paths:
            self._by_name.setdefault(path.name.casefold(), []).append(path)

    def find(self, name: str, near: Path, *, outside: Path | None = None) -> Path:
        """The image that a file names.

        Args:
            name: as the file has it, with whatever folders, in whatever case.
            near: the naming file: of several images with that name the one nearest to it is meant.
            outside: a folder of label maps, whose files bear the images' names and are not meant.

        Raises:
            ValueError: there is none, or there are several.
        """
        parts = name_parts(name)
        names = last_names(parts[-1])
        found = next((f for last in names if (f := self._by_name.get(last.casefold()))), [])
        found = [path for path in found if path.parent != outside]
        found = [path for path in found if path.name in names] or found
        for length in range(2, len(parts) + 1):
            closer = [path for path in found if path.parts[-length:] == tuple(parts[-length:])]
            found = closer or found
        if len(found) > 1:
            found = [path for path in found if path.parent == near.parent] or _nearest(found, near)
        if len(found) != 1:
            what = f"{len(found)} images have that name" if found else "no such image below the folder"
            raise ValueError(f"{near}: image {name[:80]!r}: {what}")
        return found[0]

    def beside(self, path: Path) -> Path | None:
        """The one image that lies beside a file and is called as it is, whatever its suffix."""
        found = [p for p in self.paths if (p.parent, p.stem) == (path.parent, path.stem)]
        return found[0] if len(found) == 1 else None


def _nearest(paths: list[Path], near: Path) -> list[Path]:
    """Those that share the most folders with a file."""
    shared = [len(os.path.commonpath([path, near.parent])) for path in paths]
    return [path for path, length in zip(paths, shared, strict=True) if length == max(shared)]


@dataclass
class ObjectReader:
    """Gathers the objects of an image; what has no mask is noted.

    Attributes:
        where: file and image, for messages.
        skipped: what was left out.
        objects: what was read.
        without_mask: how many labels were left out.
    """

    where: str
    skipped: list[Skip]
    objects: list[LabeledObject] = field(default_factory=list[LabeledObject])
    without_mask: int = 0

    def image(self, path: Path, split: str | None, size: tuple[int, int]) -> LabeledImage:
        """The image with its objects."""
        return LabeledImage(
            path=path, split=split, size=size, objects=tuple(self.objects), without_mask=self.without_mask
        )

    def add(self, label: object, segmentation: Any, what: str, *, crowd: bool = False) -> None:
        """An object with polygons or run lengths."""
        if not isinstance(label, str) or not label.strip():
            self.leave_out(what, "it has no class name")
            return
        try:
            mask = read_segmentation(segmentation)
        except ValueError as error:
            self.leave_out(what, str(error))
            return
        self.objects.append(LabeledObject(label=label.strip(), segmentation=mask, crowd=crowd))

    def leave_out(self, what: str, reason: str) -> None:
        """Note what has no mask."""
        self.without_mask += 1
        self.skipped.append(Skip(item=f"{self.where}, {what}", reason=f"{self.where}, {what}: {reason}"))


BOX = "a box is no mask: draw polygons, or have a tool make masks of the boxes"
"""Why boxes are left out."""


def labeled_size(path: Path, stated: tuple[int, int] | None = None) -> tuple[int, int]:
    """Height and width of an image as a tool showed it: upright, or as stored where the labels state that.

    Raises:
        ValueError: it is no image, or the labels state another size.
    """
    header = read_header(path)
    if stated is None or stated == header.upright:
        return header.upright
    if stated == (header.height, header.width):
        return stated
    raise ValueError(
        f"{path}: the labels are of an image of {stated[1]}x{stated[0]}, this is "
        f"{header.upright[1]}x{header.upright[0]}"
    )


def classes_of(images: Sequence[LabeledImage], declared: Iterable[str] = ()) -> tuple[str, ...]:
    """The classes that a file declares, in its order, and those of objects, in alphabetical order."""
    found = sorted({o.label for image in images for o in image.objects})
    return tuple(dict.fromkeys([*declared, *found]))


def ellipse(center: tuple[float, float], radii: tuple[float, float], degrees: float = 0.0) -> list[float]:
    """A flat polygon of 64 points around an ellipse.

    Args:
        center: x and y, in pixels.
        radii: along x and y before it is turned.
        degrees: that it is turned by around its center, clockwise on the screen.
    """
    turn = math.radians(degrees)
    points: list[float] = []
    for angle in (2 * math.pi * k / 64 for k in range(64)):
        x, y = radii[0] * math.cos(angle), radii[1] * math.sin(angle)
        points.append(center[0] + x * math.cos(turn) - y * math.sin(turn))
        points.append(center[1] + x * math.sin(turn) + y * math.cos(turn))
    return points


def ring(points: Any) -> list[float] | None:
    """A flat polygon from a list of [x, y]; None where it is no such list."""
    if not isinstance(points, list) or not all(
        isinstance(p, list) and len(p) == 2 and all(type(v) in (int, float) for v in p) for p in points
    ):
        return None
    return [float(v) for point in points for v in point]
