"""What is read of a labeling tool's files, whatever the tool, and what its readers have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    """An object's class and mask."""

    label: str
    segmentation: Polygons | Rle


@final
@dataclass(frozen=True, kw_only=True)
class LabeledImage:
    """An image and what is known of it: its objects, its label map or its panoptic map.

    Attributes:
        path: the image file.
        split: "train", "val" or "test", where the source says.
        size: (height, width) that the labels are of.
    """

    path: Path
    split: str | None
    size: tuple[int, int]
    objects: tuple[LabeledObject, ...] = ()
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
    """

    kind: LabelKind
    classes: tuple[str, ...]
    images: tuple[LabeledImage, ...]
    skipped: tuple[Skip, ...]
    things: frozenset[int] = frozenset()


def split_of(path: Path, root: Path) -> str | None:
    """The split that a folder on the way to a file names."""
    parts = path.relative_to(root).parts[:-1]
    return next((_SPLITS[part.lower()] for part in parts if part.lower() in _SPLITS), None)


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
            self._by_name.setdefault(path.name, []).append(path)

    def find(self, name: str, near: Path, *, outside: Path | None = None) -> Path:
        """The image that a file names.

        Args:
            name: as the file has it, with whatever folders.
            near: the naming file: of several images with that name the one beside it is meant.
            outside: a folder of label maps, whose files bear the images' names and are not meant.

        Raises:
            ValueError: there is none, or there are several.
        """
        parts = name_parts(name)
        found = next((f for last in last_names(parts[-1]) if (f := self._by_name.get(last))), [])
        found = [path for path in found if path.parent != outside]
        for length in range(2, len(parts) + 1):
            closer = [path for path in found if path.parts[-length:] == tuple(parts[-length:])]
            found = closer or found
        if len(found) > 1:
            found = [path for path in found if path.parent == near.parent] or found
        if len(found) != 1:
            what = f"{len(found)} images have that name" if found else "no such image below the folder"
            raise ValueError(f"{near}: image {name[:80]!r}: {what}")
        return found[0]


@dataclass
class ObjectReader:
    """Gathers the objects of an image; what has no mask is noted.

    Attributes:
        where: file and image, for messages.
        skipped: what was left out.
        objects: what was read.
    """

    where: str
    skipped: list[Skip]
    objects: list[LabeledObject] = field(default_factory=list[LabeledObject])

    def add(self, label: object, segmentation: Any, what: str) -> None:
        """An object with polygons or run lengths."""
        if not isinstance(label, str) or not label.strip():
            self.leave_out(what, "it has no class name")
            return
        try:
            mask = read_segmentation(segmentation)
        except ValueError as error:
            self.leave_out(what, str(error))
            return
        self.objects.append(LabeledObject(label=label.strip(), segmentation=mask))

    def leave_out(self, what: str, reason: str) -> None:
        """Note what has no mask."""
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


def classes_of(images: Sequence[LabeledImage]) -> tuple[str, ...]:
    """The classes of objects, in alphabetical order."""
    return tuple(sorted({o.label for image in images for o in image.objects}))


def ring(points: Any) -> list[float] | None:
    """A flat polygon from a list of [x, y]; None where it is no such list."""
    if not isinstance(points, list) or not all(
        isinstance(p, list) and len(p) == 2 and all(type(v) in (int, float) for v in p) for p in points
    ):
        return None
    return [float(v) for point in points for v in point]
