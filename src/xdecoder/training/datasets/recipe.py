"""What the recipes on data sets share; each of them is this with its own parts, losses and schedule."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from torch import nn

from xdecoder.bounds import require_at_least, require_positive
from xdecoder.config import PRESETS, FocalNetConfig, InteractionConfig, ModelConfig
from xdecoder.data.records import QuestionSample
from xdecoder.metrics.vqa import normalize_answer
from xdecoder.model import XDecoder
from xdecoder.networks.answer_head import AnswerHead
from xdecoder.predictor.predictor import Predictor
from xdecoder.tokenizer import Tokenizer
from xdecoder.training.datasets.objective import PublishedLosses, PublishedObjective
from xdecoder.training.datasets.parts import TaskConfig
from xdecoder.training.datasets.samples import draw_predictions
from xdecoder.training.datasets.sampling import open_source
from xdecoder.training.datasets.source import DatasetBatches
from xdecoder.training.datasets.validation import score_validation
from xdecoder.training.optimizer import MultiStep, Schedule
from xdecoder.training.recipe import Phase, Recipe
from xdecoder.training.start import find_start, start_digest, start_from
from xdecoder.weights.clip_merges import load_clip_tokenizer
from xdecoder.weights.folder import build_model, read_config, read_tokenizer, save_model
from xdecoder.weights.pretrained_parts import take_backbone, take_text_encoder

_QUESTION_LENGTH = 32


@dataclass(frozen=True, kw_only=True)
class DatasetRecipe(Recipe):
    """A run on data sets.

    The start is a model's folder or name, or a run's folder; the model's sizes and tokenizer are taken too.

    Attributes:
        data: the folder that holds the data sets.
        preset: the model's sizes, where nothing is started from.
        backbone: a checkpoint whose backbone to begin with (`take_backbone`): FocalNet's, DaViT's, UniCL's.
        text_encoder: likewise a checkpoint whose text encoder to begin with: UniCL's.
        interactions: which kinds of queries see which; None for what the start has.
        drop_path_rate: `FocalNetConfig.drop_path_rate`, of FocalNets alone; None for what the start has.
        seed: of weights, order and views.
        epochs: how often the images of the first part are seen, where `steps` does not say how long.
        steps: of the run.
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
    drop_path_rate: float | None = None
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
        require_at_least(1, self, "min_questions", *(["steps"] if self.steps is not None else []))
        require_positive(self, "epochs")
        require_at_least(0, self, "validation")
        if self.start is None and self.preset not in PRESETS:
            raise ValueError(f"no preset {self.preset!r}; there are {', '.join(PRESETS)}")
        if not self.parts:
            raise ValueError("a run needs segments, phrases, pairs or questions")

    @property
    def parts(self) -> tuple[TaskConfig, ...]:
        """What every step takes."""
        return tuple(p for p in (self.segments, self.phrases, self.pairs, self.questions) if p is not None)

    @property
    def phases(self) -> tuple[Phase, ...]:
        images = sum(part.images for part in self.parts)
        return (Phase(name="data sets", steps=self.length, images=images, schedule=self.schedule),)

    @property
    def length(self) -> int:
        """Steps of the run."""
        return self.steps or self.epoch_steps

    @cached_property
    def epoch_steps(self) -> int:
        """Steps of the epochs; the images that are there are counted."""
        part = self.parts[0]
        return max(1, round(self.epochs * len(self.batches.samples[part.task]) / part.images))

    @cached_property
    def folder(self) -> Path | None:
        """The model's folder that is started from; of a run, what it exported."""
        return None if self.start is None else find_start(self.start)

    @cached_property
    def config(self) -> ModelConfig:
        """The model's sizes."""
        config = PRESETS[self.preset] if self.folder is None else read_config(self.folder)
        if self.interactions is not None:
            config = replace(config, decoder=replace(config.decoder, interactions=self.interactions))
        if self.drop_path_rate is not None and isinstance(config.backbone, FocalNetConfig):
            config = replace(config, backbone=replace(config.backbone, drop_path_rate=self.drop_path_rate))
        return config

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        if self.folder is None:
            return load_clip_tokenizer(context_length=self.config.text.context_length)
        return read_tokenizer(self.folder)

    @cached_property
    def answer_list(self) -> tuple[str, ...]:
        """What can be answered."""
        if self.questions is None:
            return ()
        if self.answers is not None:
            return tuple(json.loads(self.answers.read_text()))
        part = self.questions
        counts: Counter[str] = Counter()
        for sample in open_source(part.dataset, self.data, task=part.task, split=part.split):
            assert isinstance(sample, QuestionSample)
            for question in sample.questions:
                given = Counter(map(normalize_answer, question.answers))
                counts.update(answer for answer, _ in given.most_common(1))
        found = tuple(answer for answer, count in counts.most_common() if count >= self.min_questions)
        if not found:
            raise ValueError(
                f"no answer is the commonest of {self.min_questions} questions of {part.dataset}: lower "
                "min_questions, or give a list with answers=FILE.json"
            )
        return found

    @property
    def question_length(self) -> int:
        """Tokens that a question is padded to."""
        return min(_QUESTION_LENGTH, self.config.text.context_length)

    @cached_property
    def batches(self) -> DatasetBatches:
        """Where batches come from."""
        return DatasetBatches(
            parts=self.parts,
            root=self.data,
            config=self.config,
            tokenizer=self.tokenizer,
            seed=self.seed,
            answers=self.answer_list,
            question_length=self.question_length,
        )

    def build_source(self) -> DatasetBatches:
        return self.batches

    def check(self) -> Sequence[str]:
        return self.batches.check()

    def build(self) -> PublishedObjective:
        head: AnswerHead | None = None
        if self.questions is not None:
            width = self.config.decoder.width
            head = AnswerHead(width, self.answer_list, question_length=self.question_length)
        if self.folder is None:
            model = XDecoder(self.config)
        else:
            model = build_model(self.config)
            start_from(self.folder, model, head)
        if self.backbone is not None:
            take_backbone(model, self.backbone)
        if self.text_encoder is not None:
            take_text_encoder(model, self.text_encoder)
        return PublishedObjective(model, head, losses=self.losses)

    def validate(self, module: nn.Module, folder: Path, step: int) -> Mapping[str, float]:
        assert isinstance(module, PublishedObjective)
        if not self.validation:
            return {}
        predictor = Predictor(module.model, self.tokenizer, answer_head=module.answer_head)
        sheet = folder / "samples" / f"step_{step:08d}.png"
        draw_predictions(predictor, self.parts, data=self.data, path=sheet)
        return score_validation(predictor, self.parts, data=self.data, images=self.validation)

    def export(self, module: nn.Module, folder: Path) -> None:
        assert isinstance(module, PublishedObjective)
        save_model(folder, module.model, self.tokenizer, answer_head=module.answer_head)

    def fingerprint(self) -> Mapping[str, object]:
        samples = self.batches.samples
        return {
            "start": None if self.start is None else start_digest(self.start),
            "images": {task: [len(source) for source in own.sources] for task, own in samples.items()},
        }

    def headline(self, scores: Mapping[str, float]) -> float | None:
        """The mean of each benchmark's first figure."""
        first: dict[str, float] = {}
        for name, score in scores.items():
            first.setdefault(name.rpartition("/")[0], score)
        return sum(first.values()) / len(first) if first else None
