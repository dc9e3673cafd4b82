"""Referring segmentation: cumulative IoU, mean IoU and precision at IoU 0.5, 0.6, ... 0.9.

With I and U the pixels of an expression's intersection and union (Yu et al., "Modeling Context in Referring
Expressions", ECCV 2016; X-Decoder, appendix):

    cIoU = sum I / sum U      mIoU = mean of I / U      precision@x = share of expressions with I / U >= x

An expression whose truth and prediction are both empty counts IoU 1 (the published program divides by zero).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Integer

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True, kw_only=True)
class ReferringResult:
    """Scores in 0..1.

    Attributes:
        ciou: cumulative IoU, which large objects dominate.
        miou: mean IoU, every expression alike.
        precision: threshold -> share of the expressions with at least that IoU.
        expressions: how many expressions were scored.
    """

    ciou: float
    miou: float
    precision: Mapping[float, float]
    expressions: int


def intersection_and_union(
    truth: Bool[np.ndarray, "N H W"], prediction: Bool[np.ndarray, "Np Hp Wp"]
) -> tuple[Integer[np.ndarray, " N"], Integer[np.ndarray, " N"]]:
    """Pixels that both masks have, and that either has, for every pair.

    Raises:
        ValueError: the masks differ in number or size.
    """
    if truth.shape != prediction.shape:
        raise ValueError(
            f"the predicted masks are {' x '.join(map(str, prediction.shape))}, the true ones "
            f"{' x '.join(map(str, truth.shape))} (masks x height x width): give one mask per expression, at "
            "the truth's size"
        )
    intersection = np.count_nonzero(truth & prediction, axis=(1, 2))
    union = np.count_nonzero(truth | prediction, axis=(1, 2))
    return np.asarray(intersection), np.asarray(union)


class ReferringSegmentation:
    """Gathers intersections and unions over expressions."""

    def __init__(self) -> None:
        self._pixels: dict[int | str, tuple[int, int]] = {}

    def update(
        self,
        expression_ids: list[int] | list[str],
        truth: Bool[np.ndarray, "N H W"],
        prediction: Bool[np.ndarray, "Np Hp Wp"],
    ) -> None:
        """Adds the expressions of one image.

        Args:
            expression_ids: N ids, refused when added before.
            truth: the true masks.
            prediction: the predicted masks, in the same order.

        Raises:
            ValueError: an id was added before, or the numbers or sizes differ.
        """
        if len(expression_ids) != len(truth):
            raise ValueError(
                f"{len(expression_ids)} expression ids for {len(truth)} true masks: give one each"
            )
        twice = [i for i in expression_ids if i in self._pixels]
        if twice or len(set(expression_ids)) != len(expression_ids):
            shown = twice or sorted(expression_ids)
            raise ValueError(f"expressions {shown[:8]} were added before: add every expression once")
        intersection, union = intersection_and_union(truth, prediction)
        self._pixels.update(
            zip(expression_ids, zip(intersection.tolist(), union.tolist(), strict=True), strict=True)
        )

    def result(self) -> ReferringResult:
        """The scores so far.

        Raises:
            ValueError: no expression was added.
        """
        if not self._pixels:
            raise ValueError("no expression was added: referring scores need at least one")
        ious = [i / u if u else 1.0 for i, u in self._pixels.values()]
        union = sum(u for _, u in self._pixels.values())
        return ReferringResult(
            ciou=sum(i for i, _ in self._pixels.values()) / union if union else 1.0,
            miou=math.fsum(ious) / len(ious),
            precision={x: sum(iou >= x for iou in ious) / len(ious) for x in THRESHOLDS},
            expressions=len(ious),
        )
