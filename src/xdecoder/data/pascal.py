"""Pascal VOC and Pascal Context: label maps with and without background."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from xdecoder.data.decoding import LabelCoding
from xdecoder.data.folders import Folders, folders_info, named, numbered_names
from xdecoder.data.info import DatasetInfo, DatasetSplit, Origin
from xdecoder.data.selection import Selection
from xdecoder.vocabularies import Vocabulary, built_in, parse_vocabulary

_CONTEXT_59 = (
    "aeroplane, bag, bed, bedclothes, bench, bicycle, bird, boat, book, bottle, building, bus, cabinet, car, "
    "cat, ceiling, chair, cloth, computer, cow, cup, curtain, dog, door, fence, floor, flower, food, grass, "
    "ground, horse, keyboard, light, motorbike, mountain, mouse, person, plate, platform, pottedplant, road, "
    "rock, sheep, shelves, sidewalk, sign, sky, snow, sofa, diningtable, track, train, tree, truck, "
    "tvmonitor, wall, water, window, wood"
)
"""The 59 frequent classes of Pascal Context, in the order of their numbers among the 459."""

_CONTEXT_LABELS = "pascal_ctx_d2/labels.txt|VOCdevkit/VOC2010/labels.txt"


BACKGROUND = "background (any other class)"
"""What the background of a data set is called: "background" alone is the model's own no-object class."""


def _with_background(
    vocabulary: Callable[[Selection], Vocabulary],
) -> Callable[[Selection], Vocabulary]:
    """The classes and, last, their background."""

    def extended(selection: Selection) -> Vocabulary:
        found = vocabulary(selection)
        return replace(found, classes=(*found.classes, BACKGROUND), name=f"{found.name} and background")

    return extended


def _context_59(_request: Selection) -> Vocabulary:
    """The 59 classes of Pascal Context."""
    return parse_vocabulary(_CONTEXT_59)


def _beside_voc(_request: Selection) -> tuple[str, ...]:
    """What the background of Pascal VOC is made of: the classes of Pascal Context that VOC has not."""
    known = built_in("voc").classes
    return tuple(name for name in parse_vocabulary(_CONTEXT_59).classes if name not in known)


def _beside_context_59(selection: Selection) -> tuple[str, ...]:
    """What the background of Pascal Context is made of: the 400 of its 459 classes that are no frequent ones.

    Raises:
        FileNotFoundError: the download's `labels.txt` is missing.
        ValueError: a line of it begins with no number.
    """
    numbered = numbered_names(selection.path(_CONTEXT_LABELS), "Pascal Context")
    known = {*_context_59(selection).classes, "table"}  # which is "diningtable" among the 59
    return tuple(name for _number, name in sorted(numbered.items()) if name not in known)


def pascal_context_459(selection: Selection) -> Vocabulary:
    """The 459 classes from Pascal Context's own `labels.txt` ("1: accordion" and so on; one is "unknown").

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it does not name 459 classes.
    """
    path = selection.path(_CONTEXT_LABELS)
    names = [name for _number, name in sorted(numbered_names(path, "Pascal Context").items())]
    if len(names) != 459:
        raise ValueError(f"{path}: expected 459 classes, one per line as '1: accordion', got {len(names)}")
    return Vocabulary(classes=tuple(names), things=frozenset(), name="pascal-context-459")


_VOC_TERMS = "Flickr terms of use"
_VOC = Origin(size="2 GB", source="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/", license=_VOC_TERMS)
_VOC_SPLITS = {"val": DatasetSplit(word="val", images=1449), "train": DatasetSplit(word="train", images=1464)}
_CONTEXT = Origin(
    size="1.6 GB",
    source="https://www.cs.stanford.edu/~roozbeh/pascal-context/, converted as for ODISE",
    license=_VOC_TERMS,
)
_CONTEXT_SPLITS = {
    "val": DatasetSplit(word="validation", images=5105),
    "train": DatasetSplit(word="training", images=4998),
}
_VOC_FOLDERS = Folders(
    images="VOCdevkit/VOC2012/JPEGImages",
    labels="VOCdevkit/VOC2012/SegmentationClass",
    listing="VOCdevkit/VOC2012/ImageSets/Segmentation/{word}.txt",
    coding=LabelCoding(classes=20, first=1, void=(0, 255)),
    vocabulary=named("voc"),
)
_CONTEXT_FOLDERS = Folders(
    images="pascal_ctx_d2/images/{word}",
    labels="pascal_ctx_d2/annotations_ctx59/{word}",
    coding=LabelCoding(classes=59, void=(255,)),
    vocabulary=_context_59,
)


PASCAL: dict[str, DatasetInfo] = {
    "pascal-voc-20": folders_info(
        _VOC_FOLDERS,
        title="Pascal VOC 2012 segmentation, 20 classes; background is void",
        splits=_VOC_SPLITS,
        origin=_VOC,
        vocabulary="voc",
    ),
    "pascal-voc-21": folders_info(
        replace(
            _VOC_FOLDERS,
            coding=LabelCoding(classes=21, stored=(*range(1, 21), 0), void=(255,)),
            vocabulary=_with_background(named("voc")),
            background=_beside_voc,
        ),
        title="Pascal VOC 2012 segmentation, 20 classes and background",
        splits=_VOC_SPLITS,
        origin=_VOC,
        vocabulary="the 20 classes and background",
    ),
    "pascal-context-59": folders_info(
        _CONTEXT_FOLDERS,
        title="Pascal Context, 59 classes",
        splits=_CONTEXT_SPLITS,
        origin=_CONTEXT,
        vocabulary="the 59 classes",
    ),
    "pascal-context-60": folders_info(
        replace(
            _CONTEXT_FOLDERS,
            coding=LabelCoding(classes=60, stored=(*range(59), 255), void=()),
            vocabulary=_with_background(_context_59),
            background=_beside_context_59,
        ),
        title="Pascal Context, 59 classes and background",
        splits=_CONTEXT_SPLITS,
        origin=_CONTEXT,
        vocabulary="the 59 classes and background",
        more=(_CONTEXT_LABELS,),
    ),
    "pascal-context-459": folders_info(
        Folders(
            images="pascal_ctx_d2/images/{word}",
            labels="pascal_ctx_d2/annotations_ctx459/{word}",
            label_suffix=".tif",
            coding=LabelCoding(classes=459, void=(65535,)),
            vocabulary=pascal_context_459,
        ),
        title="Pascal Context full, 459 classes, 16-bit label maps",
        splits=_CONTEXT_SPLITS,
        origin=_CONTEXT,
        vocabulary="the download's labels.txt",
        more=(_CONTEXT_LABELS,),
    ),
}
