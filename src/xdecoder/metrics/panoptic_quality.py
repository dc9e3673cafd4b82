"""Panoptic quality (Kirillov et al., "Panoptic Segmentation", CVPR 2019, section 4) by COCO's rules.

For a category, over all images, with TP the matched pairs:

    SQ = sum of the pairs' IoU / TP        RQ = TP / (TP + FP/2 + FN/2)        PQ = SQ * RQ

and the reported figures are means over the categories that have a TP, an FP or an FN. The rules, those of
COCO's panopticapi:

- A pair matches when both have one category, the truth is no crowd and IoU > 0.5, where the union leaves out
  the predicted segment's void pixels (truth id 0).
- A crowd is never matched and never missed.
- An unmatched predicted segment is no false positive when over half of it lies on void and on the crowd of
  its own category. (If an image lists several crowds of a category, the last one counts, as in panopticapi.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer

VOID = 0
"""The id of pixels without a label, in truth and prediction alike."""

_IOU_UNIT = 2**53  # a double in (0.5, 1] is a multiple of 2**-53: sums in that unit are exact, in any order


@dataclass(frozen=True, kw_only=True)
class ScoredSegment:
    """One segment of a panoptic map.

    Attributes:
        id: its value in the map; positive.
        category_id: of the segment; matches are looked for within a category.
        is_crowd: the truth marks a group that was not told apart.
    """

    id: int
    category_id: int
    is_crowd: bool = False


@dataclass(frozen=True, kw_only=True)
class CategoryCounts:
    """What one category gathers: matched pairs and their IoU, false positives, false negatives.

    Attributes:
        iou_units: the sum of the pairs' IoU in units of 2**-53, an exact integer.
        true_positives: matched pairs.
        false_positives: predicted segments without a match, less those that are ignored.
        false_negatives: true segments without a match, less crowds.
    """

    iou_units: int = 0
    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0

    def __add__(self, other: CategoryCounts) -> CategoryCounts:
        return CategoryCounts(
            iou_units=self.iou_units + other.iou_units,
            true_positives=self.true_positives + other.true_positives,
            false_positives=self.false_positives + other.false_positives,
            false_negatives=self.false_negatives + other.false_negatives,
        )

    @property
    def iou(self) -> float:
        """The sum of the matched pairs' IoU."""
        return self.iou_units / _IOU_UNIT


@dataclass(frozen=True, kw_only=True)
class PanopticScores:
    """PQ, SQ, RQ in 0..1, meaned over `categories` categories; NaN where none occurs."""

    pq: float
    sq: float
    rq: float
    categories: int


@dataclass(frozen=True, kw_only=True)
class PanopticResult:
    """The scores over all, thing and stuff categories, and of every category that occurs.

    Attributes:
        per_category: category id -> its scores; categories without a TP, FP or FN are left out.
        counts: category id -> its counts.
        images: how many images were scored.
        without_prediction: the ids of images that had no prediction; all their segments count as missed.
    """

    all: PanopticScores
    things: PanopticScores
    stuff: PanopticScores
    per_category: Mapping[int, PanopticScores]
    counts: Mapping[int, CategoryCounts]
    images: int
    without_prediction: tuple[int | str, ...]


