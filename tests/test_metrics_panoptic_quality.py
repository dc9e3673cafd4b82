"""Panoptic quality against a per-pixel version, hand-computed cases, and damaged real ground truth."""

import json
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldens import PANOPTIC_QUALITY, Example, damaged_coco100, needs_coco100, present
from xdecoder.metrics.panoptic_quality import PanopticQuality, PanopticScores, ScoredSegment, count_matches

CATEGORIES = {1: True, 2: True, 7: False}


def naive_counts(example: Example) -> dict[int, list[float]]:
    """category -> [sum of IoU, TP, FP, FN], pixel by pixel."""
    truth, prediction = example.truth.ravel().tolist(), example.prediction
    predicted = [0] * len(truth) if prediction is None else prediction.ravel().tolist()
    pairs, truth_area, predicted_area = (
        Counter(zip(truth, predicted, strict=True)),
        Counter(truth),
        Counter(predicted),
    )
    rows: dict[int, list[float]] = {c: [0.0, 0, 0, 0] for c in CATEGORIES}
    matched_truth, matched_prediction = set(), set()
    for t in example.truth_segments:
        for p in example.predicted_segments:
            if t.is_crowd or t.category_id != p.category_id:
                continue
            inter = pairs[t.id, p.id]
            iou = inter / (truth_area[t.id] + predicted_area[p.id] - inter - pairs[0, p.id])
            if iou > 0.5:
                row = rows.setdefault(t.category_id, [0.0, 0, 0, 0])
                row[0] += iou
                row[1] += 1
                matched_truth.add(t.id)
                matched_prediction.add(p.id)
    crowds = {}
    for t in example.truth_segments:
        if t.is_crowd:
            crowds[t.category_id] = t.id
        elif t.id not in matched_truth:
            rows.setdefault(t.category_id, [0.0, 0, 0, 0])[3] += 1
    for p in example.predicted_segments:
        if p.id in matched_prediction:
            continue
        ignored = pairs[0, p.id] + (pairs[crowds[p.category_id], p.id] if p.category_id in crowds else 0)
        if ignored / predicted_area[p.id] <= 0.5:
            rows.setdefault(p.category_id, [0.0, 0, 0, 0])[2] += 1
    return {c: row for c, row in rows.items() if any(row)}


def naive_scores(examples: list[Example], categories: dict[int, bool], thing: bool | None) -> list[float]:
    total: dict[int, list[float]] = {}
    for example in examples:
        for c, row in naive_counts(example).items():
            total[c] = [a + b for a, b in zip(total.get(c, [0, 0, 0, 0]), row, strict=True)]
    chosen = [row for c, row in total.items() if thing is None or categories[c] == thing]
    if not chosen:
        return [math.nan] * 3
    sq = sum(iou / tp if tp else 0 for iou, tp, _, _ in chosen) / len(chosen)
    rq = sum(tp / (tp + fp / 2 + fn / 2) for _, tp, fp, fn in chosen) / len(chosen)
    pq = sum(iou / (tp + fp / 2 + fn / 2) for iou, tp, fp, fn in chosen) / len(chosen)
    return [pq, sq, rq]


def score(examples: list[Example], categories: dict[int, bool] = CATEGORIES) -> PanopticQuality:
    quality = PanopticQuality(categories)
    for i, e in enumerate(examples):
        quality.update(i, e.truth, e.truth_segments, e.prediction, e.predicted_segments)
    return quality


@st.composite
def examples(draw: st.DrawFn) -> Example:
    height, width = draw(st.sampled_from([(3, 5), (4, 7)]))
    category = st.sampled_from(sorted(CATEGORIES))

    def side(crowds: bool) -> tuple[np.ndarray, list[ScoredSegment]]:
        ids = [0, *draw(st.lists(st.integers(1, 2**24 - 1), min_size=1, max_size=4, unique=True))]
        pixels = draw(st.lists(st.sampled_from(ids), min_size=height * width, max_size=height * width))
        array = np.array(pixels).reshape(height, width)
        segments = [
            ScoredSegment(id=i, category_id=draw(category), is_crowd=crowds and draw(st.booleans()))
            for i in ids[1:]
        ]
        return array, present(array, segments)

    truth, truth_segments = side(True)
    if draw(st.integers(0, 3)) == 0:  # a prediction near the truth, so that matches are common
        prediction = np.roll(truth, draw(st.integers(0, 1)), 1)
        return Example(
            truth,
            truth_segments,
            prediction,
            [ScoredSegment(id=s.id, category_id=s.category_id) for s in truth_segments],
        )
    return Example(truth, truth_segments, *side(False))


