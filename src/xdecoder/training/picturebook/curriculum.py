"""The bundled model's training: phases, batches, objective, scores and export by a `PictureBookRecipe`."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from torch import nn

from xdecoder.config import ModelConfig
from xdecoder.evaluation.picturebook.scores import evaluate_picturebook
from xdecoder.model import XDecoder
from xdecoder.networks.answer_head import AnswerHead
from xdecoder.picturebook import ANSWERS
from xdecoder.predictor.predictor import Predictor
from xdecoder.tokenizer import Tokenizer
from xdecoder.training.batches import Batch, BatchSource
from xdecoder.training.config import Cosine
from xdecoder.training.curriculum import Curriculum, Phase
from xdecoder.training.picturebook.objective import PictureBookObjective
from xdecoder.training.picturebook.recipe import CONTEXT_LENGTH, PictureBookLosses, PictureBookRecipe
from xdecoder.training.picturebook.samples import draw_samples
from xdecoder.training.picturebook.source import PictureBookBatches, Resolution
from xdecoder.training.picturebook.tokenizer import build_tokenizer
from xdecoder.training.start import find_start, start_digest, start_from
from xdecoder.weights.folder import save_model

QUESTION_LENGTH = 20


class PictureBookCurriculum(Curriculum[PictureBookRecipe]):
    """Every task on drawn scenes: texts alone, single things, then everything at once."""

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The world's words."""
        return build_tokenizer(CONTEXT_LENGTH)

    @cached_property
    def config(self) -> ModelConfig:
        """What the model is: its sizes, and which kinds of its queries see which."""
        recipe = self.recipe
        decoder = replace(recipe.sizes.decoder, interactions=recipe.ablation.interactions)
        return replace(recipe.sizes, decoder=decoder)

    @property
    def phases(self) -> tuple[Phase, ...]:
        recipe = self.recipe
        warm = (
            Phase(name="texts", steps=recipe.text_steps, images=0, schedule=Cosine(warmup=20, floor=0.2)),
            Phase(
                name="patches",
                steps=recipe.patch_steps,
                images=recipe.patches,
                schedule=Cosine(warmup=50, floor=0.3),
            ),
        )
        scenes = Phase(name="scenes", steps=recipe.steps, images=recipe.images, schedule=Cosine(warmup=200))
        return tuple(p for p in ((*warm, scenes) if recipe.start is None else (scenes,)) if p.steps)

    @property
    def resolutions(self) -> tuple[Resolution, ...]:
        """How large the pictures of the scenes are, as the run goes on."""
        recipe = self.recipe
        large, enlarged = (round(share * recipe.steps) for share in (recipe.large_from, recipe.enlarged_from))
        return (
            Resolution(steps=large, scene_size=96, image_size=96),
            Resolution(steps=enlarged - large, scene_size=128, image_size=128),
            Resolution(steps=recipe.steps - enlarged, scene_size=128, image_size=160),
        )

    def build_source(self) -> BatchSource[Batch]:
        return self.build_scenes()

    def build_scenes(self) -> PictureBookBatches:
        """Texts, single things and scenes, as drawn."""
        recipe = self.recipe
        return PictureBookBatches(
            config=self.config,
            tokenizer=self.tokenizer,
            seed=recipe.seed,
            text_steps=0 if recipe.start else recipe.text_steps,
            patch_steps=0 if recipe.start else recipe.patch_steps,
            patches=recipe.patches,
            resolutions=self.resolutions,
            caption_reward_from=round(recipe.caption_reward_from * recipe.steps),
            images=recipe.images,
            question_length=QUESTION_LENGTH,
            mixture=replace(recipe.mixture, pairs=recipe.mixture.pairs * recipe.ablation.pairs),
        )

    def build(self) -> PictureBookObjective:
        model = XDecoder(self.config)
        answer_head = AnswerHead(self.config.decoder.width, ANSWERS, question_length=QUESTION_LENGTH)
        objective = PictureBookObjective(
            model,
            answer_head,
            tokenizer=self.tokenizer,
            losses=self._losses(),
            rewarded_captions=self.recipe.mixture.rewarded_captions,
        )
        if self.recipe.start is not None:
            start_from(find_start(self.recipe.start), model, answer_head)
        return objective

    def _losses(self) -> PictureBookLosses:
        """What is learned, the maps' auxiliary loss with segmentation alone."""
        recipe = self.recipe
        dense = 0.0 if "segmentation" in recipe.ablation.left_out else recipe.losses.dense
        return replace(recipe.losses, config=recipe.ablation.weigh(recipe.losses.config), dense=dense)

    def validate(self, module: nn.Module, folder: Path, step: int) -> Mapping[str, float]:
        assert isinstance(module, PictureBookObjective)
        predictor = Predictor(module.model, self.tokenizer, answer_head=module.answer_head)
        scores = evaluate_picturebook(predictor, count=self.recipe.validation)
        draw_samples(module.model, self.tokenizer, folder / "samples" / f"step_{step:08d}.png")
        return scores.to_dict()

    def export(self, module: nn.Module, folder: Path) -> None:
        assert isinstance(module, PictureBookObjective)
        kept = copy.deepcopy(module).half()
        save_model(folder, kept.model, self.tokenizer, answer_head=kept.answer_head)

    def fingerprint(self) -> Mapping[str, object]:
        return {"start": None if self.recipe.start is None else start_digest(self.recipe.start)}
