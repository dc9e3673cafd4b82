"""Mapillary Vistas 1.2: street scenes, 65 classes; the download's `config` names them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xdecoder.data.coco import read_panoptic
from xdecoder.data.coco_file import categories_by_id
from xdecoder.data.dataset import Dataset
from xdecoder.data.decoding import LabelCoding, read_json
from xdecoder.data.folders import Folders
from xdecoder.data.info import DatasetInfo, DatasetSplit, Origin
from xdecoder.data.problems import Problems, has_fields, rows_of
from xdecoder.data.selection import Selection
from xdecoder.vocabularies import Vocabulary

_CONFIG = "mapillary_vistas/config_v1.2.json|mapillary_vistas/config.json"
_IMAGES = "mapillary_vistas/{word}/images"
_LABELS = "mapillary_vistas/{word}/v1.2/labels|mapillary_vistas/{word}/labels"
_PANOPTIC = "mapillary_vistas/{word}/v1.2/panoptic|mapillary_vistas/{word}/panoptic"


def open_mapillary(selection: Selection) -> Dataset[Any]:
    """Mapillary Vistas under `mapillary_vistas/`, of the download of version 1.2 or 2.0.

    A label map holds a class's place in the configuration's list; a category id is that place plus 1. What
    the configuration does not evaluate ("Unlabeled") is void.

    Raises:
        FileNotFoundError: a file, or unless they may be skipped, images or maps are missing.
        ValueError: the configuration or the annotation file is malformed.
    """
    vocabulary, places, void = _classes(selection.path(_CONFIG))
    if selection.task == "semantic":
        return Folders(
            images=_IMAGES,
            labels=_LABELS,
            coding=LabelCoding(classes=len(places), stored=places, void=void),
            vocabulary=lambda _selection: vocabulary,
        )(selection)
    maps = selection.path(_PANOPTIC)
    return read_panoptic(
        selection,
        annotations=maps / "panoptic_2018.json",
        maps=maps,
        images=selection.path(_IMAGES),
        image_name=lambda _image, map_name: f"{map_name.removesuffix('.png')}.jpg",
        categories=categories_by_id(
            vocabulary, tuple(place + 1 for place in places), frozenset(place + 1 for place in void)
        ),
    )


def _classes(path: Path) -> tuple[Vocabulary, tuple[int, ...], tuple[int, ...]]:
    """The classes that are evaluated, their places in the configuration's list, and the other places.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it lacks what a class needs, or evaluates none.
    """
    rows = rows_of(read_json(path), "labels", path, "Mapillary Vistas' configuration")
    problems = Problems(path)
    for place, row in enumerate(rows):
        has_fields(row, {"readable": str, "instances": bool, "evaluate": bool}, f"labels[{place}]", problems)
    problems.refuse()
    kept = tuple(place for place, row in enumerate(rows) if row["evaluate"])
    try:
        vocabulary = Vocabulary(
            classes=tuple(rows[place]["readable"].strip() for place in kept),
            things=frozenset(k for k, place in enumerate(kept) if rows[place]["instances"]),
            name="mapillary-vistas",
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return vocabulary, kept, tuple(place for place in range(len(rows)) if place not in kept)


_PANOPTIC_FILES = (
    _CONFIG,
    _IMAGES,
    "|".join(f"{folder}/panoptic_2018.json" for folder in _PANOPTIC.split("|")),
)
MAPILLARY_VISTAS = DatasetInfo(
    title="Mapillary Vistas 1.2, 65 classes, 37 of them things",
    files={
        "panoptic": _PANOPTIC_FILES,
        "semantic": (_CONFIG, _IMAGES, _LABELS),
        "instance": _PANOPTIC_FILES,
    },
    splits={
        "val": DatasetSplit(word="validation", images=2000),
        "train": DatasetSplit(word="training", images=18000),
    },
    origin=Origin(
        size="25 GB",
        source="https://www.mapillary.com/dataset/vistas (registration)",
        license="CC BY-NC-SA, Mapillary's research terms",
    ),
    vocabulary="the download's config",
    loader=open_mapillary,
)
