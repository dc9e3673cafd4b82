"""Karpathy's caption splits of COCO and Flickr30k."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from xdecoder.data.dataset import Dataset, ExistingFiles, Skip
from xdecoder.data.decoding import FileImage, read_json
from xdecoder.data.problems import Problems, has_fields, refuse_duplicates, rows_of
from xdecoder.data.records import CaptionSample
from xdecoder.data.selection import Selection, read_image_list
from xdecoder.jobs.files import safe_name

_COCO: Mapping[str, type] = {"cocoid": int, "filepath": str}

TRAINING_SPLITS = ("train", "restval", "val")
"""Karpathy's splits that the published models were trained on."""


def karpathy_rows(path: Path, split: str, fields: Mapping[str, type] = _COCO) -> list[dict[str, Any]]:
    """The entries of one split of a Karpathy JSON file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is another kind of file.
    """
    data = read_json(path)
    rows = rows_of(data, "images", path, "a Karpathy split file")
    problems = Problems(path)
    for place, row in enumerate(rows):
        where = f"images[{place}]"
        if not has_fields(row, {"split": str, "sentences": list}, where, problems):
            continue
        if row["split"] == split and has_fields(row, fields, where, problems):
            for sentence in row["sentences"]:
                if not isinstance(sentence, dict) or not isinstance(sentence.get("raw"), str):
                    problems.add(f'{where}: a sentence is an object with a text under "raw"')
    problems.refuse()
    return [row for row in rows if row["split"] == split]


def coco_number(image_id: object, where: Path) -> int:
    """An image id of COCO's, which its files are named by.

    Raises:
        ValueError: it is no number.
    """
    text = str(image_id)
    if not text.isascii() or not text.isdecimal() or len(text) > 12:
        raise ValueError(f"{where}: image id {text[:40]!r}; COCO's images are numbered, of 12 digits at most")
    return int(text)


def coco_image(selection: Selection, image_id: int, folder_2014: str) -> Path:
    """The file of a COCO image, in the 2014 folders or else the 2017 ones (ids are the same in both)."""
    in_2014 = selection.path(f"coco/{folder_2014}/COCO_{folder_2014}_{image_id:012d}.jpg")
    if in_2014.parent.is_dir():
        return in_2014
    return selection.path(f"coco/train2017/{image_id:012d}.jpg|coco/val2017/{image_id:012d}.jpg")


def open_coco_karpathy(selection: Selection) -> Dataset[CaptionSample]:
    """COCO's captions in Karpathy's split: `coco/annotations/dataset_coco.json`.

    "train-leakfree" is all that may be trained on, by the list that `prepare.write_leakfree` writes.
    """
    path = selection.path("coco/annotations/dataset_coco.json")
    if selection.split == "train-leakfree":
        listed = read_image_list(selection.path("coco/annotations/karpathy_leakfree.txt"))
        selection = replace(selection, only=listed if selection.only is None else listed & selection.only)
        rows = [row for split in TRAINING_SPLITS for row in karpathy_rows(path, split)]
    else:
        rows = karpathy_rows(path, selection.word)
    entries = [
        (row["cocoid"], str(coco_image(selection, row["cocoid"], safe_name(row["filepath"]))), row)
        for row in rows
    ]
    return _samples(selection, path, entries, ExistingFiles(selection.name, selection.missing))


def open_flickr30k(selection: Selection) -> Dataset[CaptionSample]:
    """Flickr30k in Karpathy's split: `flickr30k/dataset_flickr30k.json` and `flickr30k/flickr30k-images/`."""
    path = selection.path("flickr30k/dataset_flickr30k.json")
    images = selection.path("flickr30k/flickr30k-images|flickr30k/flickr30k_images")
    rows = karpathy_rows(path, selection.word, {"imgid": int, "filename": str})
    existing = ExistingFiles(selection.name, selection.missing)
    entries = [(row["imgid"], existing.find(images, row["filename"]), row) for row in rows]
    return _samples(selection, path, entries, existing)


def _samples(
    selection: Selection,
    path: Path,
    entries: list[tuple[int, str, dict[str, Any]]],
    existing: ExistingFiles,
) -> Dataset[CaptionSample]:
    refuse_duplicates((image_id for image_id, _file, _row in entries), what="image", where=path)
    left_out: list[Skip] = []
    samples: list[CaptionSample] = []
    for image_id, file, row in entries:
        captions = tuple(text for s in row["sentences"] if (text := s["raw"].strip()))
        if not selection.wants(image_id) or not existing.has(file):
            continue
        if not captions:
            left_out.append(Skip(item=f"image {image_id}", reason="no caption"))
            continue
        samples.append(CaptionSample(image_id=image_id, source=FileImage(path=file), captions=captions))
    return Dataset(
        samples,
        name=selection.name,
        task="caption",
        split=selection.split,
        skipped=(*existing.finish(), *left_out),
    )
