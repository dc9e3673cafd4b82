"""Cityscapes as downloaded: `gtFine` and `leftImg8bit`."""

from __future__ import annotations

from pathlib import Path

from xdecoder.data.cityscapes import InstanceIds
from xdecoder.data.dataset import Skip
from xdecoder.data.formats.labeled import ImageFinder, LabeledFolder, LabeledImage, labeled_size, split_of
from xdecoder.vocabularies import built_in

_ENDING = "_gtFine_instanceIds.png"


def detect(folder: Path) -> str | None:
    """The maps that are there, in words."""
    count = sum(1 for _ in folder.rglob(f"*{_ENDING}"))
    return f"{count} files *{_ENDING}" if count else None


def read(folder: Path) -> LabeledFolder:
    """Read the instance ids; classes outside the 19 are void."""
    finder = ImageFinder(folder)
    images: list[LabeledImage] = []
    skipped: list[Skip] = []
    for path in sorted(folder.rglob(f"*{_ENDING}")):
        try:
            image = finder.find(f"{path.name.removesuffix(_ENDING)}_leftImg8bit.png", path)
            size = labeled_size(image)
        except ValueError as error:
            skipped.append(Skip(item=str(path), reason=str(error)))
            continue
        images.append(
            LabeledImage(
                path=image, split=split_of(path, folder), size=size, panoptic=InstanceIds(path=str(path))
            )
        )
    vocabulary = built_in("cityscapes")
    return LabeledFolder(
        kind="panoptic",
        classes=vocabulary.classes,
        things=vocabulary.things,
        images=tuple(images),
        skipped=tuple(skipped),
    )
