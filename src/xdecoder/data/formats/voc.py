"""Pascal VOC's segmentation: JPEGImages, SegmentationClass and lists of images, as CVAT exports it too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from xdecoder.data.dataset import Skip
from xdecoder.data.formats.labeled import LabeledFolder, files_in
from xdecoder.data.formats.masks import ClassName, as_folder, find_names, read_names
from xdecoder.images import IMAGE_SUFFIXES
from xdecoder.jobs.files import read_file
from xdecoder.vocabularies import built_in


def detect(folder: Path) -> str | None:
    """The masks that are there, in words."""
    masks = _masks(folder)
    return f"SegmentationClass with {len(masks)} masks" if masks else None


def read(folder: Path) -> LabeledFolder:
    """Read the class masks; background and border are void.

    The classes are those of a file of names (`labelmap.txt`, `classes.txt`), or else VOC's own twenty.
    """
    names = find_names(folder)
    own = [
        ClassName(name=name, index=i, color=None) for i, name in enumerate(built_in("voc").classes, start=1)
    ]
    listed = read_names(names) if names else [ClassName(name="background", index=0, color=None), *own]
    if listed[0].name.casefold() not in ("background", "void") and all(c.color is None for c in listed):
        listed = [ClassName(name="background", index=0, color=None)] + [
            replace(c, index=c.index + 1) for c in listed
        ]  # VOC's masks hold 0 for the background whether or not it is named
    split_of_stem: dict[str, str] = {}
    for split in ("test", "val", "train"):
        for path in files_in(folder, (".txt",)):
            if path.stem.lower() == split and path.parent.parent.name == "ImageSets":
                for line in read_file(path).decode("utf-8", "replace").splitlines():
                    split_of_stem[line.strip()] = split
    pairs: list[tuple[Path, Path]] = []
    skipped: list[Skip] = []
    for mask in _masks(folder):
        beside = mask.parent.parent / "JPEGImages"
        image = next((p for s in IMAGE_SUFFIXES if (p := beside / f"{mask.stem}{s}").is_file()), None)
        if image is None:
            skipped.append(Skip(item=str(mask), reason=f"{mask}: no image of its name in {beside}"))
        else:
            pairs.append((image, mask))
    read = as_folder(folder, pairs, listed, skipped)
    images = tuple(replace(i, split=split_of_stem.get(i.path.stem, i.split)) for i in read.images)
    return replace(read, images=images)


def _masks(folder: Path) -> list[Path]:
    return [path for path in files_in(folder, (".png",)) if path.parent.name == "SegmentationClass"]
