"""Mask and box average precision by COCO's rules, through faster-coco-eval.

AP is the mean over IoU thresholds 0.50, 0.55, ... 0.95 and over categories of the area under the
precision-recall curve, interpolated at 101 recalls, with at most 100 detections an image
(https://cocodataset.org/#detection-eval). S, M and L split by true area at 32^2 and 96^2 pixels. As
Detectron2 does, a detection's area is its mask's when masks are scored and its box's when boxes are.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float, Integer

IouType = Literal["segm", "bbox"]
Detection = dict[str, Any]
"""An entry of a COCO result file: image_id, category_id, score, segmentation (RLE), bbox (x, y, w, h)."""

_IOU_50, _IOU_75 = 0, 5
_ALL, _SMALL, _MEDIUM, _LARGE = 0, 1, 2, 3


@dataclass(frozen=True, kw_only=True)
class AveragePrecisionResult:
    """COCO's twelve figures in 0..1; NaN where the truth has nothing to find.

    Attributes:
        ap: average precision over IoU 0.50:0.95.
        ap50: at IoU 0.50.
        ap75: at IoU 0.75.
        ap_small: over objects below 32^2 pixels.
        ap_medium: over objects from 32^2 to 96^2 pixels.
        ap_large: over objects from 96^2 pixels.
        ar1: average recall over IoU 0.50:0.95, of the surest detection of an image and category.
        ar10: of the ten surest.
        ar100: of the hundred surest.
        ar_small: of the hundred surest, over objects below 32^2 pixels.
        ar_medium: over objects from 32^2 to 96^2 pixels.
        ar_large: over objects from 96^2 pixels.
        per_category: category id -> its AP over IoU 0.50:0.95.
        precision_at_50: the precision at recall 0, 0.01, ... 1 at IoU 0.50, meaned over categories.
        kind: "segm" (masks) or "bbox" (boxes).
        images: how many images of the truth were scored.
        without_detection: the images among them without a detection; their objects count as missed.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar1: float
    ar10: float
    ar100: float
    ar_small: float
    ar_medium: float
    ar_large: float
    per_category: Mapping[int, float]
    precision_at_50: tuple[float, ...]
    kind: IouType
    images: int
    without_detection: tuple[int, ...]


def average_precision(
    truth: Mapping[str, Any], detections: Sequence[Detection], *, kind: IouType = "segm"
) -> AveragePrecisionResult:
    """Scores detections against every image of the truth.

    Args:
        truth: a COCO instance annotation file's content: images, annotations, categories.
        detections: entries of a COCO result file, in any order.
        kind: "segm" scores masks, "bbox" boxes.

    Raises:
        ValueError: the truth is empty or repeats an id, a detection names an image or a category that the
            truth lacks, lacks a field, or has a mask of another size than its image.
        ImportError: faster-coco-eval is missing.
    """
    check_truth(truth)
    check_detections(truth, detections, kind=kind)
    curves = precision_and_recall(truth, detections, kind=kind)
    precision, recall = curves.precision, curves.recall
    image_ids = {int(image["id"]) for image in truth["images"]}
    return AveragePrecisionResult(
        ap=mean_of_known(precision[..., _ALL]),
        ap50=mean_of_known(precision[_IOU_50, ..., _ALL]),
        ap75=mean_of_known(precision[_IOU_75, ..., _ALL]),
        ap_small=mean_of_known(precision[..., _SMALL]),
        ap_medium=mean_of_known(precision[..., _MEDIUM]),
        ap_large=mean_of_known(precision[..., _LARGE]),
        ar1=mean_of_known(recall[..., _ALL, 0]),
        ar10=mean_of_known(recall[..., _ALL, 1]),
        ar100=mean_of_known(recall[..., _ALL, 2]),
        ar_small=mean_of_known(recall[..., _SMALL, 2]),
        ar_medium=mean_of_known(recall[..., _MEDIUM, 2]),
        ar_large=mean_of_known(recall[..., _LARGE, 2]),
        per_category={
            category: mean_of_known(precision[:, :, k, _ALL])
            for k, category in enumerate(curves.category_ids)
        },
        precision_at_50=tuple(mean_of_known(row) for row in precision[_IOU_50, :, :, _ALL]),
        kind=kind,
        images=len(image_ids),
        without_detection=tuple(sorted(image_ids - {d["image_id"] for d in detections})),
    )


@dataclass(frozen=True, kw_only=True)
class PrecisionAndRecall:
    """What faster-coco-eval counts; -1 where the truth has nothing to find.

    Attributes:
        precision: at each IoU (0.50:0.95), recall (0, 0.01, ... 1), category and area.
        recall: at each IoU, category, area and number of detections.
        category_ids: in the order of the categories.
    """

    precision: Float[np.ndarray, "T R K A"]
    recall: Float[np.ndarray, "T K A M"]
    category_ids: tuple[int, ...]