def count_matches(
    truth: Integer[np.ndarray, "H W"],
    truth_segments: Sequence[ScoredSegment],
    prediction: Integer[np.ndarray, "Hp Wp"],
    predicted_segments: Sequence[ScoredSegment],
) -> dict[int, CategoryCounts]:
    """Matches one image's segments.

    Args:
        truth: segment ids; 0 is void.
        truth_segments: the id, category and crowd flag of each segment in `truth`.
        prediction: segment ids; 0 is unlabeled.
        predicted_segments: the id and category of each segment in `prediction`.

    Returns:
        category id -> counts, for the categories that occur.

    Raises:
        ValueError: the maps differ in size, an id is listed twice, a map has an id that is not listed, or a
            predicted segment has no pixel.
    """
    if truth.shape != prediction.shape:
        raise ValueError(
            f"the prediction is {_size(prediction)}, the truth {_size(truth)} (height x width): "
            "resize the prediction to the truth's size"
        )
    # Maps are made of runs of equal pixels, some tens of times fewer than pixels.
    true_ids, predicted_ids, lengths = _runs(truth.ravel(), prediction.ravel())
    truth_index = _index_of(true_ids, truth_segments, "truth")
    predicted_index = _index_of(predicted_ids, predicted_segments, "prediction")

    # overlap[t, p]: shared pixels; row and column 0 are void, n + 1 is the n-th segment.
    columns = len(predicted_segments) + 1
    rows = len(truth_segments) + 1
    shared = np.bincount(truth_index * columns + predicted_index, weights=lengths, minlength=rows * columns)
    overlap = shared.astype(np.int64).reshape(rows, columns)
    truth_area, predicted_area = overlap.sum(1), overlap.sum(0)
    for segment, area in zip(predicted_segments, predicted_area[1:], strict=True):
        if area == 0:
            raise ValueError(f"the prediction lists segment {segment.id}, which has no pixel: leave it out")

    truth_category = np.array([-1] + [s.category_id for s in truth_segments])
    predicted_category = np.array([-2] + [s.category_id for s in predicted_segments])
    crowd = np.array([False] + [s.is_crowd for s in truth_segments])
    union = truth_area[:, None] + predicted_area[None] - overlap - overlap[0]
    # IoU > 0.5 in integers: 2 * overlap > union.
    may_match = (truth_category[:, None] == predicted_category[None]) & ~crowd[:, None]
    matched_truth, matched_prediction = np.nonzero(may_match & (2 * overlap > union))

    ignored = overlap[0].copy()
    crowd_of = {s.category_id: row for row, s in enumerate(truth_segments, 1) if s.is_crowd}
    for column, segment in enumerate(predicted_segments, 1):
        row = crowd_of.get(segment.category_id)
        if row is not None:
            ignored[column] += overlap[row, column]
    false_positive = 2 * ignored <= predicted_area
    false_positive[0] = False
    false_positive[matched_prediction] = False
    false_negative = ~crowd
    false_negative[0] = False
    false_negative[matched_truth] = False

    counts: dict[int, list[int]] = {}
    for t, p in zip(matched_truth.tolist(), matched_prediction.tolist(), strict=True):
        row = counts.setdefault(truth_segments[t - 1].category_id, [0, 0, 0, 0])
        row[0] += int(float(overlap[t, p]) / float(union[t, p]) * _IOU_UNIT)
        row[1] += 1
    for p in np.nonzero(false_positive)[0].tolist():
        counts.setdefault(predicted_segments[p - 1].category_id, [0, 0, 0, 0])[2] += 1
    for t in np.nonzero(false_negative)[0].tolist():
        counts.setdefault(truth_segments[t - 1].category_id, [0, 0, 0, 0])[3] += 1
    return {category: _counts(row) for category, row in counts.items()}


class PanopticQuality:
    """Gathers panoptic quality over images; their order does not change the figures.

    Args:
        categories: category id -> whether it is a thing (countable) or stuff.
    """

    def __init__(self, categories: Mapping[int, bool]) -> None:
        if not categories:
            raise ValueError("no categories: give the data set's table, category id -> is it a thing")
        self._categories = {int(category): bool(thing) for category, thing in categories.items()}
        self._counts: dict[int, CategoryCounts] = {}
        self._images: set[int | str] = set()
        self._without_prediction: set[int | str] = set()

    def update(
        self,
        image_id: int | str,
        truth: Integer[np.ndarray, "H W"],
        truth_segments: Sequence[ScoredSegment],
        prediction: Integer[np.ndarray, "Hp Wp"] | None,
        predicted_segments: Sequence[ScoredSegment] = (),
    ) -> None:
        """Adds one image.

        Args:
            image_id: refused when it was added before.
            truth: segment ids, 0 is void.
            truth_segments: the id, category and crowd flag of each segment in `truth`.
            prediction: segment ids, 0 is unlabeled; None where the model gave nothing: every true segment
                then counts as missed, and the image is listed in the result.
            predicted_segments: the id and category of each segment in `prediction`.

        Raises:
            ValueError: the image was added before, a category is unknown, or as `count_matches`.
        """
        if image_id in self._images:
            raise ValueError(f"image {image_id!r} was added before: add every image once")
        for name, segments in (("truth", truth_segments), ("prediction", predicted_segments)):
            for segment in segments:
                if segment.category_id not in self._categories:
                    raise ValueError(
                        f"image {image_id!r}: segment {segment.id} of the {name} has the unknown category "
                        f"{segment.category_id}: expected one of {_some(self._categories)}"
                    )
        try:
            counts = count_matches(
                truth,
                truth_segments,
                np.zeros_like(truth) if prediction is None else prediction,
                predicted_segments,
            )
        except ValueError as error:
            raise ValueError(f"image {image_id!r}: {error}") from None
        self._images.add(image_id)
        if prediction is None:
            self._without_prediction.add(image_id)
        add_counts(self._counts, counts)

    def result(self) -> PanopticResult:
        """The scores so far.

        Raises:
            ValueError: no image was added.
        """
        if not self._images:
            raise ValueError("no image was added: panoptic quality needs at least one")
        return panoptic_scores(
            self._counts,
            self._categories,
            images=len(self._images),
            without_prediction=tuple(sorted(self._without_prediction, key=str)),
        )


