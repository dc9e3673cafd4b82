"""Training on data sets: sizes, batches, objective, scores and export by a `DatasetRecipe`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import cast

from torch import nn

from xdecoder.config import PRESETS, FocalNetConfig, ModelConfig
from xdecoder.data.opening import open_dataset
from xdecoder.data.records import QuestionSample
from xdecoder.jobs.files import read_file
from xdecoder.metrics.vqa import normalize_answer
from xdecoder.model import XDecoder
from xdecoder.networks.answer_head import AnswerHead
from xdecoder.predictor.predictor import Predictor
from xdecoder.tokenizer import Tokenizer
from xdecoder.training.curriculum import Curriculum, Phase
from xdecoder.training.datasets.objective import PublishedObjective
from xdecoder.training.datasets.recipe import DatasetRecipe
from xdecoder.training.datasets.samples import draw_predictions
from xdecoder.training.datasets.sampling import open_source
from xdecoder.training.datasets.source import DatasetBatches
from xdecoder.training.datasets.validation import score_validation, validation_benchmarks
from xdecoder.training.start import find_start, start_digest, start_from
from xdecoder.weights.clip_merges import load_clip_tokenizer
from xdecoder.weights.folder import are_answers, build_model, read_config, read_tokenizer, save_model
from xdecoder.weights.pretrained_parts import take_backbone, take_text_encoder

_QUESTION_LENGTH = 32


class DatasetCurriculum(Curriculum[DatasetRecipe]):
    """What the recipes on data sets train."""

    @property
    def phases(self) -> tuple[Phase, ...]:
        recipe = self.recipe
        images = sum(part.images for part in recipe.parts)
        return (Phase(name="data sets", steps=self.length, images=images, schedule=recipe.schedule),)

    @property
    def length(self) -> int:
        """Steps of the run."""
        return self.recipe.steps or self.epoch_steps

    @cached_property
    def epoch_steps(self) -> int:
        """Steps of the epochs; the images that are there are counted."""
        part = self.recipe.parts[0]
        return max(1, round(self.recipe.epochs * len(self.batches.samples[part.task]) / part.images))

    @cached_property
    def folder(self) -> Path | None:
        """The model's folder that is started from; of a run, what it exported."""
        return None if self.recipe.start is None else find_start(self.recipe.start)

    @cached_property
    def config(self) -> ModelConfig:
        """The model's sizes."""
        recipe = self.recipe
        config = PRESETS[recipe.preset] if self.folder is None else read_config(self.folder)
        if recipe.interactions is not None:
            config = replace(config, decoder=replace(config.decoder, interactions=recipe.interactions))
        if recipe.queries is not None:
            config = replace(config, decoder=replace(config.decoder, queries=recipe.queries))
        if recipe.short_side is not None:
            now = config.inference
            long_side = round(now.long_side / now.short_side * recipe.short_side)
            inference = replace(now, short_side=recipe.short_side, long_side=long_side)
            config = replace(config, inference=inference)
        if recipe.drop_path_rate is not None and isinstance(config.backbone, FocalNetConfig):
            config = replace(config, backbone=replace(config.backbone, drop_path_rate=recipe.drop_path_rate))
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
        recipe = self.recipe
        if recipe.questions is None:
            return ()
        if recipe.answers is not None:
            return _read_answers(recipe.answers)
        part = recipe.questions
        counts: Counter[str] = Counter()
        for sample in open_source(part.dataset, recipe.data, task=part.task, split=part.split):
            assert isinstance(sample, QuestionSample)
            for question in sample.questions:
                given = Counter(map(normalize_answer, question.answers))
                counts.update(answer for answer, _ in given.most_common(1))
        found = tuple(answer for answer, count in counts.most_common() if count >= recipe.min_questions)
        if not found:
            raise ValueError(
                f"no answer is the commonest of {recipe.min_questions} questions of {part.dataset}: lower "
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
        recipe = self.recipe
        return DatasetBatches(
            parts=recipe.parts,
            root=recipe.data,
            config=self.config,
            tokenizer=self.tokenizer,
            seed=recipe.seed,
            answers=self.answer_list,
            question_length=self.question_length,
        )

    def build_source(self) -> DatasetBatches:
        return self.batches

    def check(self) -> Sequence[str]:
        for row in validation_benchmarks(self.recipe.parts) if self.recipe.validation else ():
            try:
                with suppress(FileNotFoundError):  # there is no such split
                    open_dataset(row.data, self.recipe.data, task=row.task, split=row.split, missing="skip")
            except (ValueError, OSError) as error:
                raise ValueError(
                    f"the validation split cannot be used: {error}. Mend it, or train without scores: --set "
                    "validation=0"
                ) from error
        return self.batches.check()

    def build(self) -> PublishedObjective:
        recipe = self.recipe
        head: AnswerHead | None = None
        if recipe.questions is not None:
            width = self.config.decoder.width
            head = AnswerHead(width, self.answer_list, question_length=self.question_length)
        if self.folder is None:
            model = XDecoder(self.config)
        else:
            model = build_model(self.config)
            start_from(self.folder, model, head)
        if recipe.backbone is not None:
            take_backbone(model, recipe.backbone)
        if recipe.text_encoder is not None:
            take_text_encoder(model, recipe.text_encoder)
        return PublishedObjective(model, head, losses=recipe.losses, freeze=recipe.freeze)

    def validate(self, module: nn.Module, folder: Path, step: int) -> Mapping[str, float]:
        recipe = self.recipe
        assert isinstance(module, PublishedObjective)
        if not recipe.validation:
            return {}
        predictor = Predictor(module.model, self.tokenizer, answer_head=module.answer_head)
        sheet = folder / "samples" / f"step_{step:08d}.png"
        draw_predictions(predictor, recipe.parts, data=recipe.data, path=sheet)
        return score_validation(predictor, recipe.parts, data=recipe.data, images=recipe.validation)

    def export(self, module: nn.Module, folder: Path) -> None:
        assert isinstance(module, PublishedObjective)
        save_model(folder, module.model, self.tokenizer, answer_head=module.answer_head)

    def fingerprint(self) -> Mapping[str, object]:
        samples = self.batches.samples
        return {
            "start": None if self.recipe.start is None else start_digest(self.recipe.start),
            "images": {task: [len(source) for source in own.sources] for task, own in samples.items()},
        }

    def headline(self, scores: Mapping[str, float]) -> float | None:
        """The mean of each benchmark's first figure."""
        first: dict[str, float] = {}
        for name, score in scores.items():
            first.setdefault(name.rpartition("/")[0], score)
        return sum(first.values()) / len(first) if first else None


def _read_answers(path: Path) -> tuple[str, ...]:
    """The recipe's own list of what can be answered."""
    try:
        found: object = json.loads(read_file(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON ({error}); expected a list of answers") from error
    if not are_answers(found):
        raise ValueError(f"{path}: expected a list of different texts, the answers")
    return tuple(cast("list[str]", found))