def precision_and_recall(
    truth: Mapping[str, Any],
    detections: Sequence[Detection],
    *,
    kind: IouType,
    lvis: bool = False,
    most: int | None = None,
) -> PrecisionAndRecall:
    """Runs faster-coco-eval, on copies: it writes into what it is given.

    Args:
        truth: a checked annotation file's content; its annotations are numbered anew, since matches are
            stored by annotation id, where 0 means none.
        detections: checked entries of a COCO result file; without their boxes where masks are scored, since
            areas would be taken from them.
        kind: "segm" scores masks, "bbox" boxes.
        lvis: follow LVIS's rules, which know no crowds.
        most: detections of an image that count; None for COCO's 1, 10 and 100.

    Raises:
        ImportError: faster-coco-eval is missing.
    """
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError:
        raise ImportError(
            "average precision needs faster-coco-eval: pip install 'xdecoder[evaluate]'"
        ) from None
    fields = ("image_id", "category_id", "score", "segmentation" if kind == "segm" else "bbox")
    own = sorted(({f: d[f] for f in fields} for d in detections), key=lambda d: d["image_id"])
    annotations = [
        {"iscrowd": 0, **row, "id": n, **({"iscrowd": 0} if lvis else {})}
        for n, row in enumerate(truth["annotations"], start=1)
    ]
    coco = COCO({**truth, "annotations": annotations})
    evaluator = COCOeval_faster(coco, coco.loadRes(own), iouType=kind, lvis_style=lvis, rle_iou_max_workers=1)
    if most is not None:
        evaluator.params.maxDets = [most]
    evaluator.evaluate()
    evaluator.accumulate()
    return PrecisionAndRecall(
        precision=np.asarray(evaluator.eval["precision"])[..., -1],
        recall=np.asarray(evaluator.eval["recall"]),
        category_ids=tuple(int(i) for i in evaluator.params.catIds),
    )


def check_truth(truth: Mapping[str, Any]) -> None:
    """Checks a COCO instance annotation file's content.

    Raises:
        ValueError: a part is missing or empty, an id is repeated, or an annotation names an unknown image or
            category.
    """
    for part in ("images", "annotations", "categories"):
        if not truth.get(part):
            raise ValueError(f"the truth has no {part}: expected COCO's images, annotations and categories")
        if part == "annotations":
            continue  # numbered anew
        ids = Counter(entry["id"] for entry in truth[part])
        if twice := [i for i, count in ids.items() if count > 1]:
            raise ValueError(f"the truth repeats the ids {twice[:8]} among its {part}")
    _check_names(truth, truth["annotations"], "annotation")


def check_detections(truth: Mapping[str, Any], detections: Sequence[Detection], *, kind: IouType) -> None:
    """Checks detections against the truth they are to be scored on.

    Raises:
        ValueError: a field is missing, an image or a category is unknown, or a mask's size is not its
            image's.
    """
    if kind not in get_args(IouType):
        raise ValueError(f"kind must be one of {get_args(IouType)}, got {kind!r}")
    shape = "segmentation" if kind == "segm" else "bbox"
    for index, detection in enumerate(detections):
        if lacking := [f for f in ("image_id", "category_id", "score", shape) if f not in detection]:
            raise ValueError(
                f"detection {index} lacks {', '.join(lacking)}: COCO results of kind {kind} have them"
            )
    _check_names(truth, detections, "detection")
    if kind == "bbox":
        return
    sizes = {image["id"]: [image["height"], image["width"]] for image in truth["images"]}
    for index, detection in enumerate(detections):
        segmentation, size = detection["segmentation"], sizes[detection["image_id"]]
        if isinstance(segmentation, Mapping) and list(segmentation["size"]) != size:
            raise ValueError(
                f"detection {index}: its mask is {segmentation['size']}, image {detection['image_id']} is "
                f"{size} (height, width): resize the mask to its image"
            )


def _check_names(truth: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], name: str) -> None:
    for field, part in (("image_id", "images"), ("category_id", "categories")):
        known = {entry["id"] for entry in truth[part]}
        if unknown := sorted({entry[field] for entry in entries} - known, key=str):
            count = sum(entry[field] in set(unknown) for entry in entries)
            raise ValueError(
                f"{count} {name}s name the {part} {unknown[:8]}, which the truth lacks: score them against "
                f"the truth they were made for, or map their {field} first"
            )


def mean_of_known(precision: Float[np.ndarray, "..."] | Integer[np.ndarray, "..."]) -> float:
    """The mean of what is not -1, which stands for "nothing to find"; NaN where all is."""
    known = precision[precision > -1]
    return float(known.mean()) if known.size else math.nan
