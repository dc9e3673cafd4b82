"""The bundled model: every task on drawn scenes, learned from nothing on two processor cores.

Command: `torchrun --nproc-per-node 2 -m xdecoder train picturebook --out RUN` (a GPU: without torchrun; a
processor with bfloat16: with `--set run.bfloat16=true`, a fifth faster).
Cost: about 9 hours on 2 cores (10 images a second); 6.4 M parameters, 2 GB of memory a process.
Score to expect: see `docs/picturebook.md`.

In order: texts alone (they start out all alike), single things against their names (in place of the published
run's large-scale initialization), then everything at once, small pictures first; at last, captions of the
model's own are rewarded, and pictures are read enlarged.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from torch import nn

from xdecoder.bounds import require_at_least, require_shares
from xdecoder.config import (
    DecoderConfig,
    HybridConfig,
    InferenceConfig,
    ModelConfig,
    PixelDecoderConfig,
    TextConfig,
)
from xdecoder.evaluation.picturebook.scores import evaluate_picturebook
from xdecoder.model import XDecoder
from xdecoder.networks.answer_head import AnswerHead
from xdecoder.picturebook import ANSWERS
from xdecoder.predictor.predictor import Predictor
from xdecoder.tokenizer import Tokenizer
from xdecoder.training.ablations import Ablation
from xdecoder.training.optimizer import Cosine, OptimizerConfig
from xdecoder.training.picturebook.objective import PictureBookLosses, PictureBookObjective
from xdecoder.training.picturebook.samples import draw_samples
from xdecoder.training.picturebook.source import (
    PictureBookBatches,
    Resolution,
    SceneMixture,
    build_tokenizer,
)
from xdecoder.training.recipe import Phase, Recipe
from xdecoder.training.start import find_start, start_digest, start_from
from xdecoder.weights.folder import save_model

CONTEXT_LENGTH = 48
QUESTION_LENGTH = 20


def bundled_config() -> ModelConfig:
    """The bundled model's sizes."""
    return ModelConfig(
        backbone=HybridConfig(widths=(40, 80, 192, 320), depths=(1, 2, 3, 2), place_channels=32),
        pixel_decoder=PixelDecoderConfig(
            width=96, mask_width=96, mask_stride=2, layers=2, heads=4, feedforward=384
        ),
        text=TextConfig(
            width=128,
            layers=2,
            heads=4,
            context_length=CONTEXT_LENGTH,
            vocabulary_size=build_tokenizer(CONTEXT_LENGTH).vocabulary_size,
        ),
        decoder=DecoderConfig(width=128, queries=25, layers=6, heads=4, feedforward=384),
        embed_width=128,
        inference=InferenceConfig(
            short_side=160,
            long_side=320,
            vocabulary="picturebook",
            object_threshold=0.3,
            overlap_threshold=0.6,
            caption_steps=30,
            caption_beams=3,
        ),
    )


