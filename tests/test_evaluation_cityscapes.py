"""Cityscapes' instances: asked for as things alone, written in Cityscapes' form, scored by its own rules."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from builders import build_predictor, write_image
from xdecoder.evaluation.benchmarks import BENCHMARKS
from xdecoder.evaluation.plan import Overrides
from xdecoder.evaluation.run import EvaluatedModel, evaluate
from xdecoder.evaluation.scoring import Truth, score
from xdecoder.predictor.predictor import Predictor
from xdecoder.structures import InstanceSegmentation
from xdecoder.vocabularies import Vocabulary

CITY = "frankfurt_000000_000294"
THINGS = ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")


def write_truth(root: Path) -> np.ndarray:
    """One image with a car, a person and a group of cars."""
    write_image(root / f"cityscapes/leftImg8bit/val/frankfurt/{CITY}_leftImg8bit.png", 40, 60)
    ids = np.full((40, 60), 7, np.int32)
    ids[5:25, 2:20], ids[5:25, 25:40], ids[:, 50:] = 26001, 24001, 26
    path = root / f"cityscapes/gtFine/val/frankfurt/{CITY}_gtFine_instanceIds.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(ids.astype(np.uint16)).save(path)
    return ids


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Vocabulary]:
    """What a model is asked for that finds the car, and the group as a car."""
    monkeypatch.setenv("XDECODER_CACHE", str(tmp_path / "cache"))
    ids = write_truth(tmp_path)
    vocabularies: list[Vocabulary] = []

    def segment(_: Predictor, image: Any, words: Vocabulary, *, task: str) -> InstanceSegmentation:
        assert (task, image.geometry.output) == ("instance", (40, 60))
        vocabularies.append(words)
        car = words.classes.index("car")
        return InstanceSegmentation.from_masks(
            image=None,
            masks=np.stack([ids == 26001, ids == 26]),
            categories=[car, car],
            scores=[0.75, 0.5],
            vocabulary=words.classes,
        )

    monkeypatch.setattr(Predictor, "segment", segment)
    return vocabularies


def test_cityscapes_instances_are_asked_written_and_scored_as_cityscapes_does(
    tmp_path: Path, asked: list[Vocabulary]
) -> None:
    report = evaluate(
        BENCHMARKS["cityscapes-instance"],
        EvaluatedModel.of("tiny", build_predictor()),
        data=tmp_path,
        out=tmp_path / "out",
        overrides=Overrides(short_side=32),
    )
    assert report is not None
    assert [words.classes for words in asked] == [THINGS]
    text = (report.predictions / f"{CITY}_pred.txt").read_text()
    assert text == f"{CITY}_0.png 26 0.75\n{CITY}_1.png 26 0.5\n"
    assert set(np.unique(np.asarray(Image.open(report.predictions / f"{CITY}_0.png")))) == {0, 255}
    # The group is not wrong, the person is missed.
    assert report.scores.figures == {"AP": 50, "AP50": 50}
    assert report.scores.per_class["car"] == 100
    again = score("cityscapes-instance", report.predictions, Truth(data=tmp_path))
    assert again.figures == report.scores.figures


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.png 26", "line 1 is 'a.png 26'; expected the mask's file, its label id and its score"),
        ("a.png car 0.5", "expected the mask's file, its label id and its score"),
        ("a.png 26 nan", "line 1: expected a mask of one channel and a finite score"),
        ("../a.png 26 0.5", "leads out of this folder"),
        ("b.png 26 0.5", "b.png"),
    ],
)
def test_a_malformed_result_is_named(line: str, message: str, tmp_path: Path) -> None:
    write_truth(tmp_path)
    results = tmp_path / "results"
    results.mkdir()
    Image.fromarray(np.zeros((40, 60), np.uint8)).save(results / "a.png")
    (results / f"{CITY}_pred.txt").write_text(f"{line}\n")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        score("cityscapes-instance", results, Truth(data=tmp_path))
