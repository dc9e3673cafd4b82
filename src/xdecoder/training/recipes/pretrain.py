"""Pretraining as published: segmented photographs and captioned ones in every step (section 4.1).

Command: `torchrun --nproc-per-node 8 --nnodes 4 -m xdecoder train pretrain_focal_t --data DATA --from START
--set run.bfloat16=true`, where START is a model whose backbone and text encoder were trained before (as
published) and DATA holds COCO and a folder of pairs (`xdecoder datasets list`).
Cost: 184,375 steps of 32 + 1,024 images, 50 epochs of COCO. Not run with this program
yet.
Score to expect: the published models', which `xdecoder evaluate` prints beside its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from xdecoder.losses.objective import LossConfig
from xdecoder.training.photograph_objective import PhotographLosses
from xdecoder.training.photograph_recipe import PhotographRecipe
from xdecoder.training.photographs import Part

_COCO_IMAGES = 118_000
_SEGMENTS = Part(dataset="coco", task="panoptic", split="train", images=32, size=1024)
_PAIRS = Part(dataset="custom-pairs", task="caption", images=1024, size=224, scale=(1.0, 1.0), flip=0.0)


def _losses(**weights: float) -> PhotographLosses:
    return PhotographLosses(config=LossConfig(**weights))  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True, kw_only=True)
class PretrainFocalT(PhotographRecipe):
    """Focal-T as published: segmentation, captioning and retrieval together."""

    preset: str = "focal-t"
    steps: int = 50 * _COCO_IMAGES // 32
    segments: Part | None = _SEGMENTS
    pairs: Part | None = _PAIRS
    losses: PhotographLosses = field(default_factory=lambda: _losses(captioning=8.0, retrieval=8.0))


@dataclass(frozen=True, kw_only=True)
class PretrainFocalL(PretrainFocalT):
    """Focal-L as published: as Focal-T, with the caption and retrieval losses at 2."""

    preset: str = "focal-l"
    losses: PhotographLosses = field(default_factory=PhotographLosses)


@dataclass(frozen=True, kw_only=True)
class SegmentationOnly(PretrainFocalT):
    """The paper's comparison: no image-text pairs at all."""

    pairs: Part | None = None


@dataclass(frozen=True, kw_only=True)
class WithoutRetrieval(PretrainFocalT):
    """The paper's comparison: pairs are captioned, but not contrasted."""

    losses: PhotographLosses = field(
        default_factory=lambda: _losses(captioning=8.0, retrieval=0.0, backbone_retrieval=0.0)
    )


@dataclass(frozen=True, kw_only=True)
class WithoutCaptioning(PretrainFocalT):
    """The paper's comparison: pairs are contrasted, but not captioned."""

    losses: PhotographLosses = field(default_factory=lambda: _losses(captioning=0.0, retrieval=8.0))
