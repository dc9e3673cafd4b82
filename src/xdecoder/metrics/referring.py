"""Referring segmentation: cumulative IoU, mean IoU and precision at IoU 0.5, 0.6, ... 0.9.

With I and U the pixels of an expression's intersection and union (Yu et al., "Modeling Context in Referring
Expressions", ECCV 2016; X-Decoder, appendix):

    cIoU = sum I / sum U      mIoU = mean of I / U      precision@x = share of expressions with I / U >= x

An expression whose truth and prediction are both empty counts IoU 1 (the published program divides by zero).

Where expressions may mean nothing (gRefCOCO; Liu et al., "GRES", CVPR 2023, section 3):

    gIoU = mean of I / U, 1 for an expression that means nothing and is given no mask, 0 if it is given one
    cIoU as above, over all expressions
    N-acc = share of the expressions that mean nothing that are given no mask
    T-acc = share of the others that are given one

As that paper does for models which always give a mask, one of a few pixels counts as none.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Integer

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
GENERALIZED_THRESHOLDS = (0.7, 0.8, 0.9)


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


@dataclass(frozen=True, kw_only=True)
class GeneralizedReferringResult:
    """Scores in 0..1; NaN where no expression is of the kind.

    Attributes:
        giou: mean IoU, an expression that means nothing counting 0 or 1.
        ciou: cumulative IoU.
        n_acc: share of the expressions without a target that are given no mask.
        t_acc: share of the expressions with one that are given a mask.
        precision: threshold -> share of the expressions with a target with at least that IoU.
        expressions: how many expressions were scored.
    """

    giou: float
    ciou: float
    n_acc: float
    t_acc: float
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
        self._pixels: dict[int | str, tuple[int, int, int]] = {}  # of intersection, union and truth

    def update(
        self,
        expression_ids: Sequence[int | str],
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
            shown = twice or sorted(expression_ids, key=str)
            raise ValueError(f"expressions {shown[:8]} were added before: add every expression once")
        counts = (*intersection_and_union(truth, prediction), np.count_nonzero(truth, axis=(1, 2)))
        of_expression: list[list[int]] = np.stack(counts, axis=1).tolist()
        for expression, (intersection, union, true) in zip(expression_ids, of_expression, strict=True):
            self._pixels[expression] = intersection, union, true

    def result(self) -> ReferringResult:
        """The scores so far.

        Raises:
            ValueError: no expression was added.
        """
        counts = [(i, u) for i, u, _true in self._counts()]
        ious = [_iou(i, u) for i, u in counts]
        return ReferringResult(
            ciou=_iou(sum(i for i, _ in counts), sum(u for _, u in counts)),
            miou=math.fsum(ious) / len(ious),
            precision={x: sum(iou >= x for iou in ious) / len(ious) for x in THRESHOLDS},
            expressions=len(ious),
        )

    def generalized(self, *, smallest: int) -> GeneralizedReferringResult:
        """The scores so far where expressions may mean nothing: those whose truth is empty.

        Args:
            smallest: a mask of fewer pixels is none.

        Raises:
            ValueError: no expression was added.
        """
        counts: list[tuple[int, int]] = []
        given: dict[bool, list[bool]] = {True: [], False: []}  # has a target -> was given a mask
        targeted: list[float] = []
        for intersection, union, true in self._counts():
            masked = union - true + intersection >= smallest
            counts.append((intersection, union) if masked else (0, true))
            given[true > 0].append(masked)
            if true > 0:
                targeted.append(_iou(*counts[-1]))
        ious = [_iou(i, u) for i, u in counts]
        return GeneralizedReferringResult(
            giou=math.fsum(ious) / len(ious),
            ciou=_iou(sum(i for i, _ in counts), sum(u for _, u in counts)),
            n_acc=_share([not masked for masked in given[False]]),
            t_acc=_share(given[True]),
            precision={x: _share([iou >= x for iou in targeted]) for x in GENERALIZED_THRESHOLDS},
            expressions=len(ious),
        )

    def _counts(self) -> Collection[tuple[int, int, int]]:
        if not self._pixels:
            raise ValueError("no expression was added: referring scores need at least one")
        return self._pixels.values()


def _iou(intersection: int, union: int) -> float:
    return intersection / union if union else 1.0


def _share(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits) if hits else math.nan