def agrees(scores: PanopticScores, expected: list[float]) -> bool:
    return np.allclose([scores.pq, scores.sq, scores.rq], expected, rtol=0, atol=1e-12, equal_nan=True)


@given(st.lists(examples(), min_size=1, max_size=5))
def test_scores_equal_the_per_pixel_version(drawn: list[Example]) -> None:
    result = score(drawn).result()
    assert agrees(result.all, naive_scores(drawn, CATEGORIES, None))
    assert agrees(result.things, naive_scores(drawn, CATEGORIES, True))
    assert agrees(result.stuff, naive_scores(drawn, CATEGORIES, False))


@given(examples())
def test_a_perfect_prediction_scores_one(example: Example) -> None:
    perfect = [s for s in example.truth_segments if not s.is_crowd]
    prediction = np.where(np.isin(example.truth, [s.id for s in perfect]), example.truth, 0)
    result = score([Example(example.truth, example.truth_segments, prediction, perfect)]).result()
    if perfect:
        assert (result.all.pq, result.all.sq, result.all.rq) == (1, 1, 1)
    else:
        assert math.isnan(result.all.pq)


def strip(*runs: tuple[int, int]) -> np.ndarray:
    """One row of pixels: (id, length), ..."""
    return np.repeat([i for i, _ in runs], [n for _, n in runs])[None]


def test_iou_is_hand_computed_and_one_half_is_no_match() -> None:
    truth, prediction = strip((5, 6), (9, 4)), strip((8, 8), (3, 2))
    segments = [ScoredSegment(id=5, category_id=1), ScoredSegment(id=9, category_id=2)]
    predicted = [ScoredSegment(id=8, category_id=1), ScoredSegment(id=3, category_id=2)]
    counts = count_matches(truth, segments, prediction, predicted)
    assert (counts[1].iou, counts[1].true_positives) == (6 / 8, 1)
    assert (counts[2].true_positives, counts[2].false_positives, counts[2].false_negatives) == (
        0,
        1,
        1,
    )  # 2 / 4


def test_void_pixels_leave_the_union() -> None:
    counts = count_matches(
        strip((0, 4), (5, 6)),
        [ScoredSegment(id=5, category_id=1)],
        strip((8, 9), (0, 1)),
        [ScoredSegment(id=8, category_id=1)],
    )
    assert counts[1].iou == 5 / 6  # 6 + 9 - 5 - 4 void


@pytest.mark.parametrize(("void", "ignored"), [(6, True), (5, False)])
def test_a_segment_over_half_on_void_is_no_false_positive(void: int, ignored: bool) -> None:
    truth, prediction = strip((0, void), (5, 30)), strip((8, 10), (0, void + 20))
    counts = count_matches(
        truth, [ScoredSegment(id=5, category_id=1)], prediction, [ScoredSegment(id=8, category_id=1)]
    )
    assert counts[1].false_positives == (not ignored)
    assert counts[1].false_negatives == 1


@pytest.mark.parametrize(("category", "false_positives"), [(1, 0), (2, 1)])
def test_a_crowd_hides_false_positives_of_its_own_category_only(category: int, false_positives: int) -> None:
    crowd = ScoredSegment(id=5, category_id=1, is_crowd=True)
    counts = count_matches(
        strip((5, 10)), [crowd], strip((8, 10)), [ScoredSegment(id=8, category_id=category)]
    )
    assert sum(c.false_positives for c in counts.values()) == false_positives
    assert sum(c.true_positives + c.false_negatives for c in counts.values()) == 0


