"""The published checkpoints: what each is, what it is good for, and its published scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

REPOSITORY = "xdecoder/X-Decoder"
"""Where they lie on the Hugging Face hub."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """A published score, in percent (CIDEr: times 100).

    Attributes:
        data: the data set, as the paper names it.
        metric: as the paper names it.
        value: in percent, as the paper gives it.
    """

    data: str
    metric: str
    value: float


@dataclass(frozen=True, kw_only=True)
class PublishedModel:
    """One published checkpoint.

    Attributes:
        name: file name on the hub without `.pt`.
        backbone: image encoder.
        queries: latent queries; None where no publication says (conversion reads it from the file).
        good_for: what to choose it for.
        parameters: in millions.
        presets: presets (`xdecoder.config.PRESETS`) of which it has the sizes of one.
        sha256: of the file, where somebody who has it said so.
        scores: that were published of it.
    """

    name: str
    backbone: Literal["Focal-T", "Focal-L"]
    queries: int | None
    good_for: str
    parameters: float
    presets: tuple[str, ...]
    sha256: str | None = None
    scores: tuple[Score, ...] = field(default=())

    @property
    def file(self) -> str:
        """File name on the hub."""
        return f"{self.name}.pt"

    @property
    def megabytes(self) -> float:
        """Size of the float32 parameters; the file differs by little."""
        return 4 * self.parameters

    @property
    def url(self) -> str:
        """Where a browser finds the file."""
        return f"https://huggingface.co/{REPOSITORY}/resolve/main/{self.file}"


def _scores(**scores: tuple[float | None, ...]) -> tuple[Score, ...]:
    """Scores by column group of the published tables; None where the table has no entry."""
    return tuple(
        Score(data=data, metric=metric, value=value)
        for group, values in scores.items()
        for (data, metric), value in zip(_COLUMNS[group], values, strict=True)
        if value is not None
    )


_COLUMNS: dict[str, tuple[tuple[str, str], ...]] = {
    "coco": (("COCO", "PQ"), ("COCO", "AP"), ("COCO", "mIoU")),
    "ade": (("ADE20K-150", "PQ"), ("ADE20K-150", "AP"), ("ADE20K-150", "mIoU")),
    "ade_full": (("ADE20K-847", "mIoU"),),
    "sun": (("SUN RGB-D 37", "mIoU"),),
    "scannet": (("ScanNet-20", "PQ"), ("ScanNet-20", "mIoU"), ("ScanNet-40", "mIoU")),
    "cityscapes": (("Cityscapes", "PQ"), ("Cityscapes", "AP"), ("Cityscapes", "mIoU")),
    "bdd": (("BDD100K", "PQ"), ("BDD100K", "mIoU")),
    "refcocog": (("RefCOCOg", "mIoU"), ("RefCOCOg", "cIoU")),
    "retrieval": (("COCO-Karpathy", "IR@1"), ("COCO-Karpathy", "TR@1")),
    "caption": (("COCO-Karpathy", "CIDEr"),),
}

PUBLISHED: dict[str, PublishedModel] = {
    model.name: model
    for model in (
        PublishedModel(
            name="xdecoder_focalt_last",
            backbone="Focal-T",
            queries=101,
            good_for="all tasks, COCO's classes first: referring, captions, retrieval",
            parameters=164.5,
            presets=("focal-t",),
            scores=_scores(
                coco=(50.8, 39.5, 62.4),
                ade=(None, 9.6, 23.9),
                refcocog=(63.2, 57.6),
                retrieval=(30.0, 48.3),
                caption=(83.3,),
            ),
        ),
        PublishedModel(
            name="xdecoder_focalt_best_openseg",
            backbone="Focal-T",
            queries=101,
            good_for="open-vocabulary segmentation: classes beyond COCO's",
            parameters=164.5,
            presets=("focal-t",),
            scores=_scores(
                coco=(48.8, 37.0, 60.2),
                ade=(19.1, 10.1, 25.1),
                ade_full=(6.2,),
                sun=(35.7,),
                scannet=(30.3, 38.4, 22.4),
                cityscapes=(37.7, 18.5, 50.2),
                bdd=(16.9, 47.6),
            ),
        ),
        PublishedModel(
            name="xdecoder_focalt_last_novg",
            backbone="Focal-T",
            queries=101,
            good_for="captions and retrieval; by its name, trained without Visual Genome",
            parameters=164.5,
            presets=("focal-t",),
        ),
        PublishedModel(
            name="xdecoder_focall_last",
            backbone="Focal-L",
            queries=201,
            good_for="all tasks, the most accurate on COCO; 201 queries",
            parameters=341.6,
            presets=("focal-l",),
            scores=_scores(coco=(56.5, 46.7, 67.2)),
        ),
        PublishedModel(
            name="xdecoder_focall_bestseg",
            backbone="Focal-L",
            queries=None,
            good_for="open-vocabulary segmentation with the large backbone",
            parameters=341.5,
            presets=("focal-l", "focal-l-oq101"),
            scores=_scores(coco=(51.5, 41.3, 64.1), ade=(None, 11.7, 29.4), retrieval=(30.7, 50.1)),
        ),
        PublishedModel(
            name="xdecoder_focall_last_oq101",
            backbone="Focal-L",
            queries=101,
            good_for="all tasks, the earlier large release; 101 queries",
            parameters=341.5,
            presets=("focal-l-oq101",),
            scores=_scores(
                coco=(56.2, 46.4, 65.5),
                ade=(None, 11.5, 23.6),
                refcocog=(67.7, None),
                retrieval=(34.9, 54.4),
            ),
        ),
    )
}


def find_published(name: str) -> PublishedModel:
    """A row of `PUBLISHED`.

    Raises:
        ValueError: there is no such model.
    """
    if name not in PUBLISHED:
        raise ValueError(f"no published model {name!r}; there are {', '.join(PUBLISHED)}")
    return PUBLISHED[name]
