"""Anybody's own labels, from any model.

Command: `xdecoder train custom --data DIR` (from the bundled model) or `--from MODEL`, where DIR holds what
`xdecoder datasets check custom-instances --data DIR` says (or custom-panoptic, custom-semantic):
`annotations/instances_train.json` and `images/train/`, or Roboflow's layout; or panoptic annotations; or
label maps in `labels/train/` with `classes.txt`. The task is read from what is there.
Cost: 50 epochs, at least 300 steps of 8 images; the bundled model takes about an hour for 1,000 steps on two
processor cores, the published sizes want a GPU.
Score to expect: depends on the data. Where there is a validation split, its score is printed ten times a run,
which ends when it has not risen five times in a row; `model-best` holds the best, `model` the last.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

from xdecoder.config import ModelConfig
from xdecoder.data.catalog import DATASETS
from xdecoder.data.opening import select
from xdecoder.data.records import Task
from xdecoder.training.datasets.objective import PublishedLosses
from xdecoder.training.datasets.parts import TaskConfig
from xdecoder.training.datasets.recipe import DatasetRecipe
from xdecoder.training.optimizer import Cosine, OptimizerConfig, Schedule
from xdecoder.weights.folder import build_model

CustomTask = Literal["auto", "panoptic", "instance", "semantic"]

_DATASETS: Final[Mapping[str, tuple[Task, ...]]] = {
    "custom-panoptic": ("panoptic", "instance", "semantic"),
    "custom-instances": ("instance",),
    "custom-semantic": ("semantic",),
}
"""Where each task is looked for, the richest annotation first."""

_SMALL: Final = 30_000_000
"""Parameters up to which a model is trained at one high rate, as the bundled one is."""

_LARGEST: Final = 1024
_ASPECT: Final = 4 / 3
_FEWEST_STEPS: Final = 300
_VALIDATIONS: Final = 10
_PATIENCE: Final = 5


@dataclass(frozen=True, kw_only=True)
class Custom(DatasetRecipe):
    """Anybody's own classes: a COCO-style folder, from any model.

    Attributes:
        task: what is learned; "auto" takes what the annotations give.
    """

    start: Path | None = Path("picturebook")
    task: CustomTask = "auto"
    segments: TaskConfig | None = field(
        default_factory=lambda: TaskConfig(
            dataset="custom-instances", task="instance", split="train", images=8, size=512, scale=(0.6, 1.3)
        )
    )
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(ema_decay=0.9998))
    schedule: Schedule = field(default_factory=lambda: Cosine(warmup=20))

    @classmethod
    def begin(cls, given: Mapping[str, object]) -> Custom:
        """The recipe with defaults by the data and by the model that is started from."""
        kinds = get_args(CustomTask)
        if given.get("task", kinds[0]) not in kinds:
            raise ValueError(f"task must be {', '.join(kinds)}, got {given['task']!r}")
        recipe = cast("Custom", super().begin(given))
        dataset, task = find_annotations(recipe.data, recipe.task)
        assert recipe.segments is not None
        segments = replace(recipe.segments, dataset=dataset, task=task, size=training_size(recipe.config))
        optimizer = recipe.optimizer
        if sum(p.numel() for p in build_model(recipe.config).parameters()) < _SMALL:
            optimizer = replace(optimizer, lr=1e-3, lr_factors=())
        return replace(
            recipe, segments=segments, optimizer=optimizer, losses=losses_for(segments.size, recipe.losses)
        )

    @property
    def length(self) -> int:
        """Steps of the run: the epochs, but a few hundred at least."""
        return self.steps or max(_FEWEST_STEPS, self.epoch_steps)

    def run_defaults(self) -> Mapping[str, Any]:
        every = max(1, self.length // _VALIDATIONS)
        return {"validate_every": every, "save_every": every, "patience": _PATIENCE}


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
    """Points at which masks are compared, as many as squares of a side are worth: 784 up to 256 pixels."""
    if size > 256:
        return losses
    return replace(losses, points=replace(losses.points, points=784))
