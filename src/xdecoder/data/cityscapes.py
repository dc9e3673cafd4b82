"""Cityscapes: label ids and instance ids per city, and the panoptic JSON that its own script writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from xdecoder.data.coco import read_panoptic
from xdecoder.data.coco_file import categories_by_id
from xdecoder.data.dataset import Dataset, ExistingFiles
from xdecoder.data.decoding import FileImage, LabelCoding, LabelFile, panoptic_from_keys
from xdecoder.data.panoptic_tasks import PanopticSample, from_panoptic
from xdecoder.data.records import PanopticMap, SemanticSample, StoredPanoptic
from xdecoder.data.selection import Selection
from xdecoder.images import read_stored
from xdecoder.vocabularies import built_in

LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Cityscapes' label id of each of the 19 evaluated classes, in the order of their train ids."""

_CODING = LabelCoding(classes=19, stored=LABEL_IDS, void=(), others_void=True)


@final
@dataclass(frozen=True, kw_only=True)
class InstanceIds(StoredPanoptic):
    """`*_instanceIds.png`: label id, or 1000 times the label id plus a number for a thing told apart.

    A thing that carries its bare label id is a group: a crowd.
    """

    path: str

    def load(self) -> PanopticMap:
        """Decode ids and segments; classes outside the 19 are void."""
        stored = read_stored(self.path)
        if stored.ndim != 2:
            raise ValueError(f"{self.path}: instance ids have one channel, this has shape {stored.shape}")
        keys = stored.astype(np.int64)
        things = built_in("cityscapes").things
        index_of = {label_id: i for i, label_id in enumerate(LABEL_IDS)}
        meaning: dict[int, tuple[int, bool, bool]] = {}
        for key in np.unique(keys).tolist():
            category = index_of.get(key // 1000 if key >= 1000 else key)
            if category is not None:
                is_thing = category in things
                meaning[key] = (category, is_thing, is_thing and key < 1000)
        return panoptic_from_keys(keys, meaning)


def open_cityscapes(selection: Selection) -> Dataset[Any]:
    """Cityscapes under `cityscapes/`; panoptic needs `gtFine/cityscapes_panoptic_<split>.json`.

    Instances come from `*_instanceIds.png`, semantic maps from `*_labelIds.png`.
    """
    vocabulary = built_in("cityscapes")
    images = selection.path("cityscapes/leftImg8bit/{word}")
    if selection.task == "panoptic":
        return read_panoptic(
            selection,
            annotations=selection.path("cityscapes/gtFine/cityscapes_panoptic_{word}.json"),
            maps=selection.path("cityscapes/gtFine/cityscapes_panoptic_{word}"),
            images=images,
            image_name=lambda image, _map_name: _image_name(str(image.id)),
            categories=categories_by_id(vocabulary, LABEL_IDS),
        )
    ending = "labelIds" if selection.task == "semantic" else "instanceIds"
    folder = selection.path("cityscapes/gtFine/{word}")
    existing = ExistingFiles(selection.name, selection.missing)
    semantic: list[SemanticSample] = []
    panoptic: list[PanopticSample] = []
    for path in sorted(folder.glob(f"*/*_gtFine_{ending}.png")):
        image_id = path.name.removesuffix(f"_gtFine_{ending}.png")
        image = str(images / _image_name(image_id))
        if not selection.wants(image_id) or not existing.has(image):
            continue
        if selection.task == "semantic":
            labels = LabelFile(path=str(path), coding=_CODING)
            semantic.append(
                SemanticSample(image_id=image_id, source=FileImage(path=image), label_source=labels)
            )
        else:
            panoptic.append(
                PanopticSample(
                    image_id=image_id,
                    source=FileImage(path=image),
                    panoptic_source=InstanceIds(path=str(path)),
                )
            )
    skipped = existing.finish()
    if selection.task != "semantic":
        return from_panoptic(panoptic, selection, vocabulary, skipped)
    return Dataset(
        semantic,
        name=selection.name,
        task="semantic",
        split=selection.split,
        vocabulary=vocabulary,
        skipped=skipped,
    )


def _image_name(image_id: str) -> str:
    return f"{image_id.split('_')[0]}/{image_id}_leftImg8bit.png"
