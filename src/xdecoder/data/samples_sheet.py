"""Samples drawn on one sheet, to see at a glance whether a data set, or a model, reads them right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from xdecoder.data.records import (
    CaptionSample,
    InstanceSample,
    PanopticSample,
    QuestionSample,
    ReferringSample,
    Sample,
    SemanticSample,
)
from xdecoder.drawing.regions import Region, draw_regions
from xdecoder.drawing.sheet import SheetStyle, draw_cell, join_cells
from xdecoder.vocabularies import Vocabulary, clean_name


def draw_sheet(samples: Sequence[Sample], vocabulary: Vocabulary | None) -> Image.Image:
    """The samples side by side, each with its annotation painted over it and its id and texts below.

    Raises:
        ValueError: there are no samples, or an image or annotation cannot be read.
    """
    return join_cells([draw_sample(sample, vocabulary) for sample in samples], columns=2, style=SheetStyle())


def draw_sample(sample: Sample, vocabulary: Vocabulary | None) -> Image.Image:
    """One sample's cell.

    Raises:
        ValueError: the image or the annotation cannot be read.
    """
    image = sample.image()
    regions, texts = _annotation(sample, vocabulary, image.shape[0], image.shape[1])
    return draw_cell(draw_regions(image, regions), str(sample.image_id), texts, style=SheetStyle())


def _annotation(
    sample: Sample, vocabulary: Vocabulary | None, height: int, width: int
) -> tuple[list[Region], list[str]]:
    def name(category: int) -> str:
        return clean_name(vocabulary.classes[category]) if vocabulary else str(category)

    match sample:
        case SemanticSample():
            _image, labels = sample.read()
            found = [int(i) for i in np.unique(labels) if i >= 0]
            return [Region(mask=labels == i, label=name(i)) for i in found], []
        case PanopticSample():
            _image, panoptic = sample.read()
            return [Region(mask=panoptic.ids == s.id, label=name(s.category)) for s in panoptic.segments], []
        case InstanceSample():
            return [Region(mask=r.mask(height, width), label=name(r.category)) for r in sample.regions()], []
        case ReferringSample():
            return [
                Region(mask=r.region.mask(height, width), label=r.phrases[0]) for r in sample.referents[:3]
            ], [f"“{phrase}”" for r in sample.referents for phrase in r.phrases]
        case CaptionSample():
            return [], list(sample.captions)
        case QuestionSample():
            return [], [f"{q.text} {', '.join(dict.fromkeys(q.answers))}" for q in sample.questions]
        case _:
            raise ValueError(f"{type(sample).__name__} cannot be drawn")
