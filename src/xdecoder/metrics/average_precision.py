"""Mask and box average precision by COCO's rules, through faster-coco-eval; COCO result files in and out.

AP is the mean over IoU thresholds 0.50, 0.55, ... 0.95 and over categories of the area under the
precision-recall curve, interpolated at 101 recalls, with at most 100 detections an image
(https://cocodataset.org/#detection-eval). S, M and L split by true area at 32^2 and 96^2 pixels. As
Detectron2 does, a detection's area is its mask's when masks are scored and its box's when boxes are.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Integer
from pycocotools import mask as rle

IouType = Literal["segm", "bbox"]
Detection = dict[str, Any]
"""An entry of a COCO result file: image_id, category_id, score, segmentation (RLE), bbox (x, y, w, h)."""

_IOU_50, _IOU_75 = 0, 5
_ALL, _SMALL, _MEDIUM, _LARGE = 0, 1, 2, 3


@dataclass(frozen=True, kw_only=True)
class AveragePrecisionResult:
    """Average precisions in 0..1; NaN where the truth has nothing to find.

    Attributes:
        ap: over IoU 0.50:0.95.
        ap50: at IoU 0.50.
        ap75: at IoU 0.75.
        ap_small: over objects below 32^2 pixels.
        ap_medium: over objects from 32^2 to 96^2 pixels.
        ap_large: over objects from 96^2 pixels.
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
    per_category: Mapping[int, float]
    precision_at_50: tuple[float, ...]
    kind: IouType
    images: int
    without_detection: tuple[int, ...]


def detections_of_image(
    image_id: int,
    *,
    category_ids: Sequence[int],
    scores: Float[np.ndarray, " N"],
    masks: Bool[np.ndarray, "M H W"],
    boxes: Float[np.ndarray, "Nb 4"] | None = None,
) -> list[Detection]:
    """One image's detections as entries of a COCO result file.

    Args:
        image_id: the image's id in the truth.
        category_ids: the data set's own ids.
        scores: confidences.
        masks: at the truth's size.
        boxes: left, top, right, bottom in pixels; by default the boxes around the masks.

    Raises:
        ValueError: the numbers differ.
    """
    counts = {len(category_ids), len(scores), len(masks)} | (set() if boxes is None else {len(boxes)})
    if len(counts) != 1:
        raise ValueError(
            f"image {image_id}: {len(category_ids)} categories, {len(scores)} scores and {len(masks)} masks: "
            "give one of each per detection"
        )
    detections: list[Detection] = []
    for n, mask in enumerate(masks):
        encoded = rle.encode(np.asfortranarray(mask, dtype=np.uint8))
        if boxes is None:
            box = [float(v) for v in rle.toBbox(encoded)]
        else:
            left, top, right, bottom = (float(v) for v in boxes[n])
            box = [left, top, right - left, bottom - top]
        detections.append(
            {
                "image_id": int(image_id),
                "category_id": int(category_ids[n]),
                "score": float(scores[n]),
                "bbox": box,
                "segmentation": {"size": list(encoded["size"]), "counts": _ascii(encoded["counts"])},
            }
        )
    return detections


