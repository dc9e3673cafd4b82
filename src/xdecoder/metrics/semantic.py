"""Semantic segmentation: mean IoU, frequency-weighted IoU, pixel accuracy, from one confusion matrix.

With n[t, p] the pixels of true class t that were predicted as p, over all images (Long et al., CVPR 2015,
section 5; PASCAL VOC):

    IoU of t  = n[t, t] / (sum_p n[t, p] + sum_u n[u, t] - n[t, t])
    mIoU      = mean over classes       fwIoU = sum_t (frequency of t) * (IoU of t)
    pixel accuracy = sum_t n[t, t] / sum n        mean accuracy = mean over classes of n[t, t] / sum_p n[t, p]

Which classes the means take is a choice that moves the figure, see `AbsentRule`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Integer

AbsentRule = Literal["truth", "union", "all"]
"""What mIoU and the mean accuracy do with classes that never occur.

"truth": the classes that occur in the truth (Detectron2, and so the published X-Decoder). "union": the
classes that occur in the truth or in the prediction (MMSegmentation's mIoU). "all": every class; one that
never occurs counts 0.
"""


@dataclass(frozen=True, kw_only=True)
class SemanticResult:
    """Scores in 0..1.

    Attributes:
        miou: mean IoU over the classes that the rule takes.
        fwiou: IoU weighted by the class's share of the true pixels.
        pixel_accuracy: correct pixels over labeled pixels.
        mean_accuracy: mean recall over the classes that the rule takes.
        per_class: the IoU of every class; NaN where the class is neither in truth nor prediction.
        absent: the rule that chose the classes.
        classes: how many classes it took.
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
        class_count: K.
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


class SemanticSegmentation:
    """Gathers the confusion matrix over images.

    Args:
        class_count: K.
        ignore: the value of unlabeled pixels.
        absent: which classes the means take.
    """

    def __init__(self, class_count: int, *, ignore: int = 255, absent: AbsentRule = "truth") -> None:
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
        total = int(self._confusion.sum())
        if total == 0:
            raise ValueError(f"no pixel of {len(self._images)} images is labeled: check the truth's values")
        correct = np.diagonal(self._confusion).astype(np.float64)
        true_pixels = self._confusion.sum(1).astype(np.float64)
        union = true_pixels + self._confusion.sum(0)[:-1] - correct
        iou = np.divide(correct, union, out=np.zeros_like(correct), where=union > 0)
        recall = np.divide(correct, true_pixels, out=np.zeros_like(correct), where=true_pixels > 0)
        taken = {"truth": true_pixels > 0, "union": union > 0, "all": np.ones_like(union, dtype=bool)}[
            self._absent
        ]
        return SemanticResult(
            miou=float(iou[taken].mean()),
            fwiou=float((true_pixels * iou).sum() / total),
            pixel_accuracy=float(correct.sum() / total),
            mean_accuracy=float(recall[taken].mean()),
            per_class=tuple(float(v) if u > 0 else math.nan for v, u in zip(iou, union, strict=True)),
            absent=self._absent,
            classes=int(taken.sum()),
            images=len(self._images),
        )
