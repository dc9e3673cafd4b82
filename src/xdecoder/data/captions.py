"""Karpathy's caption splits of COCO and Flickr30k."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from xdecoder.data.dataset import Dataset, ExistingFiles, Skip, refuse_duplicates
from xdecoder.data.decoding import FileImage, read_json
from xdecoder.data.records import CaptionSample
from xdecoder.data.selection import Selection, read_image_list

TRAINING_SPLITS = ("train", "restval", "val")
"""Karpathy's splits that the published models were trained on."""


def karpathy_rows(path: Path, split: str) -> list[dict[str, Any]]:
    """The entries of one split of a Karpathy JSON file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is another kind of file.
    """
    data = read_json(path)
    if not isinstance(data, dict) or not isinstance(data.get("images"), list):
        raise ValueError(f'{path}: not a Karpathy split file; expected an object with "images"')
    rows: list[dict[str, Any]] = data["images"]
    if any("split" not in row or "sentences" not in row for row in rows):
        raise ValueError(f'{path}: every image of a Karpathy split file has "split" and "sentences"')
    return [row for row in rows if row["split"] == split]


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
    return _samples(
        selection,
        path,
        [(row["cocoid"], coco_image(selection, row["cocoid"], row["filepath"]), row) for row in rows],
    )


def open_flickr30k(selection: Selection) -> Dataset[CaptionSample]:
    """Flickr30k in Karpathy's split: `flickr30k/dataset_flickr30k.json` and `flickr30k/flickr30k-images/`."""
    path = selection.path("flickr30k/dataset_flickr30k.json")
    images = selection.path("flickr30k/flickr30k-images|flickr30k/flickr30k_images")
    rows = karpathy_rows(path, selection.word)
    return _samples(selection, path, [(row["imgid"], images / row["filename"], row) for row in rows])


def _samples(
    selection: Selection, path: Path, entries: list[tuple[int, Path, dict[str, Any]]]
) -> Dataset[CaptionSample]:
    refuse_duplicates((image_id for image_id, _file, _row in entries), what="image", where=path)
    existing = ExistingFiles(selection.name, selection.missing)
    left_out: list[Skip] = []
    samples: list[CaptionSample] = []
    for image_id, file, row in entries:
        captions = tuple(str(s["raw"]).strip() for s in row["sentences"])
        if not selection.wants(image_id) or not existing.has(str(file)):
            continue
        if not captions:
            left_out.append(Skip(item=f"image {image_id}", reason="no caption"))
            continue
        samples.append(CaptionSample(image_id=image_id, source=FileImage(path=str(file)), captions=captions))
    return Dataset(
        samples,
        name=selection.name,
        task="caption",
        split=selection.split,
        skipped=(*existing.finish(), *left_out),
    )
