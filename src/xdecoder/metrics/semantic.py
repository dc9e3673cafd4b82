"""Semantic segmentation: mean IoU, frequency-weighted IoU, pixel accuracy, from one confusion matrix.

With n[t, p] the pixels of true class t that were predicted as p, over all images (Long et al., CVPR 2015,
section 5; PASCAL VOC):

    IoU of t  = n[t, t] / (sum_p n[t, p] + sum_u n[u, t] - n[t, t])
    mIoU      = mean over classes       fwIoU = sum_t (frequency of t) * (IoU of t)
    pixel accuracy = sum_t n[t, t] / sum n
    mean accuracy = mean over the classes of the truth of n[t, t] / sum_p n[t, p]

Which classes mIoU is the mean over is a choice that moves it, see `AbsentRule`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Integer

AbsentRule = Literal["union", "truth"]
"""The classes that mIoU is the mean over.

"union": those that occur in the truth or in the prediction; a class that is predicted and nowhere true
counts 0. So do the Detectron2 of the published X-Decoder and MMSegmentation. "truth": those that occur in
the truth, as in later releases of Detectron2.
"""


@dataclass(frozen=True, kw_only=True)
class SemanticResult:
    """Scores in 0..1.

    Attributes:
        miou: mean IoU over the classes that the rule takes.
        fwiou: IoU weighted by the class's share of the true pixels.
        pixel_accuracy: correct pixels over labeled pixels.
        mean_accuracy: mean recall over the classes of the truth.
        per_class: the IoU of every class; NaN where the class is neither in truth nor prediction.
        absent: the rule that chose the classes.
        classes: how many classes mIoU is the mean over.
        images: how many images were scored.
    """

    miou: float
    fwiou: float
    pixel_accuracy: float
    mean_accuracy: float
    per_class: tuple[float, ...]
    absent: AbsentRule
    classes: int
    images: int


def confusion(
    truth: Integer[np.ndarray, "H W"], prediction: Integer[np.ndarray, "Hp Wp"], class_count: int, ignore: int
) -> Integer[np.ndarray, "K K+1"]:
    """Counts pixels by true class (row) and predicted class (column); the last column is "nothing predicted".

    Args:
        truth: classes 0..K-1; pixels that are `ignore` are left out.
        prediction: classes 0..K-1; `ignore` where nothing is predicted.
        class_count: number K of classes.
        ignore: the value of unlabeled pixels.

    Raises:
        ValueError: the maps differ in size or have other values.
    """
    if truth.shape != prediction.shape:
        raise ValueError(
            f"the prediction is {prediction.shape[0]} x {prediction.shape[1]}, the truth {truth.shape[0]} x "
            f"{truth.shape[1]} (height x width): resize the prediction to the truth's size"
        )
    labeled = truth != ignore
    rows, columns = truth[labeled].astype(np.int64), prediction[labeled].astype(np.int64)
    for name, values in (("truth", rows), ("prediction", columns[columns != ignore])):
        strangers = np.unique(values[(values < 0) | (values >= class_count)]).tolist()
        if strangers:
            raise ValueError(
                f"the {name} has the values {strangers[:8]}: expected classes 0..{class_count - 1}, or "
                f"{ignore} for unlabeled pixels; map the data set's ids to classes first"
            )
    columns[columns == ignore] = class_count
    counts = np.bincount(rows * (class_count + 1) + columns, minlength=class_count * (class_count + 1))
    return counts.reshape(class_count, class_count + 1)


class MeanIoU:
    """Gathers the confusion matrix over images.

    Args:
        class_count: number K of classes.
        ignore: the value of unlabeled pixels.
        absent: which classes mIoU is the mean over.
    """

    def __init__(self, class_count: int, *, ignore: int = 255, absent: AbsentRule = "union") -> None:
        if class_count < 1:
            raise ValueError(f"class_count must be positive, got {class_count}")
        if 0 <= ignore < class_count:
            raise ValueError(f"ignore is {ignore}, a class of 0..{class_count - 1}: choose another value")
        if absent not in get_args(AbsentRule):
            raise ValueError(f"absent must be one of {get_args(AbsentRule)}, got {absent!r}")
        self._class_count = class_count
        self._ignore = ignore
        self._absent: AbsentRule = absent
        self._confusion = np.zeros((class_count, class_count + 1), np.int64)
        self._images: set[int | str] = set()

    def update(
        self,
        image_id: int | str,
        truth: Integer[np.ndarray, "H W"],
        prediction: Integer[np.ndarray, "Hp Wp"],
    ) -> None:
        """Adds one image.

        Args:
            image_id: refused when it was added before.
            truth: classes 0..K-1, or the ignored value.
            prediction: classes 0..K-1; the ignored value where nothing is predicted, which counts as a miss.

        Raises:
            ValueError: the image was added before, or as `confusion`.
        """
        if image_id in self._images:
            raise ValueError(f"image {image_id!r} was added before: add every image once")
        try:
            self._confusion += confusion(truth, prediction, self._class_count, self._ignore)
        except ValueError as error:
            raise ValueError(f"image {image_id!r}: {error}") from None
        self._images.add(image_id)

    def result(self) -> SemanticResult:
        """The scores so far.

        Raises:
            ValueError: no image was added, or none has a labeled pixel.
        """
        if not self._images:
            raise ValueError("no image was added: semantic scores need at least one")
        return semantic_scores(self._confusion, images=len(self._images), absent=self._absent)


def semantic_scores(
    confusion: Integer[np.ndarray, "K K+1"], *, images: int, absent: AbsentRule = "union"
) -> SemanticResult:
    """The scores of a confusion matrix, as `confusion` counts it, summed over images.

    Args:
        confusion: pixels by true class (row) and predicted class (column).
        images: how many images it was gathered from.
        absent: which classes mIoU is the mean over.

    Raises:
        ValueError: no pixel is labeled.
    """
    total = int(confusion.sum())
    if total == 0:
        raise ValueError(f"no pixel of {images} images is labeled: check the truth's values")
    correct = np.diagonal(confusion).astype(np.float64)
    true_pixels = confusion.sum(1).astype(np.float64)
    union = true_pixels + confusion.sum(0)[:-1] - correct
    iou = np.divide(correct, union, out=np.zeros_like(correct), where=union > 0)
    occurs = true_pixels > 0
    taken = union > 0 if absent == "union" else occurs
    return SemanticResult(
        miou=float(iou[taken].mean()),
        fwiou=float((true_pixels * iou).sum() / total),
        pixel_accuracy=float(correct.sum() / total),
        mean_accuracy=float((correct[occurs] / true_pixels[occurs]).mean()),
        per_class=tuple(float(v) if u > 0 else math.nan for v, u in zip(iou, union, strict=True)),
        absent=absent,
        classes=int(taken.sum()),
        images=images,
    )
