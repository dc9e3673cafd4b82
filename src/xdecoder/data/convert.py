"""`convert`: a labeling tool's files become a folder that this package reads."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, final

import numpy as np

from xdecoder.data.custom import VOID_VALUE
from xdecoder.data.dataset import Skip
from xdecoder.data.formats.labeled import ImageFinder, LabeledFolder, LabeledImage, LabelKind
from xdecoder.data.formats.masks import LABEL_SUFFIXES, is_label
from xdecoder.data.formats.table import FORMATS, detect_format
from xdecoder.data.records import VOID
from xdecoder.images import encode_ids
from xdecoder.jobs.files import flat_name, remove_drafts, whole_folder
from xdecoder.jobs.progress import ProgressCallback
from xdecoder.structures.masks import box_to_xywh, decode_rle, mask_box, rle_area, segmentation_rle
from xdecoder.structures.png import write_png

_DATASET: Final[dict[LabelKind, str]] = {
    "instances": "custom-instances",
    "panoptic": "custom-panoptic",
    "semantic": "custom-semantic",
}


@final
@dataclass(frozen=True, kw_only=True)
class Converted:
    """What was converted.

    Attributes:
        format: by name.
        seen: what it was recognized by.
        dataset: the data set that reads the result.
        classes: names, in their order.
        images: by split, how many.
        skipped: what was left out, and why.
        notes: what was taken to be meant, where the files do not say it.
    """

    format: str
    seen: str
    dataset: str
    classes: tuple[str, ...]
    images: dict[str, int]
    skipped: tuple[Skip, ...]
    notes: tuple[str, ...]


def convert(
    source: Path,
    out: Path,
    *,
    format: str | None = None,
    val: float | None = None,
    progress: ProgressCallback | None = None,
) -> Converted:
    """Convert a folder; `out` is there whole or not at all.

    Args:
        source: the folder of images and labels.
        out: the folder to make.
        format: a name of `FORMATS`; otherwise what the folder looks like.
        val: the share of the training images that become the validation split, chosen by their names alone;
            without it the splits are the source's.
        progress: called with the images done and their number.

    Raises:
        FileExistsError: `out` holds something.
        FileNotFoundError: there is no `source`.
        ValueError: the format is unknown or malformed, `source` is a file, or no image can be used.
    """
    if source.is_file():
        raise ValueError(
            f"{source} is a file; name the folder of labels and images, unpacked if it is an archive"
        )
    if not source.is_dir():
        raise FileNotFoundError(f"{source}: no such folder")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} is not empty; name another folder")
    if val is not None and not 0 < val < 1:
        raise ValueError(f"the validation share lies between 0 and 1, got {val}")
    if format is not None and format not in FORMATS:
        raise ValueError(f"no format {format!r}; known are {', '.join(FORMATS)}")
    name, seen = (format, FORMATS[format].detect(source) or "") if format else detect_format(source)
    labeled = FORMATS[name].read(source)
    images = [image for image in labeled.images if image.objects or not image.without_mask]
    maskless = [image for image in labeled.images if image.without_mask and not image.objects]
    labeled = replace(
        labeled,
        images=_with_splits(images, source, val),
        skipped=(*labeled.skipped, *map(_without_mask, maskless), *_unlabeled(labeled, source)),
    )
    if not labeled.images or not labeled.classes or _is_bare(labeled):
        first = (
            f"; {len(labeled.skipped)} left out, the first: {labeled.skipped[0].reason}"
            if labeled.skipped
            else ""
        )
        raise ValueError(f"{source}: no image with a mask was found as {name}{first}")
    out.parent.mkdir(parents=True, exist_ok=True)
    remove_drafts(out.parent)
    skipped = list(labeled.skipped)
    with whole_folder(out) as draft:
        images = _write(labeled, source, draft, skipped, progress)
    return Converted(
        format=name,
        seen=seen,
        dataset=_DATASET[labeled.kind],
        classes=labeled.classes,
        images=images,
        skipped=tuple(skipped),
        notes=labeled.notes,
    )


def _without_mask(image: LabeledImage) -> Skip:
    count = image.without_mask
    reason = (
        f"{image.path}: none of its {count} label(s) is a mask: what it shows would be learned as background"
    )
    return Skip(item=str(image.path), reason=reason)


def _unlabeled(labeled: LabeledFolder, source: Path) -> Iterator[Skip]:
    """The images of which no labels could be read; what may be a label map counts beside labeled images.

    Drawings of labels that LabelMe's script makes, in `SegmentationClassVisualization`, are none.
    """
    read = {image.path for image in labeled.images}
    folders = {path.parent for path in read}
    for path in ImageFinder(source).paths:
        if path.parent.name.endswith("Visualization"):
            continue
        is_picture = not is_label(path, source) and (labeled.kind == "instances" or path.parent in folders)
        if path not in read and (is_picture or path.suffix.lower() not in LABEL_SUFFIXES):
            yield Skip(item=str(path), reason=f"{path}: it has no labels that can be read")


def _is_bare(labeled: LabeledFolder) -> bool:
    return labeled.kind == "instances" and not any(image.objects for image in labeled.images)


def _with_splits(images: Sequence[LabeledImage], source: Path, val: float | None) -> tuple[LabeledImage, ...]:
    """Every image with a split: images of none train; a share of those goes to validation."""
    known = [replace(image, split=image.split or "train") for image in images]
    if val is None:
        return tuple(known)
    training = [i for i, image in enumerate(known) if image.split == "train"]

    def order(i: int) -> str:
        return hashlib.sha256(
            known[i].path.relative_to(source).as_posix().encode("utf-8", "surrogateescape")
        ).hexdigest()

    chosen = set(sorted(training, key=order)[: max(1, round(val * len(training)))])
    return tuple(replace(image, split="val") if i in chosen else image for i, image in enumerate(known))


def _write(
    labeled: LabeledFolder, source: Path, out: Path, skipped: list[Skip], progress: ProgressCallback | None
) -> dict[str, int]:
    """Write images and labels; how many images each split has."""
    files: dict[str, dict[str, list[Any]]] = {}
    names: set[str] = set()
    counts: Counter[str] = Counter()
    for number, image in enumerate(labeled.images):
        split = image.split or "train"
        stem = flat_name(image.path.relative_to(source), names)
        file_name = f"{stem}{image.path.suffix.lower()}"
        row = {"id": number + 1, "file_name": file_name, "height": image.size[0], "width": image.size[1]}
        rows = files.setdefault(split, {"images": [], "annotations": []})
        try:
            _write_labels(labeled, image, out, split, stem, rows, number + 1)
        except (ValueError, FileNotFoundError) as error:
            skipped.append(Skip(item=str(image.path), reason=str(error)))
            continue
        (out / "images" / split).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image.path, out / "images" / split / file_name)
        rows["images"].append(row)
        counts[split] += 1
        if progress:
            progress(number + 1, len(labeled.images))
    if not counts:
        raise ValueError(f"{source}: no image could be used; the first: {skipped[0].reason}")
    _write_lists(labeled, out, files)
    return dict(counts)


def _write_labels(
    labeled: LabeledFolder,
    image: LabeledImage,
    out: Path,
    split: str,
    stem: str,
    rows: dict[str, list[Any]],
    image_id: int,
) -> None:
    if image.labels is not None:
        wide = len(labeled.classes) > VOID_VALUE
        labels = image.labels.load()
        void = 65535 if wide else VOID_VALUE
        stored = np.where(labels == VOID, void, labels).astype(np.uint16 if wide else np.uint8)
        write_png(out / "labels" / split / f"{stem}.png", stored)
    elif image.panoptic is not None:
        panoptic = image.panoptic.load()
        write_png(out / f"panoptic_{split}" / f"{stem}.png", encode_ids(panoptic.ids))
        segments = [
            {"id": s.id, "category_id": s.category + 1, "area": s.area, "iscrowd": int(s.crowd)}
            for s in panoptic.segments
        ]
        rows["annotations"].append(
            {"image_id": image_id, "file_name": f"{stem}.png", "segments_info": segments}
        )
    else:
        for labeled_object in image.objects:
            mask = segmentation_rle(labeled_object.segmentation, *image.size)
            segmentation = labeled_object.segmentation
            rows["annotations"].append(
                {
                    "id": 0,  # numbered where all are known
                    "image_id": image_id,
                    "category_id": labeled.classes.index(labeled_object.label) + 1,
                    "iscrowd": int(labeled_object.crowd),
                    "bbox": box_to_xywh(mask_box(decode_rle(mask))),
                    "area": rle_area(mask),
                    "segmentation": segmentation if isinstance(segmentation, dict) else list(segmentation),
                }
            )


def _write_lists(labeled: LabeledFolder, out: Path, files: dict[str, dict[str, list[Any]]]) -> None:
    if labeled.kind == "semantic":
        (out / "classes.txt").write_text("".join(f"{name}\n" for name in labeled.classes), encoding="utf-8")
        return
    things = labeled.things if labeled.kind == "panoptic" else range(len(labeled.classes))
    categories = [
        {"id": i + 1, "name": name, "isthing": int(i in things)} for i, name in enumerate(labeled.classes)
    ]
    (out / "annotations").mkdir()
    for split, rows in files.items():
        if labeled.kind == "instances":
            for number, row in enumerate(rows["annotations"], start=1):
                row["id"] = number
        content = json.dumps({**rows, "categories": categories})
        (out / "annotations" / f"{labeled.kind}_{split}.json").write_text(content, encoding="utf-8")
