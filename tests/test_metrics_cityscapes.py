"""Cityscapes' average precision against the figures of its own program, and by hand."""

import math

import numpy as np
import pytest

from xdecoder.metrics.cityscapes_ap import CityscapesAp, CityscapesPrediction

LABELS = (24, 25, 26, 27, 28, 31, 32, 33)
DRAWN = (24, 25, 26, 33)


def drawn(seed: int) -> tuple[np.ndarray, list[CityscapesPrediction]]:
    """A truth with objects, small ones, groups and void, and predictions near them."""
    rng = np.random.default_rng(seed)
    truth = np.full((120, 200), 7, np.int32)
    truth[:20] = rng.choice([0, 4, 11])
    predictions = []
    for number in range(14):
        label = int(rng.choice(DRAWN))
        top, left = rng.integers(0, (95, 170))
        height, width = rng.integers(6, 30, 2)
        truth[top : top + height, left : left + width] = label if number % 5 == 0 else 1000 * label + number
        for _ in range(int(rng.integers(0, 3))):
            mask = np.zeros(truth.shape, bool)
            y, x = np.maximum(0, np.array([top, left]) + rng.integers(-3, 4, 2))
            mask[y : y + height, x : x + width] = True
            score = float(rng.choice([0.2, 0.4, 0.6, 0.8, 0.9]))
            predictions.append(CityscapesPrediction(label_id=label, score=score, mask=mask))
    return truth, predictions


def gathered(seeds: range) -> CityscapesAp:
    scores = CityscapesAp(LABELS)
    for seed in seeds:
        scores.update(seed, *drawn(seed))
    return scores


def test_figures_are_those_of_cityscapesscripts() -> None:
    """cityscapesScripts 2.3.0 with NumPy 2.3 on `drawn(0)` to `drawn(5)`."""
    result = gathered(range(6)).result()
    assert result.ap == pytest.approx(0.1461803082079521, abs=1e-9)
    assert result.ap50 == pytest.approx(0.35309068257632853, abs=1e-9)
    official = {24: 0.18727011958629608, 25: 0.13698583988251173, 26: 0.18841399131171857}
    official[33] = 0.07205128205128206
    occurring = {label: ap for label, ap in result.per_class.items() if not math.isnan(ap)}
    assert occurring == pytest.approx(official, abs=1e-9)
    assert result.images == 6


def prediction(columns: slice, score: float) -> CityscapesPrediction:
    mask = np.zeros((20, 60), bool)
    mask[:, columns] = True
    return CityscapesPrediction(label_id=26, score=score, mask=mask)


@pytest.mark.parametrize(
    ("below", "ap50"),
    [(26, 1.0), (0, 1.0), (7, 0.5 + 0.5 * (1 / 2 + 2 / 3) / 2)],
    ids=["group", "void", "road"],
)
def test_what_lies_on_groups_and_void_is_not_wrong(below: int, ap50: float) -> None:
    truth = np.full((20, 60), 7, np.int32)
    truth[:, :10], truth[:, 20:30], truth[:, 40:50] = 26001, below, 26002
    scores = CityscapesAp([26])
    found = [(slice(0, 10), 0.9), (slice(20, 30), 0.8), (slice(40, 50), 0.7)]
    scores.update(1, truth, [prediction(columns, score) for columns, score in found])
    assert scores.result().ap50 == pytest.approx(ap50)


def test_an_object_below_100_pixels_is_neither_found_nor_missed() -> None:
    truth = np.full((20, 60), 7, np.int32)
    truth[:, :10], truth[:9, 20:31] = 26001, 26002
    for predicted in ([slice(0, 10)], [slice(0, 10), slice(20, 31)]):
        scores = CityscapesAp([26])
        scores.update(1, truth, [prediction(columns, 0.5) for columns in predicted])
        assert scores.result().ap50 == (1.0 if len(predicted) == 1 else 0.75)


def test_bad_input_says_what_to_do() -> None:
    scores = CityscapesAp([26])
    with pytest.raises(ValueError, match="no image was added"):
        scores.result()
    truth = np.zeros((20, 60), np.int32)
    with pytest.raises(ValueError, match=r"image 1: a mask is \(20, 60\), the truth \(10, 60\)"):
        scores.update(1, truth[:10], [prediction(slice(0, 3), 0.5)])
    scores.update(1, truth, [])
    with pytest.raises(ValueError, match="image 1 was added before"):
        scores.update(1, truth, [])
    assert math.isnan(scores.result().ap)
    with pytest.raises(ValueError, match="no classes"):
        CityscapesAp([])
