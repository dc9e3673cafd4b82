"""Finetuning for one task, as in section 4 of the paper.

Command: `torchrun --nproc-per-node 8 -m xdecoder train finetune_retrieval --data DATA --from MODEL`.
Cost: the epochs below. Not run with this program yet.
Score to expect: the published models', which `xdecoder evaluate` prints beside its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from xdecoder.losses.config import LossConfig
from xdecoder.training.config import MultiStep, OptimizerConfig, Schedule
from xdecoder.training.datasets.parts import TaskConfig
from xdecoder.training.datasets.recipe import DatasetRecipe, PublishedLosses

_LAST_EPOCHS = MultiStep(milestones=(21 / 24, 23 / 24))
_CAPTIONED = TaskConfig(
    dataset="coco-karpathy",
    task="caption",
    split="train+restval",  # 113,287 images
    images=2048,
    size=384,
    squeeze=True,
)


@dataclass(frozen=True, kw_only=True)
class FinetuneSegmentation(DatasetRecipe):
    """Generic segmentation: ADE20K, 24 epochs at 1e-4; `--set segments.dataset=...` for another data set."""

    epochs: float = 24.0
    segments: TaskConfig | None = TaskConfig(
        dataset="ade20k-150", task="panoptic", split="train", images=16, size=640
    )
    schedule: Schedule = _LAST_EPOCHS


@dataclass(frozen=True, kw_only=True)
class FinetuneReferring(DatasetRecipe):
    """Referring segmentation: RefCOCOg, 24 epochs at 1e-5, 64 images a step."""

    epochs: float = 24.0
    phrases: TaskConfig | None = TaskConfig(
        dataset="refcocog-umd", task="referring", split="train", images=64, scale=(1.0, 1.0), flip=0.0
    )
    optimizer: OptimizerConfig = OptimizerConfig(lr=1e-5)
    schedule: Schedule = _LAST_EPOCHS


@dataclass(frozen=True, kw_only=True)
class FinetuneRetrieval(DatasetRecipe):
    """Retrieval: COCO, 10 epochs, 384 pixels, 2,048 pairs a step, 3e-5 (3e-6 for the towers)."""

    epochs: float = 10.0
    pairs: TaskConfig | None = _CAPTIONED
    losses: PublishedLosses = PublishedLosses(config=LossConfig(captioning=0.0))
    optimizer: OptimizerConfig = OptimizerConfig(lr=3e-5)


@dataclass(frozen=True, kw_only=True)
class FinetuneCaptioning(DatasetRecipe):
    """Captioning: COCO, 10 epochs, 480 pixels, 256 pairs a step, 2e-5 (2e-6 for the towers)."""

    epochs: float = 10.0
    pairs: TaskConfig | None = replace(_CAPTIONED, images=256, size=480)
    losses: PublishedLosses = PublishedLosses(config=LossConfig(retrieval=0.0, backbone_retrieval=0.0))
    optimizer: OptimizerConfig = OptimizerConfig(lr=2e-5)


@dataclass(frozen=True, kw_only=True)
class FinetuneAnswering(DatasetRecipe):
    """Question answering: VQAv2, 10 epochs, 640 pixels, 256 questions a step, 1e-4."""

    epochs: float = 10.0
    questions: TaskConfig | None = TaskConfig(
        dataset="vqav2", task="question", split="train", images=256, size=640, scale=(1.0, 1.0), flip=0.0
    )
    optimizer: OptimizerConfig = OptimizerConfig(
        lr_factors=(("answer_head.", 10.0), *OptimizerConfig().lr_factors)
    )
