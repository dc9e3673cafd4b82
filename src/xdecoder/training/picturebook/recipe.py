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

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from xdecoder.bounds import require, require_at_least, require_shares
from xdecoder.config import PRESETS, ModelConfig
from xdecoder.losses.config import LossConfig, SupervisedLayers
from xdecoder.picturebook import SETTINGS, STYLES, Setting, Style
from xdecoder.training.ablations import Ablation
from xdecoder.training.config import OptimizerConfig
from xdecoder.training.picturebook.tokenizer import build_tokenizer
from xdecoder.training.recipe import Recipe

if TYPE_CHECKING:
    from xdecoder.training.picturebook.curriculum import PictureBookCurriculum

CONTEXT_LENGTH = 48

_WEIGHTS = LossConfig(
    referring_ce=2.0,
    referring_bce=3.0,
    referring_dice=3.0,
    nouns=0.0,
    captioning=3.0,
    retrieval=1.0,
    backbone_retrieval=0.5,
    answers=4.5,
    images_alike=False,
)
_LAYERS = SupervisedLayers(
    segmentation=(0, 2, 4, 6), referring=(3, 6), captioning=(3, 5), retrieval=(-1,), answers=(3, 5)
)


@dataclass(frozen=True, kw_only=True)
class PictureBookLosses:
    """What is learned from drawn scenes.

    Attributes:
        config: weights of the published terms.
        layers: which predictions are supervised.
        dense: weight of the auxiliary loss of the maps.
        repetition: weight of the unlikelihood of the names that a caption repeats.
        caption_reward: weight of the reward of the captions that the model makes up.
    """

    config: LossConfig = _WEIGHTS
    layers: SupervisedLayers = _LAYERS
    dense: float = 4.0
    repetition: float = 9.0
    caption_reward: float = 2.0

    def __post_init__(self) -> None:
        require_at_least(0, self, "dense", "repetition", "caption_reward")


@dataclass(frozen=True, kw_only=True)
class SceneMixture:
    """What a batch of scenes is made of.

    Attributes:
        pair_share: batches whose vocabulary is "color category" instead of categories.
        vocabulary_size: names of a pair vocabulary, the segments' own among them.
        template_share: names that are put into a template.
        synonym_share: names for which a synonym stands; with 0 the texts alone have none either, so that
            synonyms come with captions and phrases only.
        phrases: referring phrases an image, at the most.
        hard_share: images that are asked for the leftmost of its kind, or for one at a place, before others.
        pairs: share of the scenes of a step that come with text: captions, and what retrieval learns from.
        pair_settings: where the scenes play that come with text.
        captions: of whole scenes, an image.
        styles: that captions may have.
        setting_share: captions that name the largest things and where the scene plays, the others being of
            any of `styles`: what is commonest is what greedy decoding says.
        region_captions: captions of one thing, by its mask or its box, an image.
        box_share: such regions that are boxes.
        rewarded_captions: captions of its own that the model is rewarded for, an image; at least 2.
        questions: questions an image, those that are hard to learn the most often.
        description_share: images that retrieval knows by their full description, the others by a caption.
    """

    pair_share: float = 0.3
    vocabulary_size: int = 48
    template_share: float = 0.5
    synonym_share: float = 0.2
    phrases: int = 5
    hard_share: float = 0.4
    pairs: float = 1.0
    pair_settings: tuple[Setting, ...] = SETTINGS
    captions: int = 2
    styles: tuple[Style, ...] = STYLES
    setting_share: float = 0.6
    region_captions: int = 1
    box_share: float = 0.3
    rewarded_captions: int = 2
    questions: int = 7
    description_share: float = 0.5

    def __post_init__(self) -> None:
        require_shares(self, "pair_share", "template_share", "synonym_share", "hard_share")
        require_shares(self, "setting_share", "box_share", "description_share", "pairs")
        for name in ("pair_settings", "styles"):
            require(bool(getattr(self, name)), f"SceneMixture.{name} is empty: name one at the least")
        require_at_least(0, self, "region_captions")
        require_at_least(1, self, "vocabulary_size", "phrases", "captions", "questions")
        require_at_least(2, self, "rewarded_captions")


def bundled_config() -> ModelConfig:
    """The bundled model's sizes: the preset "small" with the words and the few things of drawn scenes."""
    small = PRESETS["small"]
    return replace(
        small,
        text=replace(
            small.text,
            context_length=CONTEXT_LENGTH,
            vocabulary_size=build_tokenizer(CONTEXT_LENGTH).vocabulary_size,
        ),
        decoder=replace(small.decoder, queries=25),
        inference=replace(
            small.inference,
            short_side=160,
            long_side=320,
            vocabulary="picturebook",
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
        text_steps: steps in which texts alone are learned.
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

    def open(self) -> PictureBookCurriculum:
        from xdecoder.training.picturebook.curriculum import PictureBookCurriculum

        return PictureBookCurriculum(self)
