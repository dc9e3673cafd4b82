"""What the engine asks of a curriculum: phases, batches, a module, scores and an export."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from torch import nn

from xdecoder.training.batches import Batch, BatchSource
from xdecoder.training.config import Cosine, Schedule
from xdecoder.training.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of a run with its own schedule.

    Attributes:
        name: what the terminal calls it.
        steps: how many it takes.
        images: images a step, over all processes; what the speed is counted in.
        schedule: of the learning rate, from the phase's first step to its last.
        lr_factor: the phase's factor of the learning rate.
    """

    name: str
    steps: int
    images: int
    schedule: Schedule = field(default_factory=Cosine)
    lr_factor: float = 1.0


R_co = TypeVar("R_co", bound=Recipe, covariant=True)


class Curriculum(ABC, Generic[R_co]):
    """What is trained: a recipe's settings put to work.

    Args:
        recipe: the settings that it goes by.
    """

    def __init__(self, recipe: R_co) -> None:
        self._recipe = recipe

    @property
    def recipe(self) -> R_co:
        """The settings."""
        return self._recipe

    @property
    @abstractmethod
    def phases(self) -> tuple[Phase, ...]:
        """The stretches of the run, in order."""

    @abstractmethod
    def build_source(self) -> BatchSource[Batch]:
        """Where batches come from."""

    @abstractmethod
    def build(self) -> nn.Module:
        """The module whose forward takes a batch and gives the weighted terms of its loss.

        Terms without a gradient are shown, not learned from.
        """

    @abstractmethod
    def validate(self, module: nn.Module, folder: Path, step: int) -> Mapping[str, float]:
        """Scores of the module, which is in evaluation mode; called in the first process alone."""

    @abstractmethod
    def export(self, module: nn.Module, folder: Path) -> None:
        """Write what inference needs."""

    def describe(self, run: Path, command: str) -> None:
        """Write beside the models that a finished run exported what people should know of them.

        Args:
            run: the run's folder.
            command: that trained them.
        """
        return

    def run_defaults(self) -> Mapping[str, Any]:
        """Settings of `RunConfig` that suit the recipe better than the general defaults."""
        return {}

    def check(self) -> Sequence[str]:
        """Look at what is trained on before anything is built: lines that the user should read.

        Raises:
            FileNotFoundError: files are missing.
            ValueError: there is nothing to learn from.
        """
        return ()

    def fingerprint(self) -> Mapping[str, object]:
        """What else than the settings decides what is learned, such as the data: plain JSON values."""
        return {}

    def headline(self, scores: Mapping[str, float]) -> float | None:
        """The one of a validation's scores by which models are told better or worse; None for none."""
        return None
