"""Scores of a run on data sets: its data sets' validation splits, through evaluation's own pipelines."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from xdecoder.data.opening import dataset_info
from xdecoder.evaluation.benchmark import Benchmark, BenchmarkTask
from xdecoder.evaluation.benchmarks import BENCHMARKS
from xdecoder.evaluation.plan import Overrides
from xdecoder.evaluation.run import EvaluatedModel, evaluate
from xdecoder.predictor.predictor import Predictor
from xdecoder.training.datasets.parts import TaskConfig


def validation_benchmarks(parts: Sequence[TaskConfig]) -> tuple[Benchmark, ...]:
    """The benchmarks of what a run learns from, one of each kind, on the validation split.

    Data sets without such a split, or without a benchmark, have none.
    """
    found: dict[tuple[str, BenchmarkTask], Benchmark] = {}
    for part in parts:
        for row in BENCHMARKS.values():
            if (row.data, row.task) == (part.dataset, part.task) and "val" in dataset_info(row.data).splits:
                found.setdefault((row.data, row.kind), replace(row, split="val"))
    return tuple(found.values())


def score_validation(
    predictor: Predictor, parts: Sequence[TaskConfig], *, data: Path, images: int
) -> dict[str, float]:
    """Score a model on the validation splits of what it learns from.

    Segmentation and referring are asked at the model's own input size. Where the data set, or a package that
    scores it, is not there, or something of it cannot be read, a warning says so.

    Args:
        predictor: the model as trained so far.
        parts: what it learns from.
        data: the folder that holds the data sets.
        images: the first images of each split are taken.

    Returns:
        "data set/kind/figure" -> score, 1 for 100 percent.
    """
    settings = predictor.config.inference
    model = EvaluatedModel.of("the run", predictor)
    scores: dict[str, float] = {}
    for row in validation_benchmarks(parts):
        square = row.resizing is None or row.resizing.square
        overrides = Overrides(short_side=None if square else settings.short_side, limit=images)
        with tempfile.TemporaryDirectory() as folder:
            try:
                report = evaluate(row, model, data=data, out=Path(folder), overrides=overrides)
            except (FileNotFoundError, ImportError) as error:
                warnings.warn(f"no validation by {row.kind} on {row.data}: {error}", stacklevel=2)
                continue
        if report is not None:
            if skipped := report.scores.skipped:
                warnings.warn(
                    f"validation by {row.kind} on {row.data} leaves out {len(skipped)}, the first: "
                    f"{skipped[0].reason}",
                    stacklevel=2,
                )
            figures = report.scores.figures
            scores |= {f"{row.data}/{row.kind}/{name}": figures[name] / 100 for name in row.metrics}
    return scores
