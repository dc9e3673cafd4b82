"""Pascal VOC's segmentation, JPEGImages and SegmentationClass, as CVAT and LabelMe write it too.

Beside VOC's own folder, older versions of LabelMe's script write PNGs to `SegmentationClassPNG`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from xdecoder.data.dataset import Skip
from xdecoder.data.formats.labeled import LabeledFolder, files_in
from xdecoder.data.formats.masks import ClassName, as_folder, find_names, is_no_class, read_names
from xdecoder.images import IMAGE_SUFFIXES
from xdecoder.jobs.files import read_file
from xdecoder.vocabularies import built_in


def detect(folder: Path) -> str | None:
    """The masks that are there, in words."""
    masks = _masks(folder)
    return f"SegmentationClass with {len(masks)} masks" if masks else None


def read(folder: Path) -> LabeledFolder:
    """Read the class masks; background and border are void.

    The classes are those of a file of names (`labelmap.txt`, `class_names.txt`), or else VOC's own twenty.
    The splits are those of `ImageSets/Segmentation`; without it, of other lists in `ImageSets`.
    """
    names = find_names(folder)
    own = [
        ClassName(name=name, index=i, color=None) for i, name in enumerate(built_in("voc").classes, start=1)
    ]
    listed = read_names(names) if names else [ClassName(name="background", index=0, color=None), *own]
    if not is_no_class(listed[0].name) and all(c.color is None for c in listed):
        listed = [ClassName(name="background", index=0, color=None)] + [
            replace(c, index=c.index + 1) for c in listed
        ]  # VOC's masks hold 0 for the background whether or not it is named
    split_of_stem = _splits(folder)
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


def _splits(folder: Path) -> dict[str, str]:
    """The split of each image that a list names."""
    lists = [path for path in files_in(folder, (".txt",)) if path.parent.parent.name == "ImageSets"]
    lists = [path for path in lists if path.parent.name == "Segmentation"] or lists
    found: dict[str, str] = {}
    for split in ("test", "val", "train"):
        for path in lists:
            if path.stem.lower() == split:
                lines = read_file(path).decode("utf-8", "replace").splitlines()
                found |= dict.fromkeys((line.strip() for line in lines), split)
    return found


def _masks(folder: Path) -> list[Path]:
    folders = ("SegmentationClass", "SegmentationClassPNG")
    return [path for path in files_in(folder, (".png",)) if path.parent.name in folders]
