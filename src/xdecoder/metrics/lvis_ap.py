"""Average precision by LVIS's rules (Gupta et al., CVPR 2019), through faster-coco-eval.

As COCO's AP (`average_precision`), but for a data set in which not every class is annotated in every image:

- Detections of a class are scored in the images that have objects of it or are known to have none
  ("neg_category_ids"); in all others they are left out.
- Where there may be more objects of a class than are annotated ("not_exhaustive_category_ids"), a detection
  without a match is not counted as wrong.
- The 300 surest detections of an image count.
- The mean is also taken over rare, common and frequent classes: in up to 10, up to 100, and more training
  images.

The data set's own program, lvis 0.5.3, does not run with NumPy from 1.24 on (it names `numpy.float`); the
tests hold this module to the figures that it gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from xdecoder.metrics.average_precision import (
    Detection,
    IouType,
    check_detections,
    check_truth,
    mean_of_known,
    precision_and_recall,
)

MOST_DETECTIONS = 300
"""Of an image."""

_IOU_50, _IOU_75 = 0, 5
_ALL, _SMALL, _MEDIUM, _LARGE = 0, 1, 2, 3


@dataclass(frozen=True, kw_only=True)
class LvisApResult:
    """LVIS's figures in 0..1; NaN where the truth has nothing to find.

    Attributes:
        ap: average precision over IoU 0.50:0.95.
        ap50: at IoU 0.50.
        ap75: at IoU 0.75.
        ap_small: over objects below 32^2 pixels.
        ap_medium: over objects from 32^2 to 96^2 pixels.
        ap_large: over objects from 96^2 pixels.
        ap_rare: over the classes of frequency "r".
        ap_common: over those of frequency "c".
        ap_frequent: over those of frequency "f".
        ar300: average recall over IoU 0.50:0.95.
        per_category: category id -> its AP over IoU 0.50:0.95.
        images: how many images of the truth were scored.
        without_detection: the images among them without a detection; their objects count as missed.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ap_rare: float
    ap_common: float
    ap_frequent: float
    ar300: float
    per_category: Mapping[int, float]
    images: int
    without_detection: tuple[int, ...]


def lvis_average_precision(
    truth: Mapping[str, Any], detections: Sequence[Detection], *, kind: IouType = "segm"
) -> LvisApResult:
    """Scores detections against every image of the truth.

    Args:
        truth: the content of LVIS's annotation file: images with "neg_category_ids" and
            "not_exhaustive_category_ids", annotations, and categories with "frequency".
        detections: entries of a COCO result file, in any order.
        kind: "segm" scores masks, "bbox" boxes.

    Raises:
        ValueError: the truth lacks what LVIS has and COCO has not; or as `average_precision`.
        ImportError: faster-coco-eval is missing.
    """
    check_truth(truth)
    _check_federated(truth)
    check_detections(truth, detections, kind=kind)

    # Where all detections of an image are left out the evaluator fails: they are left out here.
    known = {(row["image_id"], row["category_id"]) for row in truth["annotations"]}
    known |= {(image["id"], i) for image in truth["images"] for i in image["neg_category_ids"]}
    surest = _surest(detections)
    own = [row for row in surest if (row["image_id"], row["category_id"]) in known]
    curves = precision_and_recall(truth, own, kind=kind, lvis=True, most=MOST_DETECTIONS)
    precision, recall = curves.precision, curves.recall
    places = {category: k for k, category in enumerate(curves.category_ids)}
    of_frequency: dict[str, list[int]] = {"r": [], "c": [], "f": []}
    for row in truth["categories"]:
        of_frequency[row["frequency"]].append(places[row["id"]])
    image_ids = {int(image["id"]) for image in truth["images"]}
    return LvisApResult(
        ap=mean_of_known(precision[..., _ALL]),
        ap50=mean_of_known(precision[_IOU_50, ..., _ALL]),
        ap75=mean_of_known(precision[_IOU_75, ..., _ALL]),
        ap_small=mean_of_known(precision[..., _SMALL]),
        ap_medium=mean_of_known(precision[..., _MEDIUM]),
        ap_large=mean_of_known(precision[..., _LARGE]),
        ap_rare=mean_of_known(precision[:, :, of_frequency["r"], _ALL]),
        ap_common=mean_of_known(precision[:, :, of_frequency["c"], _ALL]),
        ap_frequent=mean_of_known(precision[:, :, of_frequency["f"], _ALL]),
        ar300=mean_of_known(recall[..., _ALL, 0]),
        per_category={category: mean_of_known(precision[:, :, k, _ALL]) for category, k in places.items()},
        images=len(image_ids),
        without_detection=tuple(sorted(image_ids - {row["image_id"] for row in surest})),
    )


def _check_federated(truth: Mapping[str, Any]) -> None:
    """Checks what LVIS's annotation file has beside COCO's.

    Raises:
        ValueError: an image does not say which classes it is annotated with, or a class has no frequency.
    """
    for image in truth["images"]:
        for field in ("neg_category_ids", "not_exhaustive_category_ids"):
            if not isinstance(image.get(field), list):
                raise ValueError(
                    f"image {image['id']} has no list {field!r}: LVIS's rules need LVIS's annotation file"
                )
    for category in truth["categories"]:
        if category.get("frequency") not in ("r", "c", "f"):
            raise ValueError(
                f"category {category['id']} has the frequency {category.get('frequency')!r}; LVIS's are "
                "r (rare), c (common) and f (frequent)"
            )


def _surest(detections: Sequence[Detection]) -> list[Detection]:
    """The surest detections of each image, by image."""
    ordered = sorted(detections, key=lambda d: (d["image_id"], -d["score"]))
    groups = groupby(ordered, key=lambda d: d["image_id"])
    return [row for _image, rows in groups for row in list(rows)[:MOST_DETECTIONS]]
