"""Instance average precision by Cityscapes' rules (https://www.cityscapes-dataset.com/benchmarks).

AP is the mean over the eight classes of things, and over the IoU thresholds 0.50, 0.55, ... 0.95, of the area
under the precision-recall curve, by trapezoids from the point of recall 0 and precision 1. What differs from
COCO's AP:

- A true object counts from 100 pixels. Groups (a bare label id) and smaller objects are neither found nor
  missed.
- Of the predictions over the threshold on one object the surest is right, the others are wrong.
- A prediction that lies over the threshold on no object is not counted as wrong when a greater share of it
  than the threshold is void, on a group or on a small object.

The benchmark's own program, cityscapesScripts 2.3.0, does not run with NumPy from 2.4 on (it calls
`numpy.in1d`); the tests hold this module to the figures that it gives with an older one. Its oddities are
kept: a small group counts twice as ignored, caravans and trailers that are told apart are no void.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer

THRESHOLDS = tuple(round(0.5 + 0.05 * n, 2) for n in range(10))
_SMALLEST = 100
_FIRST_INSTANCE = 1000
_VOID_IDS = (0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30)


@dataclass(frozen=True, kw_only=True)
class CityscapesPrediction:
    """A predicted object: its label id (24 to 33), how sure the model is, and its mask."""

    label_id: int
    score: float
    mask: Bool[np.ndarray, "H W"]


@dataclass(frozen=True, kw_only=True)
class CityscapesApResult:
    """Average precisions in 0..1; NaN where the truth has nothing to find.

    Attributes:
        ap: over all thresholds and classes.
        ap50: at IoU 0.5.
        per_class: label id -> its AP.
        images: how many images were scored.
    """

    ap: float
    ap50: float
    per_class: Mapping[int, float]
    images: int


@dataclass(frozen=True, kw_only=True)
class _Overlaps:
    """One image's objects of a class: P predictions, G true objects, groups and small ones with them."""

    iou: Float[np.ndarray, "P G"]
    counted: Bool[np.ndarray, " G"]
    scores: Float[np.ndarray, " P"]
    ignored: Float[np.ndarray, " P"]


class CityscapesAp:
    """Gathers overlaps over images.

    Args:
        label_ids: of the classes that are scored.
    """

    def __init__(self, label_ids: Sequence[int]) -> None:
        if not label_ids:
            raise ValueError("no classes: give Cityscapes' label ids, 24 to 33")
        self._label_ids = tuple(label_ids)
        self._overlaps: dict[int, list[_Overlaps]] = {label: [] for label in label_ids}
        self._images: set[int | str] = set()

    def update(
        self,
        image_id: int | str,
        truth: Integer[np.ndarray, "H W"],
        predictions: Sequence[CityscapesPrediction],
    ) -> None:
        """Add an image.

        Args:
            image_id: refused when it was added before.
            truth: `*_instanceIds.png`: label ids, or for a thing told apart 1000 times that plus its number.
            predictions: in any order; empty masks and other classes are passed over.

        Raises:
            ValueError: the image was added before, or a mask is of another size.
        """
        if image_id in self._images:
            raise ValueError(f"image {image_id!r} was added before: add every image once")
        for prediction in predictions:
            if prediction.mask.shape != truth.shape:
                raise ValueError(
                    f"image {image_id!r}: a mask is {prediction.mask.shape}, the truth {truth.shape} (height "
                    "x width): resize it"
                )
        self._images.add(image_id)
        ids, place = np.unique(truth, return_inverse=True)
        place = place.reshape(truth.shape)
        sizes = np.bincount(place.ravel(), minlength=len(ids))
        labels = np.where(ids < _FIRST_INSTANCE, ids, ids // _FIRST_INSTANCE)
        void = np.isin(ids, _VOID_IDS)
        for label, gathered in self._overlaps.items():
            own = np.flatnonzero(labels == label)
            found = [p for p in predictions if p.label_id == label and p.mask.any()]
            shared = np.array([np.bincount(place[p.mask], minlength=len(ids)) for p in found])
            shared = shared.reshape(len(found), len(ids))
            areas = shared.sum(1)
            group, small = ids[own] < _FIRST_INSTANCE, sizes[own] < _SMALLEST
            passed_over = shared[:, void].sum(1) + shared[:, own] @ (group.astype(int) + small)
            gathered.append(
                _Overlaps(
                    iou=shared[:, own] / np.maximum(1, areas[:, None] + sizes[own] - shared[:, own]),
                    counted=~group & ~small,
                    scores=np.array([p.score for p in found], np.float64),
                    ignored=passed_over / np.maximum(1, areas),
                )
            )

    def result(self) -> CityscapesApResult:
        """The scores so far.

        Raises:
            ValueError: no image was added.
        """
        if not self._images:
            raise ValueError("no image was added: average precision needs at least one")
        table = np.array(
            [[_ap(self._overlaps[label], threshold) for threshold in THRESHOLDS] for label in self._label_ids]
        )
        known = table[~np.isnan(table).any(1)]
        return CityscapesApResult(
            ap=float(known.mean()) if known.size else math.nan,
            ap50=float(known[:, 0].mean()) if known.size else math.nan,
            per_class={label: float(row.mean()) for label, row in zip(self._label_ids, table, strict=True)},
            images=len(self._images),
        )


def _ap(images: Sequence[_Overlaps], threshold: float) -> float:
    """The AP of one class at one IoU threshold; NaN where the truth has none of it."""
    objects = sum(int(image.counted.sum()) for image in images)
    if objects == 0:
        return math.nan
    right: list[float] = []
    wrong: list[float] = []
    for image in images:
        over = image.iou > threshold
        for column in np.flatnonzero(image.counted):
            scores = sorted(image.scores[over[:, column]].tolist(), reverse=True)
            right += scores[:1]
            wrong += scores[1:]
        wrong += image.scores[~over.any(1) & (image.ignored <= threshold)].tolist()
    if not right:
        return 0.0
    scores = np.array(right + wrong)
    true = np.array([True] * len(right) + [False] * len(wrong))
    order = np.argsort(-scores, kind="stable")
    scores, true = scores[order], true[order]
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))  # of each group of equal scores
    hits = np.cumsum(true)[last]
    precision = np.concatenate([[1.0], hits / (last + 1)])
    recall = np.concatenate([[0.0], hits / objects])
    return float(((precision[1:] + precision[:-1]) / 2 * np.diff(recall)).sum())
