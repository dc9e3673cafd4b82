"""Pictures of a run on data sets: what the model says of the first samples, beside the annotations."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

from PIL import Image

from xdecoder.data.dataset import Dataset
from xdecoder.data.opening import dataset_info, open_dataset
from xdecoder.data.records import CaptionSample, QuestionSample, ReferringSample, Sample, Task
from xdecoder.data.samples_sheet import draw_sample
from xdecoder.drawing.sheet import SheetStyle, draw_cell, join_cells
from xdecoder.predictor.predictor import Predictor, Segmentation
from xdecoder.structures.png import write_png
from xdecoder.training.datasets.parts import TaskConfig
from xdecoder.training.datasets.sampling import is_path, open_source
from xdecoder.vocabularies import Vocabulary

_PHRASES = 3
_QUESTIONS = 3


def draw_predictions(
    predictor: Predictor, parts: Sequence[TaskConfig], *, data: Path, path: Path, count: int = 3
) -> None:
    """Draw the first samples of each part, as annotated on the left and as the model reads them on the right.

    Validation splits where there are any, otherwise what is trained on; what cannot be read is left out.

    Args:
        predictor: the model as trained so far.
        parts: what it learns from.
        data: the folder that holds the data sets.
        path: the picture that is written.
        count: samples of each part.
    """
    cells: list[Image.Image] = []
    for part in parts:
        samples = _open(part, data)
        vocabulary = samples.vocabulary if isinstance(samples, Dataset) else None
        for index in range(min(count, len(samples))):
            sample = samples[index]
            with suppress(ValueError, OSError):
                truth = draw_sample(sample, vocabulary)
                cells += [truth, _predicted(predictor, sample, vocabulary, part.task)]
    if not cells:
        return
    write_png(path, join_cells(cells, columns=2, style=SheetStyle()))


def _open(part: TaskConfig, data: Path) -> Sequence[Sample]:
    if not is_path(part.dataset) and "val" in dataset_info(part.dataset).splits:
        with suppress(FileNotFoundError, ValueError):  # not there, or nothing of it
            return open_dataset(part.dataset, data, task=part.task, split="val", missing="skip")
    return open_source(part.dataset, data, task=part.task, split=part.split)


def _predicted(
    predictor: Predictor, sample: Sample, vocabulary: Vocabulary | None, task: Task
) -> Image.Image:
    pixels = sample.image()
    image, plain = predictor.encode(pixels), Image.fromarray(pixels)
    match sample:
        case ReferringSample():
            phrases = [referent.phrases[0] for referent in sample.referents[:_PHRASES]]
            return draw_cell(predictor.refer(image, phrases).draw(), "predicted", style=SheetStyle())
        case CaptionSample():
            return draw_cell(plain, "predicted", [predictor.caption(image).text], style=SheetStyle())
        case QuestionSample():
            asked = [question.text for question in sample.questions[:_QUESTIONS]]
            answers = predictor.answer(image, asked)
            texts = [f"{a.question} {a.text}" for a in answers]
            return draw_cell(plain, "predicted", texts, style=SheetStyle())
        case _:
            assert task in ("panoptic", "instance", "semantic")
            assert vocabulary is not None
            found = cast("Segmentation", predictor.segment(image, vocabulary, task=task))
            return draw_cell(found.draw(), "predicted", style=SheetStyle())
