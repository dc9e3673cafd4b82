"""What the engine asks of a recipe: phases, an optimizer, batches, a module, scores and an export."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, cast

from torch import nn

from xdecoder.training.batches import Batch, BatchSource
from xdecoder.training.optimizer import Cosine, OptimizerConfig, Schedule


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of a run with its own schedule.

    Attributes:
        name: what the terminal calls it.
        steps: its length.
        images: images a step, over all processes; what the speed is counted in.
        schedule: of the learning rate, from the phase's first step to its last.
        lr_factor: the phase's factor of the learning rate.
    """

    name: str
    steps: int
    images: int
    schedule: Schedule = field(default_factory=Cosine)
    lr_factor: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Recipe(ABC):
    """What is trained; every recipe is one.

    Attributes:
        start: what to start from, see `xdecoder.training.start`; None starts from nothing.
        optimizer: how parameters move.
    """

    start: Path | None = None
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)

    @classmethod
    def begin(cls, given: Mapping[str, object]) -> Recipe:
        """The recipe with its defaults, which may depend on what is given: field -> value.

        Raises:
            FileNotFoundError: data or what to start from is missing.
            ValueError: the recipe has no such field.
        """
        own = {f.name for f in fields(cls) if f.init}
        for name in given:
            if name not in own:
                raise ValueError(f"{cls.__name__} has no setting {name!r}; it has {', '.join(sorted(own))}")
        return cls(**cast("dict[str, Any]", given))

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
