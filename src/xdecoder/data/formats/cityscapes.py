"""Cityscapes as downloaded, `gtFine` and `leftImg8bit`, and CVAT's exports of other classes in its layout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from xdecoder.data.cityscapes import LABEL_IDS, InstanceIds
from xdecoder.data.dataset import Skip
from xdecoder.data.formats.labeled import ImageFinder, LabeledFolder, LabeledImage, labeled_size, split_of
from xdecoder.data.formats.masks import ClassName, as_folder, read_names
from xdecoder.vocabularies import built_in

_INSTANCES: Final = "_gtFine_instanceIds.png"
_LABELS: Final = "_gtFine_labelIds.png"
_COLORS: Final = "_gtFine_color.png"
_OWN_CLASSES: Final = "label_colors.txt"


def detect(folder: Path) -> str | None:
    """The maps that are there, in words."""
    for ending in (_INSTANCES, _LABELS):
        if count := sum(1 for _ in folder.rglob(f"*{ending}")):
            own = f", classes {_OWN_CLASSES}" if _own_classes(folder) else ""
            return f"{count} files *{ending}{own}"
    return None


def _own_classes(folder: Path) -> Path | None:
    """The list of classes that are not Cityscapes'."""
    return next(iter(sorted(folder.rglob(_OWN_CLASSES))), None)


def read(folder: Path) -> LabeledFolder:
    """Read the instance ids; classes outside the 19 are void.

    Where there are label ids alone, a semantic folder is read. So it is where `label_colors.txt` lists other
    classes, by the maps of their colors: what their ids are, no file says.

    Raises:
        ValueError: the list of classes is malformed.
    """
    skipped: list[Skip] = []
    if own := _own_classes(folder):
        pairs = [(image, label) for label, image in _found(folder, _COLORS, skipped)]
        return as_folder(folder, pairs, read_names(own), skipped)
    vocabulary = built_in("cityscapes")
    if next(folder.rglob(f"*{_INSTANCES}"), None) is None:
        pairs = [(image, label) for label, image in _found(folder, _LABELS, skipped)]
        classes: dict[int, str] = dict(zip(LABEL_IDS, vocabulary.classes, strict=True))
        listed = [ClassName(name=classes.get(i, "void"), index=i, color=None) for i in range(34)]
        return as_folder(folder, pairs, listed, skipped)
    images: list[LabeledImage] = []
    for path, image in _found(folder, _INSTANCES, skipped):
        try:
            size = labeled_size(image)
        except ValueError as error:
            skipped.append(Skip(item=str(path), reason=str(error)))
            continue
        source = InstanceIds(path=str(path))
        images.append(LabeledImage(path=image, split=split_of(path, folder), size=size, panoptic=source))
    return LabeledFolder(
        kind="panoptic",
        classes=vocabulary.classes,
        things=vocabulary.things,
        images=tuple(images),
        skipped=tuple(skipped),
    )


def _found(folder: Path, ending: str, skipped: list[Skip]) -> Iterator[tuple[Path, Path]]:
    """The maps of a kind, each with its image; one without is noted."""
    finder = ImageFinder(folder)
    for path in sorted(folder.rglob(f"*{ending}")):
        try:
            yield path, finder.find(f"{path.name.removesuffix(ending)}_leftImg8bit.png", path)
        except ValueError as error:
            skipped.append(Skip(item=str(path), reason=str(error)))
