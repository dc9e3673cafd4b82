"""Average precision: COCO's rules through faster-coco-eval, held against pycocotools and a naive AP."""

import contextlib
import io
import json
import math
import sys
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from xdecoder.metrics.average_precision import average_precision

H, W = 40, 50


def box_mask(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((H, W), bool)
    mask[top:bottom, left:right] = True
    return mask


def detection(image: int, category: int, score: float, box: tuple[int, ...]) -> dict[str, Any]:
    left, top, right, bottom = box
    code: Any = rle.encode(np.asfortranarray(box_mask(left, top, right, bottom), np.uint8))
    return {
        "image_id": image,
        "category_id": category,
        "score": score,
        "bbox": [left, top, right - left, bottom - top],
        "segmentation": {"size": code["size"], "counts": code["counts"].decode("ascii")},
    }


def world(boxes: list[tuple[int, int, tuple[int, int, int, int]]], images: int = 3) -> dict[str, Any]:
    """A truth of (image, category, left top right bottom) boxes with box-shaped masks."""
    annotations = []
    for n, (image, category, box) in enumerate(boxes, 1):
        entry = detection(image, category, 1.0, box)
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
        detections.append(detection(image, category, float(rng.random()), jitter))
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
    return [math.nan if v == -1 else v for v in evaluator.stats]


@pytest.mark.parametrize("kind", ["segm", "bbox"])
@given(seed=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_figures_are_those_of_pycocotools(kind: Any, seed: int) -> None:
    truth, detections = drawn_world(seed)
    before = json.dumps([truth, detections])
    result = average_precision(truth, detections, kind=kind)
    ours = [result.ap, result.ap50, result.ap75, result.ap_small, result.ap_medium, result.ap_large]
    ours += [result.ar1, result.ar10, result.ar100, result.ar_small, result.ar_medium, result.ar_large]
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
    detections = [detection(image, 3, score, box) for image, box, score in guesses]
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


@given(st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_a_perfect_prediction_scores_one(seed: int) -> None:
    truth, _ = drawn_world(seed)
    for annotation in truth["annotations"]:
        annotation["iscrowd"] = 0
    detections = [{**a, "score": 0.5} for a in truth["annotations"]]
    for kind in ("segm", "bbox"):
        assert average_precision(truth, detections, kind=kind).ap == pytest.approx(1)


def test_annotation_ids_from_zero_cost_nothing() -> None:
    truth = world([(1, 3, (0, 0, 10, 10))])
    detections = [{**a, "score": 0.5} for a in truth["annotations"]]
    truth["annotations"][0]["id"] = 0
    assert average_precision(truth, detections).ap == pytest.approx(1)


def test_no_detection_at_all_scores_zero() -> None:
    result = average_precision(world([(1, 3, (0, 0, 10, 10))]), [])
    assert (result.ap, result.ap50, result.without_detection) == (0, 0, (1, 2, 3))


def test_bad_input_says_what_to_do() -> None:
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


def test_without_faster_coco_eval_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(ImportError, match=r"pip install 'xdecoder\[evaluate\]'"):
        average_precision(world([(1, 3, (0, 0, 10, 10))]), [])
