"""Anybody's COCO-style folder.

Command: `xdecoder train custom --data DIR --from picturebook` (or a published model), where DIR holds
`annotations/instances_train.json` and `images/train/`, or Roboflow's layout; for panoptic annotations add
`--set segments.dataset=custom-panoptic --set segments.task=panoptic`.
Cost: 1,000 steps of 8 images; a small model takes about an hour on two processor cores, the published sizes
want a GPU.
Score to expect: depends on the data; `xdecoder evaluate` scores the run's `model` folder.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from xdecoder.training.datasets.recipe import DatasetRecipe
from xdecoder.training.datasets.source import TaskConfig
from xdecoder.training.optimizer import Cosine, OptimizerConfig, Schedule


@dataclass(frozen=True, kw_only=True)
class Custom(DatasetRecipe):
    """Anybody's own classes: a COCO-style folder, from any model."""

    steps: int = 1000
    segments: TaskConfig | None = field(
        default_factory=lambda: TaskConfig(
            dataset="custom-instances", task="instance", split="train", images=8, size=512, scale=(0.5, 1.5)
        )
    )
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(ema_decay=0.999))
    schedule: Schedule = field(default_factory=lambda: Cosine(warmup=50))
