"""A model that answers with the truth scores 100: no numbering of classes or pixels is mixed up."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders import build_predictor
from goldens import COCO100, needs_coco100
from xdecoder.data.opening import open_dataset
from xdecoder.data.records import PanopticMap
from xdecoder.evaluation.benchmarks import BENCHMARKS
from xdecoder.evaluation.plan import Overrides
from xdecoder.evaluation.protocol import BenchmarkProtocol, Classes
from xdecoder.evaluation.run import EvaluatedModel, evaluate
from xdecoder.predictor.predictor import Predictor, Segmentation
from xdecoder.structures import InstanceSegmentation, PanopticSegmentation, SemanticSegmentation
from xdecoder.vocabularies import Vocabulary, built_in

IMAGES = 4


def truthful(truth: PanopticMap, words: Vocabulary, task: str) -> Segmentation:
    """The truth of an image as a result in the numbering of the classes asked for."""
    coco = built_in("coco").classes
    place = {k: words.classes.index(name) for k, name in enumerate(coco) if name in words.classes}
    if task == "semantic":
        table = np.array([place.get(k, 0) for k in range(len(coco))] + [0], np.int32)  # void is the last, -1
        return SemanticSegmentation(image=None, categories=table[truth.labels()], vocabulary=words.classes)
    kept = [s for s in truth.segments if not s.crowd and (task == "panoptic" or s.is_thing)]
    categories, scores = [place[s.category] for s in kept], [0.9] * len(kept)
    if task == "instance":
        masks = np.stack([truth.ids == s.id for s in kept]) if kept else np.zeros((0, *truth.ids.shape), bool)
        return InstanceSegmentation.from_masks(
            image=None, masks=masks, categories=categories, scores=scores, vocabulary=words.classes
        )
    ids = np.zeros(truth.ids.shape, np.int32)
    for number, segment in enumerate(kept, start=1):
        ids[truth.ids == segment.id] = number
    return PanopticSegmentation.from_ids(
        image=None, ids=ids, categories=categories, scores=scores, vocabulary=words
    )


@needs_coco100
@pytest.mark.parametrize("classes", ["global", "present"])
@pytest.mark.parametrize("task", ["panoptic", "instance", "semantic"])
def test_the_truth_as_the_model_s_answer_scores_100(
    task: str, classes: Classes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth_of = {
        image.tobytes(): truth
        for image, truth in (s.read() for s in open_dataset("coco100", COCO100.parent)[:IMAGES])
    }

    def segment(
        _: Predictor, image: np.ndarray, words: Vocabulary, task: str = "panoptic", **_thresholds: float
    ) -> Any:
        return truthful(truth_of[image.tobytes()], words, task)

    monkeypatch.setattr(Predictor, "segment", segment)
    monkeypatch.setattr(BenchmarkProtocol, "encode", lambda _protocol, _predictor, image: image)
    benchmark = BENCHMARKS[f"coco100-{task}"]
    report = evaluate(
        benchmark,
        EvaluatedModel.of("oracle", build_predictor()),
        data=COCO100.parent,
        out=tmp_path,
        overrides=Overrides(limit=IMAGES, classes=classes),
    )
    assert report is not None
    assert report.scores.skipped == ()
    assert report.scores.figures[benchmark.metrics[0]] == pytest.approx(100)
