"""Pretraining as published: segmented and captioned photographs in every step (section 4 of the paper).

Command: `torchrun --nproc-per-node 8 --nnodes 4 -m xdecoder train pretrain_focal_t --data DATA --from START
--set run.bfloat16=true`, where START is a model whose backbone and text encoder were trained before (as
published) and DATA holds COCO, the RefCOCOs and a folder of pairs (`xdecoder datasets list`).
Cost: 184,375 steps of 32 + 1,024 images, 50 epochs of COCO. Not run with this program
yet.
Score to expect: the published models', which `xdecoder evaluate` prints beside its own.

The paper's comparisons are the same runs with something left out: a task, pairs, or an interaction of queries
(`--set interactions.texts_see_objects=false`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from xdecoder.config import InteractionConfig
from xdecoder.losses.config import LossConfig, SupervisedLayers
from xdecoder.training.ablations import ABLATIONS
from xdecoder.training.datasets.parts import TaskConfig
from xdecoder.training.datasets.recipe import DatasetRecipe, PublishedLosses

_SEGMENTS = TaskConfig(
    dataset="coco",
    task="panoptic",
    split="train-leakfree",
    images=32,
    captions="coco",
    phrases=("refcoco", "refcoco+", "refcocog-umd"),
)
_PAIRS = TaskConfig(dataset="custom-pairs", task="caption", images=1024, size=224, squeeze=True, flip=0.0)
_WEIGHTS = LossConfig(captioning=8.0, retrieval=8.0)
_LAYERS = SupervisedLayers(referring=(-6, -5, -4, -3, -2, -1))
_RELEASED = PublishedLosses(config=_WEIGHTS, layers=_LAYERS)
"""The released runs' settings, which differ from those of the published configuration files."""


def _without(name: str) -> PublishedLosses:
    return replace(_RELEASED, config=ABLATIONS[name].weigh(_WEIGHTS))


def _share_of_pairs(name: str) -> TaskConfig:
    return replace(_PAIRS, images=round(_PAIRS.images * ABLATIONS[name].pairs))


@dataclass(frozen=True, kw_only=True)
class PretrainFocalT(DatasetRecipe):
    """Focal-T as published: segmentation and image-text pairs, captioned and contrasted."""

    preset: str = "focal-t"
    interactions: InteractionConfig | None = InteractionConfig()
    drop_path_rate: float | None = 0.3
    epochs: float = 50.0
    segments: TaskConfig | None = _SEGMENTS
    pairs: TaskConfig | None = _PAIRS
    losses: PublishedLosses = _RELEASED


@dataclass(frozen=True, kw_only=True)
class PretrainFocalL(PretrainFocalT):
    """Focal-L as published: as Focal-T."""

    preset: str = "focal-l"


@dataclass(frozen=True, kw_only=True)
class SegmentationOnly(PretrainFocalT):
    """The paper's comparison: segments alone, no image-text pairs, captions or phrases."""

    segments: TaskConfig | None = replace(_SEGMENTS, captions="", phrases=())
    pairs: TaskConfig | None = None
    losses: PublishedLosses = _without("segmentation_only")


@dataclass(frozen=True, kw_only=True)
class WithoutRetrieval(PretrainFocalT):
    """The paper's comparison: pairs are captioned, but not contrasted."""

    losses: PublishedLosses = _without("without_retrieval")


@dataclass(frozen=True, kw_only=True)
class WithoutCaptioning(PretrainFocalT):
    """The paper's comparison: pairs are contrasted, but not captioned."""

    losses: PublishedLosses = _without("without_captioning")


@dataclass(frozen=True, kw_only=True)
class WithoutReferring(PretrainFocalT):
    """The paper's comparison: no phrases are learned."""

    segments: TaskConfig | None = replace(_SEGMENTS, phrases=())
    losses: PublishedLosses = _without("without_referring")


@dataclass(frozen=True, kw_only=True)
class TextsWithoutObjects(PretrainFocalT):
    """The paper's comparison: captions see the global query, but no object queries."""

    interactions: InteractionConfig | None = ABLATIONS["texts_without_objects"].interactions


@dataclass(frozen=True, kw_only=True)
class TextsWithoutGlobal(PretrainFocalT):
    """The paper's comparison: captions see the object queries, but not the global one."""

    interactions: InteractionConfig | None = ABLATIONS["texts_without_global"].interactions


@dataclass(frozen=True, kw_only=True)
class TextsWithoutLatents(PretrainFocalT):
    """The paper's comparison: captions see no latent queries at all."""

    interactions: InteractionConfig | None = ABLATIONS["texts_without_latents"].interactions


@dataclass(frozen=True, kw_only=True)
class CopiesWithoutPhrases(PretrainFocalT):
    """The paper's comparison: in referring, phrases are compared with the queries, but not seen by them."""

    interactions: InteractionConfig | None = ABLATIONS["copies_without_phrases"].interactions


@dataclass(frozen=True, kw_only=True)
class HalfThePairs(PretrainFocalT):
    """The paper's comparison: half of the image-text pairs a step."""

    pairs: TaskConfig | None = _share_of_pairs("half_the_pairs")


@dataclass(frozen=True, kw_only=True)
class AQuarterOfThePairs(PretrainFocalT):
    """The paper's comparison: a quarter of the image-text pairs a step."""

    pairs: TaskConfig | None = _share_of_pairs("a_quarter_of_the_pairs")


@dataclass(frozen=True, kw_only=True)
class AnEighthOfThePairs(PretrainFocalT):
    """The paper's comparison: an eighth of the image-text pairs a step."""

    pairs: TaskConfig | None = _share_of_pairs("an_eighth_of_the_pairs")