def write_detections(path: Path, detections: Iterable[Detection]) -> int:
    """Writes a COCO result file, entry by entry, and returns how many."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        for count, detection in enumerate(detections, 1):
            file.write(("" if count == 1 else ",\n") + json.dumps(detection))
        file.write("]\n")
    return count


def read_detections(path: Path) -> list[Detection]:
    """Reads a COCO result file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no list of result entries.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no result file {path}")
    try:
        detections = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(detections, list) or not all(isinstance(d, dict) for d in detections):
        raise ValueError(
            f"{path} is no COCO result file: expected a list of entries with image_id, category_id ..."
        )
    return detections


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
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError:
        raise ImportError(
            "average precision needs faster-coco-eval: pip install 'xdecoder[evaluate]'"
        ) from None
    check_truth(truth)
    check_detections(truth, detections, kind=kind)

    # The evaluator writes into what it is given, and takes a mask's area from its box where it finds one.
    fields = ("image_id", "category_id", "score", "segmentation" if kind == "segm" else "bbox")
    own = sorted(({f: d[f] for f in fields} for d in detections), key=lambda d: d["image_id"])
    annotations = [{"iscrowd": 0, **annotation} for annotation in truth["annotations"]]
    coco = COCO({**truth, "annotations": annotations})
    evaluator = COCOeval_faster(coco, coco.loadRes(own), iouType=kind, rle_iou_max_workers=1)
    evaluator.evaluate()
    evaluator.accumulate()
    precision = np.asarray(evaluator.eval["precision"])[..., -1]  # T R K A: IoU, recall, category, area
    image_ids = {int(image["id"]) for image in truth["images"]}
    return AveragePrecisionResult(
        ap=_mean(precision[..., _ALL]),
        ap50=_mean(precision[_IOU_50, ..., _ALL]),
        ap75=_mean(precision[_IOU_75, ..., _ALL]),
        ap_small=_mean(precision[..., _SMALL]),
        ap_medium=_mean(precision[..., _MEDIUM]),
        ap_large=_mean(precision[..., _LARGE]),
        per_category={
            int(category): _mean(precision[:, :, k, _ALL])
            for k, category in enumerate(evaluator.params.catIds)
        },
        precision_at_50=tuple(_mean(row) for row in precision[_IOU_50, :, :, _ALL]),
        kind=kind,
        images=len(image_ids),
        without_detection=tuple(sorted(image_ids - {d["image_id"] for d in own})),
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


class AveragePrecision:
    """Gathers detections over images and scores them together in `result`.

    Args:
        truth: a COCO instance annotation file's content.
        kind: "segm" scores masks, "bbox" boxes.
    """

    def __init__(self, truth: Mapping[str, Any], *, kind: IouType = "segm") -> None:
        check_truth(truth)
        self._truth = truth
        self._kind: IouType = kind
        self._image_ids = frozenset(image["id"] for image in truth["images"])
        self._detections: dict[int, list[Detection]] = {}

    def update(self, image_id: int, detections: Sequence[Detection]) -> None:
        """Adds one image's detections, none included.

        Raises:
            ValueError: the image is unknown or was added before, or a detection names another image.
        """
        if image_id not in self._image_ids:
            raise ValueError(
                f"image {image_id!r} is not in the truth, which has {len(self._image_ids)} images"
            )
        if image_id in self._detections:
            raise ValueError(f"image {image_id!r} was added before: add every image once")
        if others := {d["image_id"] for d in detections} - {image_id}:
            raise ValueError(f"image {image_id!r} was given detections of the images {sorted(others)[:8]}")
        self._detections[image_id] = list(detections)

    def merge(self, other: AveragePrecision) -> None:
        """Adds what another process gathered.

        Raises:
            ValueError: the kinds or the truths differ, or both hold an image.
        """
        if (other._kind, other._image_ids) != (self._kind, self._image_ids):
            raise ValueError("cannot merge average precisions of different kinds or truths")
        if twice := self._detections.keys() & other._detections.keys():
            raise ValueError(
                f"both shards hold the images {sorted(twice)[:8]}: give every image to one process"
            )
        self._detections |= other._detections

    def result(self) -> AveragePrecisionResult:
        """The scores against every image of the truth; images that were not added count as missed.

        Raises:
            ValueError: no image was added, or as `average_precision`.
        """
        if not self._detections:
            raise ValueError("no image was added: average precision needs at least one")
        gathered = [d for _, found in sorted(self._detections.items()) for d in found]
        return average_precision(self._truth, gathered, kind=self._kind)

    def state(self) -> dict[str, Any]:
        """Everything gathered, as plain JSON values; the truth is not part of it."""
        return {
            "kind": self._kind,
            "detections": [[image_id, found] for image_id, found in self._detections.items()],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], truth: Mapping[str, Any]) -> AveragePrecision:
        """The accumulator that `state` was taken from, over the same truth."""
        restored = cls(truth, kind=state["kind"])
        for image_id, found in state["detections"]:
            restored.update(image_id, found)
        return restored


def _check_names(truth: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], name: str) -> None:
    for field, part in (("image_id", "images"), ("category_id", "categories")):
        known = {entry["id"] for entry in truth[part]}
        if unknown := sorted({entry[field] for entry in entries} - known, key=str):
            count = sum(entry[field] in set(unknown) for entry in entries)
            raise ValueError(
                f"{count} {name}s name the {part} {unknown[:8]}, which the truth lacks: score them against "
                f"the truth they were made for, or map their {field} first"
            )


def _ascii(counts: bytes | str) -> str:
    return counts.decode("ascii") if isinstance(counts, bytes) else counts


def _mean(precision: Float[np.ndarray, "..."] | Integer[np.ndarray, "..."]) -> float:
    known = precision[precision > -1]
    return float(known.mean()) if known.size else math.nan