def add_counts(counts: MutableMapping[int, CategoryCounts], more: Mapping[int, CategoryCounts]) -> None:
    """Add an image's counts to those of others, category by category."""
    for category, own in more.items():
        counts[category] = counts.get(category, CategoryCounts()) + own


def panoptic_scores(
    counts: Mapping[int, CategoryCounts],
    categories: Mapping[int, bool],
    *,
    images: int,
    without_prediction: tuple[int | str, ...] = (),
) -> PanopticResult:
    """The scores of counts that were summed over images.

    Args:
        counts: category id -> its counts.
        categories: category id -> whether it is a thing.
        images: how many images they are of.
        without_prediction: the images that had no prediction.
    """
    occurring = {category: c for category, c in sorted(counts.items()) if c != CategoryCounts()}
    per_category = {category: _score(c) for category, c in occurring.items()}
    return PanopticResult(
        all=_mean(per_category.values()),
        things=_mean(s for category, s in per_category.items() if categories[category]),
        stuff=_mean(s for category, s in per_category.items() if not categories[category]),
        per_category=per_category,
        counts=occurring,
        images=images,
        without_prediction=without_prediction,
    )


def _runs(
    truth: Integer[np.ndarray, " HW"], prediction: Integer[np.ndarray, " HW"]
) -> tuple[Integer[np.ndarray, " R"], Integer[np.ndarray, " R"], Integer[np.ndarray, " R"]]:
    """Both ids of each run of pixels in which neither changes, and its length."""
    begins = np.ones(truth.size, np.bool_)
    begins[1:] = (truth[1:] != truth[:-1]) | (prediction[1:] != prediction[:-1])
    starts = np.flatnonzero(begins)
    return truth[starts], prediction[starts], np.diff(starts, append=truth.size)


def _index_of(
    ids: Integer[np.ndarray, " R"], segments: Sequence[ScoredSegment], name: str
) -> Integer[np.ndarray, " R"]:
    """1..N, the order of `segments`, for their ids, and 0 for void."""
    listed = [segment.id for segment in segments]
    if len(set(listed)) != len(listed):
        twice = sorted({i for i in listed if listed.count(i) > 1})
        raise ValueError(f"the {name} lists the segment ids {_some(twice)} more than once")
    if listed and min(listed) <= VOID:
        raise ValueError(f"the {name} lists segment {min(listed)}: ids are positive, 0 is void")
    if int(ids.min(initial=0)) < 0 or int(ids.max(initial=0)) >= 2**24:
        raise ValueError(f"the {name} has ids outside 0..{2**24 - 1}, the ids a panoptic PNG can hold")
    known = np.array([VOID, *listed], np.int64)
    order = np.argsort(known)
    place = np.searchsorted(known[order], ids).clip(max=len(known) - 1)
    index = order[place]
    if strangers := np.unique(ids[known[index] != ids]).tolist():
        raise ValueError(
            f"the {name} map has the segment ids {_some(strangers)}, which its list of {len(listed)} "
            "segments lacks: list every segment of the map"
        )
    return index


def _counts(row: Sequence[int]) -> CategoryCounts:
    return CategoryCounts(
        iou_units=row[0], true_positives=row[1], false_positives=row[2], false_negatives=row[3]
    )


def _score(counts: CategoryCounts) -> PanopticScores:
    matched = counts.true_positives
    segments = matched + 0.5 * counts.false_positives + 0.5 * counts.false_negatives
    return PanopticScores(
        pq=counts.iou / segments,
        sq=counts.iou / matched if matched else 0.0,
        rq=matched / segments,
        categories=1,
    )


def _mean(scores: Iterable[PanopticScores]) -> PanopticScores:
    rows = list(scores)
    if not rows:
        return PanopticScores(pq=math.nan, sq=math.nan, rq=math.nan, categories=0)
    return PanopticScores(
        pq=math.fsum(s.pq for s in rows) / len(rows),
        sq=math.fsum(s.sq for s in rows) / len(rows),
        rq=math.fsum(s.rq for s in rows) / len(rows),
        categories=len(rows),
    )


def _size(image: Integer[np.ndarray, "H W"]) -> str:
    return f"{image.shape[0]} x {image.shape[1]}"


def _some(values: Iterable[int | str]) -> str:
    ordered = sorted(values, key=str)
    return ", ".join(str(v) for v in ordered[:8]) + (f", ... ({len(ordered)})" if len(ordered) > 8 else "")
