"""What the paper's comparisons leave out of pretraining: one table, for every recipe that pretrains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, final

from xdecoder.config import InteractionConfig
from xdecoder.losses.config import LossConfig

PretrainingTask = Literal["segmentation", "referring", "captioning", "retrieval"]

_WEIGHTS: Final[Mapping[PretrainingTask, tuple[str, ...]]] = {
    "segmentation": ("class_ce", "mask_bce", "mask_dice"),
    "referring": ("referring_ce", "referring_bce", "referring_dice"),
    "captioning": ("captioning",),
    "retrieval": ("retrieval", "backbone_retrieval"),
}
"""The weights of `LossConfig` that belong to each task."""


@final
@dataclass(frozen=True, kw_only=True)
class Ablation:
    """What pretraining goes without.

    Attributes:
        left_out: tasks that are not learned.
        interactions: which kinds of queries see which.
        pairs: share of a step's image-text pairs that is kept, above 0.
    """

    left_out: tuple[PretrainingTask, ...] = ()
    interactions: InteractionConfig = field(default_factory=InteractionConfig)
    pairs: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.pairs <= 1:
            raise ValueError(f"Ablation.pairs must lie in (0, 1], got {self.pairs}")
        if set(self.left_out) >= set(_WEIGHTS):
            raise ValueError("Ablation.left_out names every task: nothing is left to learn")

    def weigh(self, config: LossConfig) -> LossConfig:
        """The weights with those of the tasks left out at 0."""
        return replace(config, **{name: 0.0 for task in self.left_out for name in _WEIGHTS[task]})


ABLATIONS: Final[Mapping[str, Ablation]] = {
    # Pretraining tasks
    "without_retrieval": Ablation(left_out=("retrieval",)),
    "without_captioning": Ablation(left_out=("captioning",)),
    "without_referring": Ablation(left_out=("referring",)),
    "segmentation_only": Ablation(left_out=("referring", "captioning", "retrieval")),
    # Query interactions
    "texts_without_objects": Ablation(interactions=InteractionConfig(texts_see_objects=False)),
    "texts_without_global": Ablation(interactions=InteractionConfig(texts_see_global=False)),
    "texts_without_latents": Ablation(
        interactions=InteractionConfig(texts_see_objects=False, texts_see_global=False)
    ),
    "copies_without_phrases": Ablation(interactions=InteractionConfig(copies_see_phrases=False)),
    # Image-text pairs of a step
    "half_the_pairs": Ablation(pairs=1 / 2),
    "a_quarter_of_the_pairs": Ablation(pairs=1 / 4),
    "an_eighth_of_the_pairs": Ablation(pairs=1 / 8),
}
"""The paper's comparisons, by name."""
