"""Every task on tiny drawn scenes, for tests of how a training goes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from xdecoder.config import (
    BackboneConfig,
    DecoderConfig,
    FocalNetConfig,
    ModelConfig,
    PixelDecoderConfig,
    TextConfig,
)
from xdecoder.model import XDecoder
from xdecoder.networks.answer_head import AnswerHead
from xdecoder.picturebook import ANSWERS
from xdecoder.training.batches import Batch, BatchSource, SceneBatch
from xdecoder.training.loop import Phase, Recipe
from xdecoder.training.optimizer import Cosine, OptimizerConfig
from xdecoder.training.picturebook.batches import Mixture, PictureBook, Sizes, build_tokenizer
from xdecoder.training.picturebook.objective import Layers, Objective, Weights

CONTEXT = 40


@dataclass(frozen=True)
class Shared(BatchSource[Batch]):
    """The one batch of all processes, cut into their shares."""

    whole: PictureBook

    @property
    def images_a_step(self) -> tuple[int, ...]:
        return (self.whole.images,)

    def batch(self, step: int, rank: int, world_size: int) -> Batch:
        batch = self.whole.batch(step, 0, 1)
        assert isinstance(batch, SceneBatch)
        share = len(batch.images) // world_size
        return cut(batch, range(rank * share, (rank + 1) * share))


def cut(batch: SceneBatch, images: range) -> SceneBatch:
    """The part of a batch that belongs to some of its images."""
    rows = slice(images.start, images.stop)
    starts = [sum(batch.phrase_counts[:i]) for i in range(len(batch.images) + 1)]
    phrases = slice(starts[images.start], starts[images.stop])
    captions = slice(images.start * batch.captions_each, images.stop * batch.captions_each)
    asked = (batch.question_images >= images.start) & (batch.question_images < images.stop)
    return dataclasses.replace(
        batch,
        images=batch.images[rows],
        classes=batch.classes[rows],
        masks=batch.masks[rows],
        phrases=batch.phrases[phrases],
        phrase_lengths=batch.phrase_lengths[phrases],
        phrase_counts=batch.phrase_counts[rows],
        phrase_masks=batch.phrase_masks[rows],
        captions=batch.captions[captions],
        caption_valid=batch.caption_valid[captions],
        caption_names=batch.caption_names[captions],
        caption_regions=tuple(level[captions] for level in batch.caption_regions),
        pairs=batch.pairs[rows],
        pair_groups=batch.pair_groups[rows],
        questions=batch.questions[asked],
        question_images=batch.question_images[asked] - images.start,
        answers=batch.answers[asked],
    )


@dataclass(frozen=True, kw_only=True)
class Tiny(Recipe):
    """Every task on tiny scenes, without batch norm, whose statistics differ between processes."""

    steps: int = 20
    backbone: BackboneConfig = FocalNetConfig(  # noqa: RUF009  (frozen)
        block="plain", widths=(8, 12, 16, 20), depths=(1, 1, 1, 1), focal_levels=2
    )
    pixel_decoder: PixelDecoderConfig = PixelDecoderConfig(  # noqa: RUF009  (frozen)
        width=32, mask_width=16, layers=1, heads=2, feedforward=24
    )

    @property
    def config(self) -> ModelConfig:
        return ModelConfig(
            backbone=self.backbone,
            pixel_decoder=self.pixel_decoder,
            text=TextConfig(
                width=16,
                layers=1,
                heads=2,
                context_length=CONTEXT,
                vocabulary_size=build_tokenizer(CONTEXT).vocabulary_size,
            ),
            decoder=DecoderConfig(width=16, queries=18, layers=2, heads=2, feedforward=24),
            embed_width=16,
        )

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase(name="scenes", steps=self.steps, images=4, schedule=Cosine(warmup=2)),)

    @property
    def optimizer(self) -> OptimizerConfig:
        return OptimizerConfig(lr=1e-3, lr_factors=(("backbone.", 0.5),), ema_decay=0.9)

    def build_source(self) -> Shared:
        return Shared(
            PictureBook(
                config=self.config,
                tokenizer=build_tokenizer(CONTEXT),
                seed=3,
                text_steps=0,
                patch_steps=0,
                patches=0,
                sizes=(Sizes(steps=self.steps, drawn=64, read=64),),
                judged_from=self.steps,
                images=4,
                question_length=18,
                mixture=Mixture(phrases=2),
            )
        )

    def build(self) -> Objective:
        head = AnswerHead(16, ANSWERS, question_length=18)
        layers = Layers(segments=(0, 2), phrases=(2,), texts=(1,))
        return Objective(
            XDecoder(self.config),
            head,
            tokenizer=build_tokenizer(CONTEXT),
            weights=Weights(),
            layers=layers,
            judged_captions=2,
        )

    def validate(self, module: nn.Module, folder: Path, step: int) -> Mapping[str, float]:
        return {"parameters": float(sum(p.detach().double().sum() for p in module.parameters()))}

    def export(self, module: nn.Module, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