def test_void_and_crowd_add_up() -> None:
    crowd = [ScoredSegment(id=5, category_id=1, is_crowd=True), ScoredSegment(id=6, category_id=2)]
    truth, prediction = strip((0, 3), (5, 3), (6, 4)), strip((8, 10))
    assert 1 not in count_matches(truth, crowd, prediction, [ScoredSegment(id=8, category_id=1)])


def test_an_image_without_prediction_counts_as_missed_and_is_listed() -> None:
    quality = PanopticQuality(CATEGORIES)
    quality.update("a", strip((5, 6)), [ScoredSegment(id=5, category_id=1)], None)
    quality.update(
        "b",
        strip((5, 6)),
        [ScoredSegment(id=5, category_id=1)],
        strip((5, 6)),
        [ScoredSegment(id=5, category_id=1)],
    )
    result = quality.result()
    assert result.without_prediction == ("a",)
    assert (result.images, result.all.rq) == (2, 1 / 1.5)
    assert math.isnan(result.stuff.pq)


def test_bad_input_says_what_to_do() -> None:
    one, segments = strip((5, 6)), [ScoredSegment(id=5, category_id=1)]
    quality = PanopticQuality(CATEGORIES)
    with pytest.raises(ValueError, match=r"image 3: the prediction is 1 x 7, the truth 1 x 6 .* resize"):
        quality.update(3, one, segments, strip((5, 7)), segments)
    with pytest.raises(ValueError, match=r"image 3: segment 5 of the prediction has the unknown category 4"):
        quality.update(3, one, segments, one, [ScoredSegment(id=5, category_id=4)])
    with pytest.raises(
        ValueError, match=r"prediction map has the segment ids 6, which its list of 1 segments lacks"
    ):
        quality.update(3, one, segments, strip((5, 3), (6, 3)), segments)
    with pytest.raises(ValueError, match=r"the prediction lists segment 6, which has no pixel"):
        quality.update(3, one, segments, one, [*segments, ScoredSegment(id=6, category_id=1)])
    with pytest.raises(ValueError, match=r"the truth lists the segment ids 5 more than once"):
        quality.update(3, one, segments * 2, one, segments)
    with pytest.raises(ValueError, match=r"ids are positive, 0 is void"):
        quality.update(3, one, segments, one, [ScoredSegment(id=0, category_id=1)])
    with pytest.raises(ValueError, match=r"ids outside 0..16777215"):
        quality.update(3, one, segments, strip((-1, 6)), segments)
    with pytest.raises(ValueError, match="no image was added"):
        quality.result()
    quality.update(3, one, segments, one, segments)
    with pytest.raises(ValueError, match="image 3 was added before"):
        quality.update(3, one, segments, one, segments)
    with pytest.raises(ValueError, match="no categories"):
        PanopticQuality({})


def test_the_golden_file_is_there() -> None:
    assert PANOPTIC_QUALITY.is_file()


@needs_coco100
def test_damaged_real_truth_scores_the_golden_figures() -> None:
    examples, categories = damaged_coco100()
    result = score(examples, categories).result()
    golden = json.loads(PANOPTIC_QUALITY.read_text(encoding="utf-8"))
    for part in ("all", "things", "stuff"):
        scores: PanopticScores = getattr(result, part)
        assert [scores.pq, scores.sq, scores.rq] == pytest.approx(golden[part], abs=1e-12)
    assert [result.all.categories, result.things.categories, result.stuff.categories] == golden["categories"]
    assert result.without_prediction == (9,)


@needs_coco100
def test_real_truth_against_itself_scores_one() -> None:
    examples, categories = damaged_coco100(step=10)
    quality = PanopticQuality(categories)
    for i, e in enumerate(examples):
        kept = [s for s in e.truth_segments if not s.is_crowd]
        prediction = np.where(np.isin(e.truth, [s.id for s in kept]), e.truth, 0)
        quality.update(i, e.truth, e.truth_segments, prediction, kept)
    assert quality.result().all.pq == 1


def test_many_segments_fit() -> None:
    ids = np.arange(1, 301).reshape(15, 20)
    segments = [ScoredSegment(id=i, category_id=1) for i in range(1, 301)]
    assert count_matches(ids, segments, ids, segments)[1].true_positives == 300
