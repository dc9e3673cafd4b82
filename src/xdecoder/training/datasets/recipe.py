"""What the recipes on data sets share; each of them is this with its own parts, losses and schedule."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from xdecoder.bounds import require_at_least, require_positive
from xdecoder.config import PRESETS, InteractionConfig
from xdecoder.losses.config import LossConfig, PointSampling, SupervisedLayers
from xdecoder.training.config import ModelPart, MultiStep, Schedule
from xdecoder.training.datasets.parts import TaskConfig
from xdecoder.training.recipe import Recipe

if TYPE_CHECKING:
    from xdecoder.training.datasets.curriculum import DatasetCurriculum


@dataclass(frozen=True, kw_only=True)
class PublishedLosses:
    """What is learned from which part.

    Attributes:
        config: weights of the terms.
        comparison: where masks are compared: at random points, as published, or at every cell of the mask
            features, which costs no more where pictures are small, and misses no small thing.
        points: how points are drawn.
        layers: which predictions are supervised.
        name_weight: weight of the cross-entropy over queries where classes are referred to by their names.
        phrase_weight: likewise, where phrases are free text.
    """

    config: LossConfig = field(default_factory=LossConfig)
    comparison: Literal["points", "whole"] = "points"
    points: PointSampling = field(default_factory=PointSampling)
    layers: SupervisedLayers = field(default_factory=SupervisedLayers)
    name_weight: float = 0.5
    phrase_weight: float = 2.0

    def __post_init__(self) -> None:
        require_at_least(0, self, "name_weight", "phrase_weight")


@dataclass(frozen=True, kw_only=True)
class DatasetRecipe(Recipe):
    """A run on data sets.

    The start is a model's folder or name, or a run's folder; the model's sizes and tokenizer are taken too.

    Attributes:
        data: the folder that holds the data sets.
        preset: the model's sizes, where nothing is started from (`xdecoder.config.PRESETS`): small and tiny
            learn without a GPU.
        backbone: a checkpoint whose backbone to begin with (`take_backbone`).
        text_encoder: likewise a checkpoint whose text encoder to begin with: UniCL's.
        interactions: which kinds of queries see which; None for what the start has.
        short_side: what the model resizes the shorter side of images to, from now on; None for what the
            start has.
        queries: object queries and the global one; None for what the start has. More than it has begin as
            copies (`xdecoder.training.start`).
        drop_path_rate: `FocalNetConfig.drop_path_rate`, of FocalNets alone; None for what the start has.
        freeze: parts of the model that stay as they are, the statistics of their batch norms too. Where the
            first parts of the model are frozen, a step takes less time and memory.
        seed: of weights, order and views.
        epochs: how often the images of the first part are seen, where `steps` does not say how long.
        steps: of the run; None for as many as the epochs take.
        segments: segmented images of every step.
        phrases: images with phrases of every step.
        pairs: captioned images of every step.
        questions: images with questions of every step.
        losses: what is learned.
        schedule: of the learning rate.
        answers: a JSON list of what can be answered, written as VQA accuracy normalizes answers; by default
            those that most people gave to `min_questions` questions of the data set or more.
        min_questions: as said; nine is the field's choice for VQAv2.
        validation: images of each validation split that are scored, the first of them drawn too; 0 for none.
            `xdecoder evaluate` scores all, by the published protocols.
    """

    data: Path = Path("data")
    preset: str = "focal-t"
    backbone: Path | None = None
    text_encoder: Path | None = None
    interactions: InteractionConfig | None = None
    short_side: int | None = None
    queries: int | None = None
    drop_path_rate: float | None = None
    freeze: tuple[ModelPart, ...] = ()
    seed: int = 0
    epochs: float = 50.0
    steps: int | None = None
    segments: TaskConfig | None = None
    phrases: TaskConfig | None = None
    pairs: TaskConfig | None = None
    questions: TaskConfig | None = None
    losses: PublishedLosses = field(default_factory=PublishedLosses)
    schedule: Schedule = field(default_factory=MultiStep)
    answers: Path | None = None
    min_questions: int = 9
    validation: int = 200

    def __post_init__(self) -> None:
        given = [name for name in ("steps", "short_side") if getattr(self, name) is not None]
        require_at_least(1, self, "min_questions", *given)
        require_positive(self, "epochs")
        require_at_least(0, self, "validation")
        if self.start is None and self.preset not in PRESETS:
            raise ValueError(f"no preset {self.preset!r}; there are {', '.join(PRESETS)}")
        if set(self.freeze) >= set(get_args(ModelPart)):
            raise ValueError(f"freeze leaves nothing to learn: {', '.join(self.freeze)}")
        if not self.parts:
            raise ValueError("a run needs segments, phrases, pairs or questions")

    @property
    def parts(self) -> tuple[TaskConfig, ...]:
        """What every step takes."""
        return tuple(p for p in (self.segments, self.phrases, self.pairs, self.questions) if p is not None)

    def open(self) -> DatasetCurriculum:
        from xdecoder.training.datasets.curriculum import DatasetCurriculum

        return DatasetCurriculum(self)
