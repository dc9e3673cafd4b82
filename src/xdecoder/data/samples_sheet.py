"""Samples drawn on one sheet, to see at a glance whether a data set, or a model, reads them right."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

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
from xdecoder.vocabularies import Vocabulary, clean_name

_CELL = 560  # pixels
_MARGIN = 12
_LINES = 4


def draw_sheet(samples: Sequence[Sample], vocabulary: Vocabulary | None, *, columns: int = 2) -> Image.Image:
    """The samples side by side, each with its annotation painted over it and its id and texts below.

    Raises:
        ValueError: there are no samples, or an image or annotation cannot be read.
    """
    return join_cells([draw_sample(sample, vocabulary) for sample in samples], columns=columns)


def join_cells(cells: Sequence[Image.Image], *, columns: int) -> Image.Image:
    """Cells of one width on a sheet, row by row.

    Raises:
        ValueError: there are none.
    """
    if not cells:
        raise ValueError("no samples to draw")
    rows = [cells[i : i + columns] for i in range(0, len(cells), columns)]
    heights = [max(cell.height for cell in row) for row in rows]
    width = columns * _CELL + (columns + 1) * _MARGIN
    sheet = Image.new("RGB", (width, sum(heights) + (len(rows) + 1) * _MARGIN), "white")
    top = _MARGIN
    for row, height in zip(rows, heights, strict=True):
        for column, cell in enumerate(row):
            sheet.paste(cell, (_MARGIN + column * (_CELL + _MARGIN), top))
        top += height + _MARGIN
    return sheet


def draw_sample(sample: Sample, vocabulary: Vocabulary | None) -> Image.Image:
    """One sample's cell.

    Raises:
        ValueError: the image or the annotation cannot be read.
    """
    image = sample.image()
    regions, texts = _annotation(sample, vocabulary, image.shape[0], image.shape[1])
    return draw_cell(draw_regions(image, regions), str(sample.image_id), texts)


def draw_cell(picture: Image.Image, title: str, texts: Sequence[str] = ()) -> Image.Image:
    """A picture at the width of a cell, a title below it and some lines of text."""
    scale = min(_CELL / picture.width, _CELL / picture.height)
    picture = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    lines = [line for text in texts for line in textwrap.wrap(text, 78)[:2]][:_LINES]
    font = ImageFont.load_default(size=14)
    cell = Image.new("RGB", (_CELL, picture.height + 20 * (len(lines) + 1)), "white")
    cell.paste(picture, ((_CELL - picture.width) // 2, 0))
    draw = ImageDraw.Draw(cell)
    for i, line in enumerate([title, *lines]):
        draw.text((0, picture.height + 2 + 20 * i), line, fill="black" if i else "gray", font=font)
    return cell


def _annotation(
    sample: Sample, vocabulary: Vocabulary | None, height: int, width: int
) -> tuple[list[Region], list[str]]:
    def name(category: int) -> str:
        return clean_name(vocabulary.classes[category]) if vocabulary else str(category)

    match sample:
        case SemanticSample():
            _image, labels = sample.read()
            found = [int(i) for i in np.unique(labels) if i >= 0]
            return [Region(mask=labels == i, label=name(i), text=name(i)) for i in found], []
        case PanopticSample():
            _image, panoptic = sample.read()
            return [
                Region(mask=panoptic.ids == s.id, label=name(s.category), text=name(s.category))
                for s in panoptic.segments
            ], []
        case InstanceSample():
            return [
                Region(mask=r.mask(height, width), label=name(r.category), text=name(r.category))
                for r in sample.regions()
            ], []
        case ReferringSample():
            return [
                Region(mask=r.region.mask(height, width), label=r.phrases[0], text=r.phrases[0])
                for r in sample.referents[:3]
            ], [f"“{phrase}”" for r in sample.referents for phrase in r.phrases]
        case CaptionSample():
            return [], list(sample.captions)
        case QuestionSample():
            return [], [f"{q.text} {', '.join(dict.fromkeys(q.answers))}" for q in sample.questions]
        case _:
            raise ValueError(f"{type(sample).__name__} cannot be drawn")
