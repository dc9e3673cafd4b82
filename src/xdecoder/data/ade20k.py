"""ADE20K-150: semantic, instance and panoptic, as downloaded or as Mask2Former's scripts prepare them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from xdecoder.data.coco import read_instances, read_panoptic
from xdecoder.data.coco_file import categories_by_id
from xdecoder.data.dataset import Dataset, ExistingFiles
from xdecoder.data.decoding import FileImage, LabelCoding, panoptic_from_keys
from xdecoder.data.folders import Folders, named
from xdecoder.data.panoptic_tasks import PanopticSample, from_panoptic
from xdecoder.data.records import PanopticMap, StoredPanoptic
from xdecoder.data.selection import Selection, things_of
from xdecoder.images import read_stored
from xdecoder.vocabularies import built_in

_FOLDER = "ADEChallengeData2016"


@final
@dataclass(frozen=True, kw_only=True)
class DownloadedMaps(StoredPanoptic):
    """The two maps of the download: categories from 1, and RGB with R the thing's number from 1, G its id.

    Things are painted over stuff, as the challenge does; a pixel that only the category map calls a thing
    belongs to no instance and is void.
    """

    semantic: str
    instance: str

    def load(self) -> PanopticMap:
        """Decode ids and segments."""
        categories = read_stored(self.semantic)
        instances = read_stored(self.instance)
        if categories.ndim != 2 or instances.shape[:2] != categories.shape or instances.ndim != 3:
            raise ValueError(
                f"{self.instance}: shape {instances.shape} does not fit {self.semantic}, {categories.shape}; "
                "expected [H, W, 3] and [H, W]"
            )
        things = sorted(built_in("ade20k").things)
        keys = categories.astype(np.int64)
        painted = instances[..., 1] > 0
        if (instances[..., 0][painted] == 0).any():
            raise ValueError(f"{self.instance}: an instance id without a category; unpack the archive again")
        keys[painted] = 1000 * instances[..., 0].astype(np.int64)[painted] + instances[..., 1][painted]
        meaning: dict[int, tuple[int, bool, bool]] = {}
        for key in np.unique(keys).tolist():
            if key >= 1000:
                if not 1 <= key // 1000 <= len(things):
                    raise ValueError(
                        f"{self.instance}: unknown thing {key // 1000}; expected 1 to {len(things)}"
                    )
                meaning[key] = (things[key // 1000 - 1], True, False)
            elif key > 150:
                raise ValueError(f"{self.semantic}: unknown category {key}; expected 0 to 150")
            elif key > 0 and key - 1 not in things:
                meaning[key] = (key - 1, False, False)
        return panoptic_from_keys(keys, meaning)


def open_ade20k(selection: Selection) -> Dataset[Any]:
    """ADE20K-150 under `ADEChallengeData2016/`.

    Semantic maps come from `annotations/` (or `annotations_detectron2/`); instances and panoptic from
    `ade20k_{instance,panoptic}_<split>.json` where it is there, and else from `annotations_instance/`.
    """
    vocabulary = built_in("ade20k")
    images = selection.path(f"{_FOLDER}/images/{{word}}")
    if selection.task == "semantic":
        return _semantic(selection)(selection)
    if selection.task == "panoptic":
        annotations = selection.path(f"{_FOLDER}/ade20k_panoptic_{{split}}.json")
        if annotations.is_file():
            return read_panoptic(
                selection,
                annotations=annotations,
                maps=selection.path(f"{_FOLDER}/ade20k_panoptic_{{split}}"),
                images=images,
                image_name=lambda _image, map_name: f"{map_name.removesuffix('.png')}.jpg",
                categories=categories_by_id(vocabulary, tuple(range(150))),
            )
    else:
        annotations = selection.path(f"{_FOLDER}/ade20k_instance_{{split}}.json")
        if annotations.is_file():
            return read_instances(
                selection,
                annotations=annotations,
                images=images,
                categories=categories_by_id(things_of(vocabulary), tuple(sorted(vocabulary.things))),
            )
    semantic = selection.path(f"{_FOLDER}/annotations/{{word}}")
    instance = selection.path(f"{_FOLDER}/annotations_instance/{{word}}")
    existing = ExistingFiles(selection.name, selection.missing)
    panoptic: list[PanopticSample] = []
    for image in sorted(images.glob("*.jpg")):
        maps = [str(folder / f"{image.stem}.png") for folder in (semantic, instance)]
        if selection.wants(image.stem) and existing.has(*maps):
            panoptic.append(
                PanopticSample(
                    image_id=image.stem,
                    source=FileImage(path=str(image)),
                    panoptic_source=DownloadedMaps(semantic=maps[0], instance=maps[1]),
                )
            )
    return from_panoptic(panoptic, selection, vocabulary, existing.finish())


def _semantic(selection: Selection) -> Folders:
    downloaded, prepared = f"{_FOLDER}/annotations/{{word}}", f"{_FOLDER}/annotations_detectron2/{{word}}"
    as_downloaded = selection.path(downloaded).is_dir() or not selection.path(prepared).is_dir()
    return Folders(
        images=f"{_FOLDER}/images/{{word}}",
        labels=downloaded if as_downloaded else prepared,
        coding=LabelCoding(classes=150, first=1, void=(0,))
        if as_downloaded
        else LabelCoding(classes=150, void=(255,)),
        vocabulary=named("ade20k"),
    )
