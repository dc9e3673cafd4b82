"""What is trained and how, as a record of settings that `--set` changes. Nothing here needs torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from xdecoder.training.config import OptimizerConfig

if TYPE_CHECKING:
    from xdecoder.training.curriculum import Curriculum


@dataclass(frozen=True, kw_only=True)
class Recipe(ABC):
    """The settings of a training; every recipe is one.

    Attributes:
        start: what to start from, see `xdecoder.training.start`; None starts from nothing.
        optimizer: how parameters move.
    """

    start: Path | None = None
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)

    @classmethod
    def begin(cls, given: Mapping[str, object]) -> Recipe:
        """The recipe with some of its fields given: name -> value.

        Raises:
            ValueError: the recipe has no such field, or its value cannot work.
        """
        own = {f.name for f in fields(cls) if f.init}
        for name in given:
            if name not in own:
                raise ValueError(f"{cls.__name__} has no setting {name!r}; it has {', '.join(sorted(own))}")
        return cls(**cast("dict[str, Any]", given))

    def adapted(self) -> Recipe:
        """The recipe with defaults that suit its data and the model that it starts from.

        Raises:
            FileNotFoundError: the data or the model is missing.
        """
        return self

    @abstractmethod
    def open(self) -> Curriculum[Recipe]:
        """What the engine trains by these settings; its modules are imported here, not before.

        Raises:
            ModuleNotFoundError: a package that training needs is not installed.
        """
