"""Benchmarks with rules of their own, end to end: LVIS, gRefCOCO, PhraseCut, Pascal VOC with background."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from builders import H, W, build_predictor, ref, refer_layout, square, write_image, write_json
from xdecoder.data.check import check_dataset
from xdecoder.evaluation.benchmarks import BENCHMARKS
from xdecoder.evaluation.plan import Overrides
from xdecoder.evaluation.protocol import BenchmarkProtocol
from xdecoder.evaluation.report import BenchmarkReport
from xdecoder.evaluation.run import EvaluatedModel, evaluate
from xdecoder.evaluation.scoring import Truth, score
from xdecoder.predictor.predictor import Predictor
from xdecoder.structures import InstanceSegmentation, SemanticSegmentation, encode_rle
from xdecoder.vocabularies import Vocabulary


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDECODER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(BenchmarkProtocol, "encode", lambda _protocol, _predictor, image: image)


def run(name: str, data: Path) -> BenchmarkReport:
    """Evaluate, and score the result file again."""
    model = EvaluatedModel.of("tiny", build_predictor())
    report = evaluate(BENCHMARKS[name], model, data=data, out=data / "out", overrides=Overrides())
    assert report is not None
    again = score(name, report.predictions, Truth(data=data))
    assert again.figures == pytest.approx(report.scores.figures, nan_ok=True)
    return report


def lvis(root: Path) -> Path:
    """Two images: a cup in the first, and nobody has looked for spoons in it."""
    names = [(7, "coffee_cup", "r"), (9, "tea_spoon", "f")]
    images = [
        {
            "id": number,
            "coco_url": f"http://images.cocodataset.org/{folder}/{number:012d}.jpg",
            "height": H,
            "width": W,
            "neg_category_ids": [9] if number == 2 else [],
            "not_exhaustive_category_ids": [],
        }
        for number, folder in ((1, "val2017"), (2, "train2017"))
    ]
    truth = {
        "images": images,
        "annotations": [square(1, 7, image=1)],
        "categories": [{"id": i, "name": n, "frequency": f} for i, n, f in names],
    }
    path = root / "coco/annotations/lvis_v1_val.json"
    write_json(path, truth)
    write_image(root / "coco/val2017/000000000001.jpg")
    write_image(root / "coco/train2017/000000000002.jpg")
    return path


def test_lvis_is_asked_for_300_detections_and_scored_where_classes_are_annotated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    annotations = lvis(tmp_path)
    cup = np.zeros((H, W), bool)
    cup[2:4, 1:4] = True
    asked: list[tuple[tuple[str, ...], Any]] = []

    def segment(_: Predictor, _image: Any, words: Vocabulary, *, task: str, detections: int) -> Any:
        asked.append((words.classes, (task, detections)))
        return InstanceSegmentation.from_masks(
            image=None,
            masks=np.stack([cup, ~cup]),
            categories=[0, 1],  # the spoon is surer, and is not asked about in the first image
            scores=[0.5, 0.9],
            vocabulary=words.classes,
        )

    monkeypatch.setattr(Predictor, "segment", segment)
    report = run("lvis-instance", tmp_path)
    assert asked == [(("coffee cup", "tea spoon"), ("instance", 300))] * 2
    figures = report.scores.figures
    assert (figures["AP"], figures["APr"], figures["AR@300"]) == pytest.approx((100, 100, 100))
    assert np.isnan(figures["APf"])  # there is no spoon
    assert report.protocol.endswith("the best 300 detections; LVIS's AP")
    alone = score("lvis", report.predictions, Truth(file=annotations))
    assert alone.figures == pytest.approx(figures, nan_ok=True)
    assert alone.per_class["coffee_cup"] == pytest.approx(100)
    assert check_dataset("lvis", tmp_path).tasks[0].opened == 2


def test_lvis_images_that_name_unknown_classes_are_refused(tmp_path: Path) -> None:
    path = lvis(tmp_path)
    data = json.loads(path.read_text())
    data["images"][0]["neg_category_ids"] = [44]
    write_json(path, data)
    (task,) = check_dataset("lvis", tmp_path).tasks
    assert "image 1, 'neg_category_ids': unknown category id 44" in task.problems[0]


def test_grefcoco_is_scored_by_phrase_and_a_small_mask_is_none(tmp_path: Path) -> None:
    base = refer_layout(tmp_path, [], "grefcoco", "unc")
    rows = [
        {**ref(10, 1, 9, "val", "the man", "a man"), "ann_id": [1]},
        {**ref(12, 1, 9, "val", "a whale"), "ann_id": [-1]},
    ]
    write_json(base / "grefs(unc).json", rows)
    write_json(
        base / "instances.json",
        {
            "images": [{"id": 9, "file_name": "x.jpg", "height": 20, "width": 30}],
            "annotations": [square(1, 1, image=9, segmentation=[[0, 0, 10, 0, 10, 10, 0, 10]])],
        },
    )
    write_image(tmp_path / "coco/train2014/COCO_train2014_000000000009.jpg", 20, 30)
    truth, part, speck = (np.zeros((20, 30), bool) for _ in range(3))
    truth[:10, :10] = part[:10, :8] = speck[:7, :7] = True
    results = {"10_0": truth, "10_1": part, "12_0": speck}
    report = score_referring("grefcoco-val", results, tmp_path)
    expected = {"gIoU": (100 + 80 + 100) / 3, "cIoU": 90, "N-acc": 100, "T-acc": 100}
    assert report.figures == pytest.approx({**expected, "P@0.7": 100, "P@0.8": 100, "P@0.9": 50})
    assert BENCHMARKS["grefcoco-val"].metrics == tuple(expected)


def score_referring(name: str, masks: dict[str, np.ndarray], root: Path) -> Any:
    """Scores of a result file with these masks."""
    rows = [{"ref_id": i, "phrase": "x", "segmentation": encode_rle(mask)} for i, mask in masks.items()]
    write_json(root / "results.json", rows)
    return score(name, root / "results.json", Truth(data=root))


def test_phrasecut_is_scored_by_phrase(tmp_path: Path) -> None:
    box = [[0, 0], [9, 0], [9, 9], [0, 9]]
    rows = [
        {"task_id": f"61__{n}", "image_id": 61, "phrase": f"thing {n}", "Polygons": [[box]]} for n in (1, 2)
    ]
    write_json(tmp_path / "phrasecut/refer_val.json", rows)
    write_image(tmp_path / "phrasecut/images/61.jpg", 20, 30)
    whole, half = (np.zeros((20, 30), bool) for _ in range(2))
    whole[:10, :10] = half[:5, :10] = True
    scores = score_referring("phrasecut-val", {"61__1": whole, "61__2": half}, tmp_path)
    assert (scores.figures["mIoU"], scores.figures["cIoU"]) == pytest.approx((75, 75))
    assert check_dataset("phrasecut", tmp_path).tasks[0].opened == 1


def test_any_name_of_the_background_is_right_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voc = tmp_path / "VOCdevkit/VOC2012"
    write_image(voc / "JPEGImages/a.jpg", 4, 6)
    labels = np.zeros((4, 6), np.uint8)
    labels[:, 3:] = 8  # a cat, the rest is background
    (voc / "SegmentationClass").mkdir()
    Image.fromarray(labels).save(voc / "SegmentationClass/a.png")
    (voc / "ImageSets/Segmentation").mkdir(parents=True)
    (voc / "ImageSets/Segmentation/val.txt").write_text("a\n")

    def segment(_: Predictor, _image: Any, words: Vocabulary, *, task: str) -> SemanticSegmentation:
        assert len(words) == 20 + 39
        found = np.full((4, 6), words.classes.index("cat"), np.int32)
        found[:2, :3], found[2:, :2] = words.classes.index("sky"), words.classes.index("grass")
        return SemanticSegmentation(image=None, categories=found, vocabulary=words.classes)

    monkeypatch.setattr(Predictor, "segment", segment)
    scores = run("pascal-voc-21-semantic", tmp_path).scores
    assert scores.per_class["background (any other class)"] == pytest.approx(100 * 10 / 12)
    assert scores.per_class["cat"] == pytest.approx(100 * 12 / 14)
    assert scores.figures["mIoU"] == pytest.approx(50 * (10 / 12 + 12 / 14))
