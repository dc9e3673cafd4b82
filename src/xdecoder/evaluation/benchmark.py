"""What a row of the table of benchmarks says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

from xdecoder.data.records import Task
from xdecoder.evaluation.resizing import Resizing

BenchmarkTask = Literal[
    "panoptic", "instance", "semantic", "referring", "caption", "retrieval", "question", "picturebook"
]

ApRule = Literal["coco", "cityscapes", "lvis"]
"""Whose average precision."""

METRICS: dict[BenchmarkTask, tuple[str, ...]] = {
    "panoptic": ("PQ",),
    "instance": ("AP",),
    "semantic": ("mIoU",),
    "referring": ("mIoU", "cIoU"),
    "caption": ("CIDEr",),
    "retrieval": ("IR@1", "TR@1"),
    "question": ("accuracy",),
    "picturebook": ("PQ", "mIoU", "referring", "captions", "retrieval", "answers"),
}
"""The figures that a kind of benchmark is known by; reports have more."""


@final
@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One row of the table.

    Attributes:
        name: what it is called by.
        data: the data set, a row of `DATASETS`; "picturebook" is drawn and needs no files.
        kind: what is done and scored.
        split: of the data set.
        resizing: how an image is brought to the network's input; None for the model's own size.
        vocabulary: the built-in list that the model is asked for; None for the data set's own, or for words.
        asked: whether the things of the vocabulary are asked for alone, or its stuff with them.
        ap: instance: whose average precision is scored.
        detections: instance: detections of an image at the most; None for the model's own number.
        object_threshold: panoptic: class probability over which a query counts; None for the model's own.
        overlap_threshold: panoptic: share of its own mask that a segment must have won; likewise.
        smallest_mask: referring: a mask of fewer pixels says that the phrase means nothing; None where each
            phrase means something.
        published: what `PUBLISHED` calls the data set; None where no score of these checkpoints is known.
        remark: what differs from the rows like it.
    """

    name: str
    data: str
    kind: BenchmarkTask
    split: str
    resizing: Resizing | None
    vocabulary: str | None = None
    asked: Literal["all", "things"] = "all"
    ap: ApRule = "coco"
    detections: int | None = None
    object_threshold: float | None = None
    overlap_threshold: float | None = None
    smallest_mask: int | None = None
    published: str | None = None
    remark: str = ""

    @property
    def task(self) -> Task:
        """What the data set's samples carry."""
        match self.kind:
            case "retrieval":
                return "caption"
            case "picturebook":
                return "panoptic"
            case _:
                return self.kind

    @property
    def metrics(self) -> tuple[str, ...]:
        """Its headline figures."""
        if self.ap == "lvis":
            return "AP", "APr", "APc", "APf"
        if self.smallest_mask is not None:
            return "gIoU", "cIoU", "N-acc", "T-acc"
        return METRICS[self.kind]
