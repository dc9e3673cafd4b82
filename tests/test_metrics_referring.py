import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xdecoder.metrics.referring import THRESHOLDS, ReferringSegmentation

mask = arrays(bool, (3, 5))
pairs = st.lists(st.tuples(mask, mask), min_size=1, max_size=6)


def gather(drawn: list, order: list[int] | None = None) -> ReferringSegmentation:
    scores = ReferringSegmentation()
    chosen = list(range(len(drawn))) if order is None else order
    if chosen:
        truth, prediction = (np.stack([drawn[i][side] for i in chosen]) for side in (0, 1))
        scores.update(chosen, truth, prediction)
    return scores


@given(pairs)
def test_scores_equal_the_per_pixel_version(drawn: list) -> None:
    both, either, ious = 0, 0, []
    for truth, prediction in drawn:
        i = sum(bool(t and p) for t, p in zip(truth.flat, prediction.flat, strict=True))
        u = sum(bool(t or p) for t, p in zip(truth.flat, prediction.flat, strict=True))
        both, either, ious = both + i, either + u, [*ious, i / u if u else 1]
    result = gather(drawn).result()
    assert result.ciou == pytest.approx(both / either if either else 1)
    assert result.miou == pytest.approx(sum(ious) / len(ious))
    for threshold in THRESHOLDS:
        assert result.precision[threshold] == sum(iou >= threshold for iou in ious) / len(ious)


@given(pairs)
def test_a_perfect_prediction_scores_one(drawn: list) -> None:
    result = gather([(truth, truth) for truth, _ in drawn]).result()
    assert (result.ciou, result.miou, set(result.precision.values())) == (1, 1, {1.0})


def test_scores_are_hand_computed() -> None:
    large = np.ones((2, 50), bool)  # found whole
    small, half = np.zeros((2, 50), bool), np.zeros((2, 50), bool)
    small[0, :10], half[0, :5] = True, True  # IoU 1/2, which counts at 0.5
    result = gather([(large, large), (small, half)]).result()
    assert result.ciou == 105 / 110
    assert result.miou == 0.75
    assert result.precision == {0.5: 1, 0.6: 0.5, 0.7: 0.5, 0.8: 0.5, 0.9: 0.5}
    assert result.expressions == 2


def strip(length: int) -> np.ndarray:
    """A mask of the first so many of 100 pixels."""
    return (np.arange(100) < length).reshape(4, 25)


def test_expressions_that_may_mean_nothing_are_hand_computed() -> None:
    none = strip(0)
    drawn = [
        (strip(80), strip(60)),  # found: 60 / 80
        (strip(60), strip(49)),  # its mask counts as none: 0 / 60
        (none, none),  # rightly none: IoU 1, no pixel
        (none, strip(49)),  # likewise, by its size
        (none, strip(50)),  # wrongly given a mask: IoU 0, 50 pixels of union
    ]
    result = gather(drawn).generalized(smallest=50)
    assert result.giou == pytest.approx((0.75 + 0 + 1 + 1 + 0) / 5)
    assert result.ciou == pytest.approx(60 / (80 + 60 + 50))
    assert (result.n_acc, result.t_acc) == (pytest.approx(2 / 3), 0.5)
    assert result.precision == {0.7: 0.5, 0.8: 0, 0.9: 0}
    assert result.expressions == 5
    alone = gather(drawn[:1]).generalized(smallest=50)
    assert (alone.t_acc, math.isnan(alone.n_acc)) == (1, True)


def test_bad_input_says_what_to_do() -> None:
    scores, masks = ReferringSegmentation(), np.ones((2, 3, 5), bool)
    with pytest.raises(ValueError, match="no expression was added"):
        scores.result()
    with pytest.raises(ValueError, match=r"predicted masks are 2 x 3 x 4, the true ones 2 x 3 x 5"):
        scores.update([1, 2], masks, masks[:, :, :4])
    with pytest.raises(ValueError, match="3 expression ids for 2 true masks"):
        scores.update([1, 2, 3], masks, masks)
    with pytest.raises(ValueError, match="were added before"):
        scores.update([1, 1], masks, masks)
    scores.update([1, 2], masks, masks)
    with pytest.raises(ValueError, match=r"expressions \[2\] were added before"):
        scores.update([2, 3], masks, masks)
