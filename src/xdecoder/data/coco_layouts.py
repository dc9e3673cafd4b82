"""Data sets in COCO's formats: COCO itself, LVIS, NoCaps and Segmentation in the Wild."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from xdecoder.data.coco import read_captions, read_instances, read_panoptic
from xdecoder.data.coco_file import Categories, CocoFile, categories_by_name, categories_of_file
from xdecoder.data.dataset import Dataset
from xdecoder.data.records import CaptionSample
from xdecoder.data.selection import Selection, built_in_for, read_image_list


def open_coco(selection: Selection) -> Dataset[Any]:
    """COCO 2017 under `coco/`: panoptic (also as semantic), instances, captions."""
    images = selection.path("coco/{word}")
    if selection.split.endswith("leakfree"):
        listed = read_image_list(selection.path("coco/annotations/{word}_leakfree.txt"))
        kept = listed if selection.only is None else listed & selection.only
        selection = replace(selection, only=kept)
    if selection.task == "caption":
        annotations = selection.path("coco/annotations/captions_{word}.json")
        return read_captions(selection, annotations=annotations, images=images)
    if selection.task == "instance":
        return read_instances(
            selection,
            annotations=selection.path("coco/annotations/instances_{word}.json"),
            images=images,
            categories=categories_by_name(built_in_for("coco", "instance")),
        )
    return _open_coco_panoptic(selection, "coco")


def open_coco100(selection: Selection) -> Dataset[Any]:
    """A hundred images of COCO train2017 under `coco100/`, in COCO's layout, panoptic annotation only."""
    return _open_coco_panoptic(selection, "coco100")


def _open_coco_panoptic(selection: Selection, folder: str) -> Dataset[Any]:
    images = selection.path(f"{folder}/{{word}}")
    return read_panoptic(
        selection,
        annotations=selection.path(f"{folder}/annotations/panoptic_{{word}}.json"),
        maps=selection.path(f"{folder}/panoptic_{{word}}|{folder}/annotations/panoptic_{{word}}"),
        images=images,
        categories=categories_by_name(built_in_for("coco", "panoptic")),
    )


def open_seginw(selection: Selection) -> Dataset[Any]:
    """One of the 25 sets of Segmentation in the Wild, under `seginw/<Name>/`."""
    folder = selection.path(f"seginw/{selection.name.removeprefix('seginw-')}/{{word}}")
    return read_instances(
        selection,
        annotations=folder / "_annotations_min1cat.coco.json",
        images=folder,
        categories=categories_of_file,
    )


def open_lvis(selection: Selection) -> Dataset[Any]:
    """LVIS v1: instances of 1,203 classes in COCO's images, under `coco/`."""
    return read_instances(
        selection,
        annotations=selection.path("lvis/lvis_v1_{word}.json|coco/annotations/lvis_v1_{word}.json"),
        images=selection.path("coco"),
        categories=_categories_of_lvis,
    )


def _categories_of_lvis(file: CocoFile, used: Collection[object]) -> Categories:
    """The classes that the file lists, "alarm_clock" being "alarm clock"."""
    found = categories_of_file(file, used)
    words = tuple(name.replace("_", " ") for name in found.vocabulary.classes)
    return replace(found, vocabulary=replace(found.vocabulary, classes=words))


def open_nocaps(selection: Selection) -> Dataset[CaptionSample]:
    """NoCaps' captions, in COCO's format, under `nocaps/`."""
    return read_captions(
        selection,
        annotations=selection.path("nocaps/nocaps_{word}_4500_captions.json"),
        images=selection.path("nocaps/{word}|nocaps/images"),
    )
