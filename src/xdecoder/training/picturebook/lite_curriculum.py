"""Training of the lite model: the bundled model's features first, then scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from xdecoder.config import ModelConfig
from xdecoder.model import XDecoder
from xdecoder.networks.answer_head import AnswerHead
from xdecoder.picturebook import ANSWERS, draw_scene
from xdecoder.tokenizer import Tokenizer
from xdecoder.training.batches import Batch, BatchSource
from xdecoder.training.config import Cosine
from xdecoder.training.curriculum import Phase
from xdecoder.training.picturebook.batches import PatchBatch, PictureBatch, SceneBatch, TextBatch
from xdecoder.training.picturebook.curriculum import QUESTION_LENGTH, PictureBookCurriculum
from xdecoder.training.picturebook.lite import PictureBookLiteRecipe
from xdecoder.training.picturebook.objective import PictureBookObjective
from xdecoder.training.picturebook.recipe import PictureBookLosses
from xdecoder.training.picturebook.source import PictureBookBatches, normalize, resize
from xdecoder.training.start import find_start, start_from
from xdecoder.weights.folder import load_model
from xdecoder.weights.pretrained_parts import take_backbone

_RENEWED: Final = ("backbone", "pixel_decoder.adapter_", "pixel_decoder.input_proj")


class LiteCurriculum(PictureBookCurriculum):
    """Pictures alone, of which the bundled model's features are learned; then scenes.

    Args:
        recipe: the settings.
    """

    def __init__(self, recipe: PictureBookLiteRecipe) -> None:
        super().__init__(recipe)
        self._matching_steps = recipe.matching_steps
        self._backbone = recipe.backbone

    @property
    def phases(self) -> tuple[Phase, ...]:
        matching = Phase(
            name="matching",
            steps=self._matching_steps,
            images=self.recipe.images,
            schedule=Cosine(warmup=50, floor=0.3),
            lr_factor=2.0,
        )
        return (*((matching,) if self._matching_steps else ()), *super().phases)

    def build_source(self) -> BatchSource[Batch]:
        return LiteBatches(scenes=self.build_scenes(), matching_steps=self._matching_steps)

    def build(self) -> PictureBookObjective:
        assert self.recipe.start is not None
        folder = find_start(self.recipe.start)
        model = XDecoder(self.config)
        answer_head = AnswerHead(self.config.decoder.width, ANSWERS, question_length=QUESTION_LENGTH)
        start_from(folder, model, answer_head, renewed=_RENEWED if self._matching_steps else ())
        if self._matching_steps and self._backbone is not None:
            take_backbone(model, self._backbone)
        return LiteObjective(
            model,
            answer_head,
            tokenizer=self.tokenizer,
            losses=self._losses(),
            rewarded_captions=self.recipe.mixture.rewarded_captions,
            teacher=load_model(folder)[0].float(),
        )


@dataclass(frozen=True, kw_only=True)
class LiteBatches(BatchSource[Batch]):
    """Pictures alone, then scenes.

    Attributes:
        scenes: the scenes with all that is known of them.
        matching_steps: steps of pictures alone.
    """

    scenes: PictureBookBatches
    matching_steps: int

    @property
    def images_a_step(self) -> tuple[int, ...]:
        return self.scenes.images_a_step

    def batch(self, step: int, rank: int, world_size: int) -> Batch:
        """The batch of one process in one step."""
        if step >= self.matching_steps:
            return self.scenes.batch(step - self.matching_steps, rank, world_size)
        resolution = self.scenes.resolutions[0 if step % 3 else -1]
        count = self.scenes.images // world_size
        first = (self.scenes.seed + 1) * 100_000_000 - 1 - step * self.scenes.images - rank * count
        drawn = [draw_scene(first - i, split="train", size=resolution.scene_size) for i in range(count)]
        pictures = [resize(scene.image, resolution.image_size) for scene in drawn]
        return PictureBatch(images=normalize(pictures, self.scenes.config))


class LiteObjective(PictureBookObjective):
    """As the bundled model's, and how far the features of pictures are from the bundled model's.

    Args:
        model: the model that is kept.
        answer_head: as `PictureBookObjective`, and so on.
        tokenizer: likewise.
        losses: likewise.
        rewarded_captions: likewise.
        teacher: the bundled model; it does not learn.
    """

    def __init__(
        self,
        model: XDecoder,
        answer_head: AnswerHead,
        *,
        tokenizer: Tokenizer,
        losses: PictureBookLosses,
        rewarded_captions: int,
        teacher: XDecoder,
    ) -> None:
        super().__init__(
            model, answer_head, tokenizer=tokenizer, losses=losses, rewarded_captions=rewarded_captions
        )
        self._teacher = (teacher.eval().requires_grad_(False),)  # no part of this module, nor of its state

    def forward(self, batch: TextBatch | PatchBatch | SceneBatch | PictureBatch) -> dict[str, Tensor]:
        """The weighted sum of each part, and each term for show."""
        if isinstance(batch, PictureBatch):
            return {"features": self._distance(batch.images)}
        return super().forward(batch)

    def _distance(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, ""]:
        """The squared distance of each map, as a share of the variance of what it should be; their mean."""
        (teacher,) = self._teacher
        teacher.to(images.device)
        with torch.no_grad():
            wanted = _features(teacher, _renormalized(images, self.model.config, teacher.config))
        found = _features(self.model, images)
        shares = [(own - true).square().mean() / true.var() for own, true in zip(found, wanted, strict=True)]
        return torch.stack(shares).mean()


def _features(model: XDecoder, images: Tensor) -> Sequence[Tensor]:
    """What a decoder reads of images: the levels, the mask features, and the pooled backbone."""
    maps = model.backbone(images)
    features = model.pixel_decoder(maps)
    return (*features.levels, features.masks, model.embed_maps(maps[3]))


def _renormalized(images: Tensor, of: ModelConfig, to: ModelConfig) -> Tensor:
    """Images that are normalized for one model, normalized for another."""
    mean, std, mean_to, std_to = (
        torch.tensor(x, device=images.device)[:, None, None]
        for x in (of.pixel_mean, of.pixel_std, to.pixel_mean, to.pixel_std)
    )
    return (images * std + mean - mean_to) / std_to
