"""Average precision: COCO's rules through faster-coco-eval, held against pycocotools and a naive AP."""

import contextlib
import io
import json
import math
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from xdecoder.metrics.average_precision import (
    AveragePrecision,
    average_precision,
    detections_of_image,
    read_detections,
    write_detections,
)

H, W = 40, 50


def box_mask(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((H, W), bool)
    mask[top:bottom, left:right] = True
    return mask


def world(boxes: list[tuple[int, int, tuple[int, int, int, int]]], images: int = 3) -> dict[str, Any]:
    """A truth of (image, category, left top right bottom) boxes with box-shaped masks."""
    annotations = []
    for n, (image, category, box) in enumerate(boxes, 1):
        entry = detections_of_image(
            image, category_ids=[category], scores=np.ones(1), masks=box_mask(*box)[None]
        )[0]
        area = (box[2] - box[0]) * (box[3] - box[1])
        del entry["score"]
        annotations.append({**entry, "id": n, "area": area, "iscrowd": 0})
    return {
        "images": [{"id": i, "height": H, "width": W} for i in range(1, images + 1)],
        "annotations": annotations,
        "categories": [{"id": 3, "name": "cat"}, {"id": 8, "name": "dog"}],
    }


def drawn_world(seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    rng = np.random.default_rng(seed)

    def boxes(n: int) -> list:
        corners = rng.integers(0, (25, 20), (n, 2))
        sizes = rng.integers(3, 20, (n, 2))
        return [
            (int(rng.integers(1, 4)), int(rng.choice([3, 8])), (*c.tolist(), *(c + s).tolist()))
            for c, s in zip(corners, sizes, strict=True)
        ]

    true = boxes(rng.integers(1, 9))
    truth = world(true)
    for annotation in truth["annotations"]:
        annotation["iscrowd"] = int(rng.random() < 0.2)
    guesses = boxes(rng.integers(1, 6)) + [b for b in true if rng.random() < 0.7]
    detections = []
    for image, category, box in guesses:
        jitter = tuple(int(v) for v in np.maximum(0, np.array(box) + rng.integers(-1, 2, 4)))
        detections += detections_of_image(
            image,
            category_ids=[category],
            scores=rng.random(1),
            masks=box_mask(*jitter)[None],
            boxes=np.array([jitter], float),
        )
    return truth, detections


def pycocotools_stats(truth: dict, detections: list[dict], kind: str) -> list[float]:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = deepcopy(truth)
        coco.createIndex()
        unwanted = "bbox" if kind == "segm" else "segmentation"
        own = [{k: v for k, v in d.items() if k != unwanted} for d in deepcopy(detections)]
        evaluator = COCOeval(coco, coco.loadRes(own), kind)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return [math.nan if v == -1 else v for v in evaluator.stats[:6]]


@pytest.mark.parametrize("kind", ["segm", "bbox"])
@given(seed=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_figures_are_those_of_pycocotools(kind: Any, seed: int) -> None:
    truth, detections = drawn_world(seed)
    before = json.dumps([truth, detections])
    result = average_precision(truth, detections, kind=kind)
    ours = [result.ap, result.ap50, result.ap75, result.ap_small, result.ap_medium, result.ap_large]
    assert np.allclose(ours, pycocotools_stats(truth, detections, kind), atol=1e-12, equal_nan=True)
    assert json.dumps([truth, detections]) == before  # nothing of the caller's is written to


def naive_ap(hits: list[bool], objects: int) -> float:
    """101-point interpolated AP of detections in falling score, `hits` telling which found an object."""
    found = np.cumsum(hits)
    recalls, precisions = found / objects, found / np.arange(1, len(hits) + 1)
    points = [max(precisions[recalls >= r - 1e-12], default=0.0) for r in np.linspace(0, 1, 101)]
    return sum(points) / 101


def test_ap_is_hand_computed() -> None:
    truth = world([(1, 3, (0, 0, 10, 10)), (2, 3, (0, 0, 10, 10)), (2, 3, (20, 20, 30, 30))])
    guesses = [(1, (0, 0, 10, 10), 0.9), (1, (30, 0, 40, 10), 0.8), (2, (0, 0, 10, 6), 0.7)]  # IoU 1, 0, 0.6
    detections = [
        d
        for image, box, score in guesses
        for d in detections_of_image(
            image, category_ids=[3], scores=np.array([score]), masks=box_mask(*box)[None]
        )
    ]
    result = average_precision(truth, detections)
    low, high = naive_ap([True, False, True], 3), naive_ap([True, False, False], 3)
    assert result.ap50 == pytest.approx(low)
    assert result.ap75 == pytest.approx(high)
    assert result.ap == pytest.approx((3 * low + 7 * high) / 10)  # 0.5, 0.55 and 0.6 are met
    assert result.per_category[3] == result.ap
    assert math.isnan(result.per_category[8])
    assert math.isnan(result.ap_large)
    assert (result.images, result.without_detection) == (3, (3,))
    assert (result.precision_at_50[0], result.precision_at_50[100]) == (1, 0)


@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_merged_shards_and_any_order_equal_one_pass(seed: int, random) -> None:
    truth, detections = drawn_world(seed)
    by_image = {i: [d for d in detections if d["image_id"] == i] for i in (1, 2, 3)}
    order = [1, 2, 3]
    random.shuffle(order)
    shards = [AveragePrecision(truth), AveragePrecision(truth)]
    for i in order:
        shards[random.randrange(2)].update(i, by_image[i])
    shards[1].merge(AveragePrecision.from_state(json.loads(json.dumps(shards[0].state())), truth))
    assert repr(shards[1].result()) == repr(average_precision(truth, detections))


@given(st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_a_perfect_prediction_scores_one(seed: int) -> None:
    truth, _ = drawn_world(seed)
    for annotation in truth["annotations"]:
        annotation["iscrowd"] = 0
    detections = [{**a, "score": 0.5} for a in truth["annotations"]]
    for kind in ("segm", "bbox"):
        assert average_precision(truth, detections, kind=kind).ap == pytest.approx(1)


def test_result_files_come_back_as_they_went(tmp_path: Path) -> None:
    _, detections = drawn_world(7)
    path = tmp_path / "results.json"
    assert write_detections(path, iter(detections)) == len(detections)
    assert read_detections(path) == detections
    assert write_detections(path, []) == 0
    assert read_detections(path) == []


def test_boxes_are_those_of_the_masks_or_those_given() -> None:
    mask = box_mask(4, 6, 15, 9)[None]
    assert detections_of_image(1, category_ids=[3], scores=np.ones(1), masks=mask)[0]["bbox"] == [4, 6, 11, 3]
    given_box = detections_of_image(
        1, category_ids=[3], scores=np.ones(1), masks=mask, boxes=np.array([[1.5, 2, 5, 9]])
    )
    assert given_box[0]["bbox"] == [1.5, 2, 3.5, 7]


def test_no_detection_at_all_scores_zero() -> None:
    result = average_precision(world([(1, 3, (0, 0, 10, 10))]), [])
    assert (result.ap, result.ap50, result.without_detection) == (0, 0, (1, 2, 3))


def test_bad_input_says_what_to_do(tmp_path: Path) -> None:
    truth, detections = world([(1, 3, (0, 0, 10, 10))]), drawn_world(7)[1]
    with pytest.raises(ValueError, match=r"1 detections name the images \[99\], which the truth lacks"):
        average_precision(truth, [*detections, {**detections[0], "image_id": 99}])
    with pytest.raises(ValueError, match=r"1 detections name the categories \[4\], which the truth lacks"):
        average_precision(truth, [{**detections[0], "category_id": 4}])
    with pytest.raises(ValueError, match="detection 0 lacks segmentation"):
        average_precision(truth, [{k: v for k, v in detections[0].items() if k != "segmentation"}])
    small = {**detections[0]["segmentation"], "size": [H, W + 1]}
    with pytest.raises(ValueError, match=r"its mask is \[40, 51\], image \d is \[40, 50\] .* resize"):
        average_precision(truth, [{**detections[0], "segmentation": small}])
    with pytest.raises(ValueError, match="the truth has no annotations"):
        average_precision({**truth, "annotations": []}, detections)
    with pytest.raises(ValueError, match=r"the truth repeats the ids \[1\] among its images"):
        average_precision({**truth, "images": [*truth["images"], truth["images"][0]]}, detections)
    with pytest.raises(ValueError, match=r"1 annotations name the images \[5\]"):
        average_precision({**truth, "annotations": [{**truth["annotations"][0], "image_id": 5}]}, detections)
    with pytest.raises(ValueError, match="image 1: 2 categories, 1 scores and 1 masks"):
        detections_of_image(1, category_ids=[3, 3], scores=np.ones(1), masks=box_mask(0, 0, 3, 3)[None])
    with pytest.raises(FileNotFoundError, match="no result file"):
        read_detections(tmp_path / "absent.json")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(ValueError, match="is no COCO result file"):
        read_detections(tmp_path / "bad.json")
    (tmp_path / "bad.json").write_text("[")
    with pytest.raises(ValueError, match="is not JSON"):
        read_detections(tmp_path / "bad.json")


def test_gathering_refuses_unknown_and_repeated_images() -> None:
    truth, detections = drawn_world(7)
    gathered = AveragePrecision(truth)
    with pytest.raises(ValueError, match="no image was added"):
        gathered.result()
    with pytest.raises(ValueError, match="image 99 is not in the truth, which has 3 images"):
        gathered.update(99, [])
    with pytest.raises(ValueError, match=r"image 1 was given detections of the images \[2"):
        gathered.update(1, [{**detections[0], "image_id": 2}])
    gathered.update(1, [])
    with pytest.raises(ValueError, match="image 1 was added before"):
        gathered.update(1, [])
    with pytest.raises(ValueError, match="both shards hold the images"):
        gathered.merge(AveragePrecision.from_state(gathered.state(), truth))
    with pytest.raises(ValueError, match="different kinds or truths"):
        gathered.merge(AveragePrecision(truth, kind="bbox"))


def test_without_faster_coco_eval_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(ImportError, match=r"pip install 'xdecoder\[evaluate\]'"):
        average_precision(world([(1, 3, (0, 0, 10, 10))]), [])
