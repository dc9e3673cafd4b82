"""Anybody's own labels, from any model.

Command: `xdecoder train custom --data DIR` (from picturebook-lite) or `--from MODEL`, where DIR holds what
`xdecoder datasets check custom-instances --data DIR` says (or custom-panoptic, custom-semantic):
`annotations/instances_train.json` and `images/train/`, or Roboflow's layout; or panoptic annotations; or
label maps in `labels/train/` with `classes.txt`. The task is read from what is there.
Cost: 50 epochs, at least 300 steps of 8 images; picturebook-lite takes 38 minutes of CPU time for
1,000 steps at its own size (`benchmarks/photographs.py sizes`), the published sizes want a GPU.
Score to expect: depends on the data. Where there is a validation split, its score is printed ten times a run,
which ends when it has not risen five times in a row; `model-best` holds the best, `model` the last.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, get_args

from xdecoder.bounds import require
from xdecoder.config import ModelConfig
from xdecoder.data.catalog import DATASETS
from xdecoder.data.opening import select
from xdecoder.data.records import Task
from xdecoder.training.config import Cosine, OptimizerConfig, Schedule
from xdecoder.training.datasets.parts import TaskConfig
from xdecoder.training.datasets.recipe import DatasetRecipe, PublishedLosses
from xdecoder.training.recipe import Recipe

if TYPE_CHECKING:
    from xdecoder.training.datasets.custom_curriculum import CustomCurriculum

CustomTask = Literal["auto", "panoptic", "instance", "semantic"]

_DATASETS: Final[Mapping[str, tuple[Task, ...]]] = {
    "custom-panoptic": ("panoptic", "instance", "semantic"),
    "custom-instances": ("instance",),
    "custom-semantic": ("semantic",),
}
"""Where each task is looked for, the richest annotation first."""

_SMALL: Final = 30_000_000
"""Parameters up to which a model is trained at one high rate, as the bundled ones are."""

_QUERIES: Final = 101
"""Latent queries at the least: photographs have more segments than drawn scenes."""

_LARGEST: Final = 1024
_WHOLE: Final = 512
_ASPECT: Final = 4 / 3


@dataclass(frozen=True, kw_only=True)
class Custom(DatasetRecipe):
    """Anybody's own classes: a COCO-style folder, from any model.

    Attributes:
        task: what is learned; "auto" takes what the annotations give.
    """

    start: Path | None = Path("picturebook-lite")
    task: CustomTask = "auto"
    segments: TaskConfig | None = field(
        default_factory=lambda: TaskConfig(
            dataset="custom-instances", task="instance", split="train", images=8, size=512, scale=(0.6, 1.3)
        )
    )
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(ema_decay=0.9998))
    schedule: Schedule = field(default_factory=lambda: Cosine(warmup=20))

    @property
    def part(self) -> TaskConfig:
        """What every step consists of."""
        assert self.segments is not None
        return self.segments

    @classmethod
    def begin(cls, given: Mapping[str, object]) -> Recipe:
        task, tasks = given.get("task", "auto"), get_args(CustomTask)
        require(task in tasks, f"task must be {', '.join(tasks)}, got {task!r}")
        return super().begin(given)

    def adapted(self) -> Custom:
        """The recipe with defaults by the data and by the model that is started from."""
        from xdecoder.weights.folder import build_model

        dataset, task = find_annotations(self.data, self.task)
        config = self.open().config
        segments = replace(
            self.part,
            dataset=dataset,
            task=task,
            size=training_size(config),
            sides=(config.inference.short_side, config.inference.long_side),
        )
        optimizer = self.optimizer
        if sum(p.numel() for p in build_model(config).parameters()) < _SMALL:
            optimizer = replace(optimizer, lr=1e-3, lr_factors=())
        return replace(
            self,
            segments=segments,
            optimizer=optimizer,
            losses=losses_for(segments.size, self.losses),
            queries=max(_QUERIES, config.decoder.queries),
        )

    def open(self) -> CustomCurriculum:
        from xdecoder.training.datasets.custom_curriculum import CustomCurriculum

        return CustomCurriculum(self)


def find_annotations(data: Path, task: CustomTask) -> tuple[str, Task]:
    """The data set of the catalog that a folder is, and what is learned from it.

    Raises:
        FileNotFoundError: there are no annotations for the task.
    """
    looked: list[str] = []
    # Annotations made for the task come before those that also serve it.
    for name, tasks in sorted(_DATASETS.items(), key=lambda row: task not in ("auto", row[1][0])):
        if task != "auto" and task not in tasks:
            continue
        chosen = tasks[0] if task == "auto" else task
        pattern = DATASETS[name].files[chosen][0]
        if select(name, data, task=chosen, split="train").path(pattern).exists():
            return name, chosen
        looked.append(pattern.format(split="train", word="train"))
    raise FileNotFoundError(
        f"{data}: no annotations to train on; looked for {', '.join(looked)}. `xdecoder datasets check "
        f"custom-instances --data {data}` prints a layout"
    )


def training_size(config: ModelConfig) -> int:
    """The side of the squares to train on: photographs then have the size at which the model reads them."""
    longer = config.inference.short_side * _ASPECT
    return min(_LARGEST, 32 * math.ceil(longer / 32))


def losses_for(size: int, losses: PublishedLosses) -> PublishedLosses:
    """Where masks are compared in squares of a side: small ones whole, large ones at points, as published."""
    return losses if size > _WHOLE else replace(losses, comparison="whole")
