"""BDD100K's 10k panoptic set: RGBA bit masks, or the COCO form that its own tool writes from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from xdecoder.data.coco import read_panoptic
from xdecoder.data.coco_file import categories_by_id
from xdecoder.data.dataset import Dataset, ExistingFiles
from xdecoder.data.decoding import FileImage, panoptic_from_keys
from xdecoder.data.panoptic_tasks import PanopticSample, from_panoptic
from xdecoder.data.records import PanopticMap, StoredPanoptic
from xdecoder.data.selection import Selection
from xdecoder.images import read_stored
from xdecoder.vocabularies import built_in

_CLASSES = 40
_CROWD, _IGNORE = 2, 1  # bits of the attribute channel; 8 is truncated, 4 occluded


@final
@dataclass(frozen=True, kw_only=True)
class Bitmask(StoredPanoptic):
    """An RGBA PNG: R category from 1, G attribute bits, B and A the instance id; ignored ones are void."""

    path: str

    def load(self) -> PanopticMap:
        """Decode ids and segments."""
        stored = read_stored(self.path)
        if stored.ndim != 3 or stored.shape[2] != 4:
            raise ValueError(
                f"{self.path}: a BDD100K bit mask has four channels, this has shape {stored.shape}"
            )
        keys = stored.astype(np.int64) @ np.array([1 << 24, 1 << 16, 1 << 8, 1], dtype=np.int64)
        things = built_in("bdd-panoptic").things
        meaning: dict[int, tuple[int, bool, bool]] = {}
        for key in np.unique(keys).tolist():
            category, attributes = (key >> 24) - 1, (key >> 16) & 255
            if category >= _CLASSES:
                raise ValueError(f"{self.path}: unknown category {category + 1}; expected 0 to {_CLASSES}")
            if category >= 0 and not attributes & _IGNORE:
                meaning[key] = (category, category in things, bool(attributes & _CROWD))
        return panoptic_from_keys(keys, meaning)


def open_bdd100k_panoptic(selection: Selection) -> Dataset[Any]:
    """BDD100K under `bdd100k/labels/pan_seg/`: `meta/coco_<split>.json` if there, else `bitmasks/`."""
    vocabulary = built_in("bdd-panoptic")
    images = selection.path("bdd100k/images/10k/{word}")
    annotations = selection.path("bdd100k/labels/pan_seg/meta/coco_{word}.json")
    if annotations.is_file():
        return read_panoptic(
            selection,
            annotations=annotations,
            maps=selection.path("bdd100k/labels/pan_seg/coco_pano/{word}"),
            images=images,
            image_name=lambda _image, map_name: f"{map_name.removesuffix('.png')}.jpg",
            categories=categories_by_id(vocabulary, tuple(range(1, _CLASSES + 1)), frozenset({0})),
        )
    existing = ExistingFiles(selection.name, selection.missing)
    panoptic: list[PanopticSample] = []
    for path in sorted(selection.path("bdd100k/labels/pan_seg/bitmasks/{word}").glob("*.png")):
        image = str(images / f"{path.stem}.jpg")
        if selection.wants(path.stem) and existing.has(image):
            panoptic.append(
                PanopticSample(
                    image_id=path.stem, source=FileImage(path=image), panoptic_source=Bitmask(path=str(path))
                )
            )
    return from_panoptic(panoptic, selection, vocabulary, existing.finish())
