"""Scores of result files, ours or anybody's, without a model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, final, get_args

from xdecoder.evaluation.protocol import Scores
from xdecoder.metrics.semantic import AbsentRule
from xdecoder.vocabularies import parse_vocabulary

FileKind = Literal["panoptic", "instance", "lvis", "semantic", "caption", "vqa", "retrieval"]
"""The result files that are scored against a truth file of the same field's format."""


@final
@dataclass(frozen=True, kw_only=True)
class Truth:
    """What results are scored against; which of these is needed depends on their kind.

    Attributes:
        file: the annotation file, or for semantic maps the folder.
        maps: the folder of its panoptic PNGs, where it is not beside the file.
        predicted_maps: the folder of the results' PNGs, likewise.
        vocabulary: the classes of semantic maps.
        data: the folder that holds the data sets' folders, to score against a benchmark.
        skip_missing: leave images out whose files are missing in the data set.
        limit: the first images of the data set alone.
        absent: semantic: the classes that mIoU is the mean over; "union" is the published rule.
    """

    file: Path | None = None
    maps: Path | None = None
    predicted_maps: Path | None = None
    vocabulary: str | None = None
    data: Path | None = None
    skip_missing: bool = False
    limit: int | None = None
    absent: AbsentRule = "union"

    def needed(self, kind: str) -> Path:
        """The file, which a kind of results is scored against.

        Raises:
            ValueError: it is not told.
        """
        if self.file is None:
            raise ValueError(f"{kind} results are scored against a truth: add --truth FILE")
        return self.file


def score(name: str, predictions: Path, truth: Truth) -> Scores:
    """Score a result file.

    Args:
        name: a kind of file (`FileKind`), scored against `truth.file`, or a benchmark, scored against its
            data set.
        predictions: the file, or for semantic maps the folder.
        truth: what to score it against.

    Raises:
        ValueError: there is no such kind or benchmark, the truth is not told, or they do not fit.
        FileNotFoundError: a file does not exist.
    """
    # Each kind's module is imported with its first file: most of the time of a small one is imports.
    match name:
        case "panoptic":
            from xdecoder.evaluation.panoptic import score_panoptic_files

            return score_panoptic_files(
                predictions, truth.needed(name), maps=truth.predicted_maps, truth_maps=truth.maps
            )
        case "instance":
            from xdecoder.evaluation.instance import score_instance_files

            return score_instance_files(predictions, truth.needed(name))
        case "lvis":
            from xdecoder.evaluation.instance import score_instance_files

            return score_instance_files(predictions, truth.needed(name), rule="lvis")
        case "semantic":
            from xdecoder.evaluation.semantic import score_semantic_files

            folder = truth.needed(name)
            if truth.vocabulary is None:
                raise ValueError("semantic maps hold class numbers: say which with --vocabulary NAMES")
            classes = parse_vocabulary(truth.vocabulary).classes
            return score_semantic_files(predictions, folder, classes, absent=truth.absent)
        case "caption":
            from xdecoder.evaluation.captioning import score_caption_files

            return score_caption_files(predictions, truth.needed(name))
        case "vqa":
            from xdecoder.evaluation.vqa import score_answer_files

            return score_answer_files(predictions, truth.needed(name))
        case "retrieval":
            from xdecoder.evaluation.retrieval import score_embeddings

            return score_embeddings(predictions)
        case _:
            return _score_benchmark(name, predictions, truth)


def _score_benchmark(name: str, predictions: Path, truth: Truth) -> Scores:
    from xdecoder.evaluation.benchmarks import BENCHMARKS
    from xdecoder.evaluation.kinds import protocol_of
    from xdecoder.evaluation.plan import Overrides, open_benchmark, plan_run

    if name not in BENCHMARKS:
        kinds = ", ".join(get_args(FileKind))
        raise ValueError(f"no kind of result file or benchmark {name!r}; kinds are {kinds}")
    benchmark = BENCHMARKS[name]
    overrides = Overrides(skip_missing=truth.skip_missing, limit=truth.limit, absent=truth.absent)
    dataset = open_benchmark(benchmark, truth.data, overrides)
    run = plan_run(benchmark, dataset, folder=predictions.parent, overrides=overrides)
    scores = protocol_of(benchmark)(run, dataset).score(predictions)
    return replace(scores, skipped=(*dataset.skipped, *scores.skipped))
