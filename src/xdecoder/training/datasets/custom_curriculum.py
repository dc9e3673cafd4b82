"""Training on one's own data: what the model keeps of it, and the card that says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from torch import nn

from xdecoder.config import ClassList
from xdecoder.data.opening import open_dataset
from xdecoder.jobs.distributed import find_world
from xdecoder.model import XDecoder
from xdecoder.predictor.predictor import Predictor
from xdecoder.training.datasets.card import TrainingFacts, write_card
from xdecoder.training.datasets.curriculum import DatasetCurriculum
from xdecoder.training.datasets.custom import Custom
from xdecoder.training.datasets.objective import PublishedObjective
from xdecoder.training.datasets.thresholds import choose_thresholds
from xdecoder.training.memory import cuts_that_fit, free_bytes
from xdecoder.training.run_folder import BEST_MODEL, MODEL

_FEWEST_STEPS: Final = 300
_VALIDATIONS: Final = 10
_PATIENCE: Final = 5
_SMALL_STEP: Final = 8 * 256**2
"""Pixels of a step that fit any memory."""

_THRESHOLD_IMAGES: Final = 50
"""Of the validation split, from which panoptic thresholds are chosen."""


class CustomCurriculum(DatasetCurriculum):
    """What the recipe `custom` trains: a run of a few steps at least, validated often.

    Args:
        recipe: the settings.
    """

    def __init__(self, recipe: Custom) -> None:
        super().__init__(recipe)
        self.part = recipe.part

    @property
    def length(self) -> int:
        """Steps of the run: the epochs, but a few hundred at least."""
        return self.recipe.steps or max(_FEWEST_STEPS, self.epoch_steps)

    def run_defaults(self) -> Mapping[str, Any]:
        every = max(1, self.length // _VALIDATIONS)
        found = {"validate_every": every, "save_every": every, "patience": _PATIENCE}
        part, world = self.part, find_world()
        free = free_bytes(world.device)
        if world.size > 1 or free is None or part.images * part.size**2 <= _SMALL_STEP:
            return found
        cuts = cuts_that_fit(
            self.config, images=part.images, size=part.size, free=free, freeze=self.recipe.freeze
        )
        return {**found, "accumulate": cuts}

    def check(self) -> Sequence[str]:
        """What the data holds, and how long the run is."""
        part, start, length = self.part, self.recipe.start, self.length
        epochs = length * part.images / len(self.batches.samples[part.task])
        return (
            *super().check(),
            f"{length:,} steps of {part.images} images ({epochs:.0f} epochs) in squares of {part.size} "
            f"pixels, from {'nothing' if start is None else start}",
        )

    @cached_property
    def classes(self) -> ClassList:
        """What is learned to tell apart."""
        words = self.batches.vocabulary(self.part)
        return ClassList(classes=words.classes, things=tuple(sorted(words.things)))

    def validate(self, module: nn.Module, folder: Path, step: int) -> Mapping[str, float]:
        assert isinstance(module, PublishedObjective)
        self._choose_thresholds(module.model)
        return super().validate(module, folder, step)

    def _choose_thresholds(self, model: XDecoder) -> None:
        """Give a model the thresholds that are best on the validation split, where there is one."""
        part, images = self.part, min(self.recipe.validation, _THRESHOLD_IMAGES)
        if part.task != "panoptic" or not images:
            return
        with suppress(FileNotFoundError, ValueError):  # there is no such split
            held = open_dataset(part.dataset, self.recipe.data, task=part.task, split="val", missing="skip")
            chosen = choose_thresholds(Predictor(model, self.tokenizer), held, images=images)
            if chosen is not None:
                settings = replace(
                    model.config.inference, object_threshold=chosen[0], overlap_threshold=chosen[1]
                )
                model.config = replace(model.config, inference=settings)

    def export(self, module: nn.Module, folder: Path) -> None:
        """Write the model with its classes."""
        assert isinstance(module, PublishedObjective)
        model = module.model
        settings = replace(model.config.inference, vocabulary=self.classes)
        model.config = replace(model.config, inference=settings)
        super().export(module, folder)

    def describe(self, run: Path, command: str) -> None:
        """Write the cards of the models that a run exported, and its curves."""
        part, start = self.part, self.recipe.start
        facts = TrainingFacts(
            command=command,
            data=self.recipe.data.resolve().name,
            dataset=part.dataset,
            task=part.task,
            images=len(self.batches.samples[part.task]),
            start="nothing" if start is None else start.name,
        )
        for folder in (run / MODEL, run / BEST_MODEL):
            if folder.is_dir():
                write_card(folder, run, facts)
