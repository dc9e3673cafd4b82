import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xdecoder.metrics.semantic import MeanIoU

K, IGNORE = 5, 255
labels = st.sampled_from([0, 1, 2, 3, 4, IGNORE])
pairs = st.lists(
    st.tuples(arrays(np.uint8, (3, 7), elements=labels), arrays(np.int64, (3, 7), elements=labels)),
    min_size=1,
    max_size=4,
).filter(lambda drawn: any((truth != IGNORE).any() for truth, _ in drawn))


def gather(drawn: list, order: list[int] | None = None, absent: Any = "truth") -> MeanIoU:
    scores = MeanIoU(K, absent=absent)
    for i in range(len(drawn)) if order is None else order:
        scores.update(i, *drawn[i])
    return scores


@pytest.mark.parametrize("absent", ["truth", "union"])
@given(drawn=pairs)
def test_scores_equal_the_per_pixel_version(absent: str, drawn: list) -> None:
    pixels = [(int(t), int(p)) for truth, pred in drawn for t, p in zip(truth.flat, pred.flat, strict=True)]
    pixels = [(t, p) for t, p in pixels if t != IGNORE]
    ious, recalls, weighted, taken = [], [], 0.0, 0
    for c in range(K):
        both = sum(t == p == c for t, p in pixels)
        true = sum(t == c for t, _ in pixels)
        either = sum(c in pair for pair in pixels)
        weighted += true / len(pixels) * (both / either if either else 0)
        if true:
            recalls.append(both / true)
        if {"truth": true > 0, "union": either > 0}[absent]:
            taken += 1
            ious.append(both / either)
    result = gather(drawn, absent=absent).result()
    assert result.miou == pytest.approx(sum(ious) / taken)
    assert result.mean_accuracy == pytest.approx(sum(recalls) / len(recalls))
    assert result.fwiou == pytest.approx(weighted)
    assert result.pixel_accuracy == pytest.approx(sum(t == p for t, p in pixels) / len(pixels))
    assert (result.classes, result.absent, result.images) == (taken, absent, len(drawn))


@given(pairs)
def test_a_perfect_prediction_scores_one(drawn: list) -> None:
    result = gather([(truth, truth.astype(np.int64)) for truth, _ in drawn]).result()
    assert (result.miou, result.fwiou, result.pixel_accuracy) == (1, 1, 1)


def test_a_class_predicted_but_absent_counts_0_unless_the_truth_s_classes_alone_are_taken() -> None:
    truth, prediction = np.array([[0, 0, 0, 0, 1, 1]]), np.array([[0, 0, 0, 3, 1, 1]])
    scores = {rule: gather([(truth, prediction)], absent=rule).result() for rule in ("truth", "union")}
    assert scores["truth"].miou == pytest.approx((3 / 4 + 1) / 2)
    assert scores["union"].miou == pytest.approx((3 / 4 + 1 + 0) / 3)
    assert scores["union"].mean_accuracy == scores["truth"].mean_accuracy == pytest.approx((3 / 4 + 1) / 2)
    assert scores["union"].per_class[:2] == (3 / 4, 1)
    assert math.isnan(scores["union"].per_class[2])


def test_a_pixel_without_a_prediction_is_a_miss() -> None:
    result = gather([(np.array([[0, 0, IGNORE]]), np.array([[0, IGNORE, 0]]))]).result()
    assert (result.miou, result.pixel_accuracy) == (0.5, 0.5)


def test_bad_input_says_what_to_do() -> None:
    scores, truth = MeanIoU(K), np.array([[0, 1, 4]])
    with pytest.raises(ValueError, match=r"image 'a': the prediction is 1 x 2, the truth 1 x 3 .* resize"):
        scores.update("a", truth, np.array([[0, 1]]))
    with pytest.raises(
        ValueError, match=r"the prediction has the values \[5\]: expected classes 0..4, or 255"
    ):
        scores.update("a", truth, np.array([[0, 5, 4]]))
    with pytest.raises(ValueError, match=r"the truth has the values \[-1\]"):
        scores.update("a", np.array([[0, -1, 4]]), truth)
    with pytest.raises(ValueError, match="no image was added"):
        scores.result()
    scores.update("a", np.full((2, 3), IGNORE), np.zeros((2, 3), int))
    with pytest.raises(ValueError, match="no pixel of 1 images is labeled"):
        scores.result()
    with pytest.raises(ValueError, match="image 'a' was added before"):
        scores.update("a", truth, truth)
    with pytest.raises(ValueError, match=r"ignore is 4, a class of 0..4"):
        MeanIoU(K, ignore=4)
    with pytest.raises(ValueError, match="class_count must be positive"):
        MeanIoU(0)