@dataclass(frozen=True, kw_only=True)
class PictureBookRecipe(Recipe):
    """The bundled model: every task on drawn scenes, from nothing.

    With a start, the first two phases are left out.

    Attributes:
        seed: of weights and scenes; another seed has other scenes.
        sizes: of the model; its vocabulary is the world's.
        ablation: what the run goes without.
        text_steps: of texts alone.
        patch_steps: of single things.
        steps: of scenes, the run proper; 0 for none.
        large_from: share of them after which pictures are 128 pixels wide instead of 96.
        enlarged_from: share of them after which these are read at 160 pixels, for finer masks.
        caption_reward_from: share of them after which the model's own captions are rewarded.
        images: scenes a step, over all processes.
        patches: single things a step, over all processes.
        mixture: what a batch of scenes is made of.
        losses: what is learned.
        validation: held-out scenes of every validation.
    """

    seed: int = 0
    sizes: ModelConfig = field(default_factory=bundled_config)
    ablation: Ablation = field(default_factory=Ablation)
    text_steps: int = 400
    patch_steps: int = 1500
    steps: int = 20_000
    large_from: float = 0.5
    enlarged_from: float = 0.7
    caption_reward_from: float = 0.7
    images: int = 16
    patches: int = 64
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(
            lr=1e-3,
            lr_factors=(),
            betas=(0.9, 0.98),
            weight_decay=0.05,
            max_grad_norm=1.0,
            ema_decay=0.998,
        )
    )
    mixture: SceneMixture = field(default_factory=SceneMixture)
    losses: PictureBookLosses = field(default_factory=PictureBookLosses)
    validation: int = 64

    def __post_init__(self) -> None:
        require_at_least(0, self, "text_steps", "patch_steps", "steps")
        require_at_least(1, self, "images", "patches", "validation")
        require_shares(self, "large_from", "enlarged_from", "caption_reward_from")
        if self.enlarged_from < self.large_from:
            raise ValueError(
                "pictures are enlarged after they are large: enlarged_from must be at least large_from, got "
                f"{self.enlarged_from} and {self.large_from}"
            )

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The world's words."""
        return build_tokenizer(CONTEXT_LENGTH)

    @cached_property
    def config(self) -> ModelConfig:
        """What the model is: its sizes, and which kinds of its queries see which."""
        decoder = replace(self.sizes.decoder, interactions=self.ablation.interactions)
        return replace(self.sizes, decoder=decoder)

    @property
    def phases(self) -> tuple[Phase, ...]:
        warm = (
            Phase(name="texts", steps=self.text_steps, images=0, schedule=Cosine(warmup=20, floor=0.2)),
            Phase(
                name="patches",
                steps=self.patch_steps,
                images=self.patches,
                schedule=Cosine(warmup=50, floor=0.3),
            ),
        )
        scenes = Phase(name="scenes", steps=self.steps, images=self.images, schedule=Cosine(warmup=200))
        return tuple(p for p in ((*warm, scenes) if self.start is None else (scenes,)) if p.steps)

    def build_source(self) -> PictureBookBatches:
        large, enlarged = (round(share * self.steps) for share in (self.large_from, self.enlarged_from))
        return PictureBookBatches(
            config=self.config,
            tokenizer=self.tokenizer,
            seed=self.seed,
            text_steps=0 if self.start else self.text_steps,
            patch_steps=0 if self.start else self.patch_steps,
            patches=self.patches,
            resolutions=(
                Resolution(steps=large, scene_size=96, image_size=96),
                Resolution(steps=enlarged - large, scene_size=128, image_size=128),
                Resolution(steps=self.steps - enlarged, scene_size=128, image_size=160),
            ),
            caption_reward_from=round(self.caption_reward_from * self.steps),
            images=self.images,
            question_length=QUESTION_LENGTH,
            mixture=replace(self.mixture, pairs=self.mixture.pairs * self.ablation.pairs),
        )

    def build(self) -> PictureBookObjective:
        model = XDecoder(self.config)
        answer_head = AnswerHead(self.config.decoder.width, ANSWERS, question_length=QUESTION_LENGTH)
        objective = PictureBookObjective(
            model,
            answer_head,
            tokenizer=self.tokenizer,
            losses=self._losses(),
            rewarded_captions=self.mixture.rewarded_captions,
        )
        if self.start is not None:
            start_from(find_start(self.start), model, answer_head)
        return objective

    def _losses(self) -> PictureBookLosses:
        """What is learned, the maps' auxiliary loss with segmentation alone."""
        dense = 0.0 if "segmentation" in self.ablation.left_out else self.losses.dense
        return replace(self.losses, config=self.ablation.weigh(self.losses.config), dense=dense)

    def validate(self, module: nn.Module, folder: Path, step: int) -> Mapping[str, float]:
        assert isinstance(module, PictureBookObjective)
        predictor = Predictor(module.model, self.tokenizer, answer_head=module.answer_head)
        scores = evaluate_picturebook(predictor, count=self.validation)
        draw_samples(module.model, self.tokenizer, folder / "samples" / f"step_{step:08d}.png")
        return scores.to_dict()

    def export(self, module: nn.Module, folder: Path) -> None:
        assert isinstance(module, PictureBookObjective)
        kept = copy.deepcopy(module).half()
        save_model(folder, kept.model, self.tokenizer, answer_head=kept.answer_head)

    def fingerprint(self) -> Mapping[str, object]:
        return {"start": None if self.start is None else start_digest(self.start)}
