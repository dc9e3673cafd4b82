"""What all runs have in common: lengths, the model where a cell says nothing else, the scenes of scoring."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, final

from xdecoder.bounds import require_at_least, require_positive
from xdecoder.config import (
    BackboneConfig,
    DecoderConfig,
    HybridConfig,
    InferenceConfig,
    ModelConfig,
    PixelDecoderConfig,
    TextConfig,
)
from xdecoder.training.picturebook.recipe import bundled_config


@final
@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The model of a run.

    Attributes:
        width: of texts and decoder.
        layers: of the decoder.
        pixel_width: of the pixel decoder.
        backbone: the image encoder.
    """

    width: int = 128
    layers: int = 3
    pixel_width: int = 64
    backbone: BackboneConfig = field(
        default_factory=lambda: HybridConfig(
            widths=(32, 64, 128, 256), depths=(1, 1, 2, 2), place_channels=32
        )
    )

    def config(self, image_size: int) -> ModelConfig:
        """The model, which reads pictures of `image_size` pixels."""
        text: TextConfig = bundled_config().text
        heads = 4
        return ModelConfig(
            backbone=self.backbone,
            pixel_decoder=PixelDecoderConfig(
                width=self.pixel_width,
                mask_width=self.pixel_width,
                layers=1,
                heads=heads,
                feedforward=4 * self.pixel_width,
            ),
            text=replace(text, width=self.width, heads=heads),
            decoder=DecoderConfig(
                width=self.width, queries=25, layers=self.layers, heads=heads, feedforward=3 * self.width
            ),
            embed_width=self.width,
            inference=InferenceConfig(
                short_side=image_size,
                long_side=image_size,
                vocabulary="picturebook",
                object_threshold=0.3,
                overlap_threshold=0.6,
                caption_steps=24,
                prompt_ensemble=False,
            ),
        )


@final
@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What all runs of a reproduction have in common.

    Attributes:
        version: of the cells and their scores; runs of another version are never mixed with these.
        sizes: of the model, where a cell does not say otherwise.
        image_size: side of the pictures in pixels, drawn and read.
        images: scenes a step.
        steps: of a pretraining.
        finetune_steps: of a finetuning, which a model trained on one task alone gets beside its `steps`.
        text_steps: of the common warm start: texts alone.
        patch_steps: of the common warm start: single things against their names.
        patches: single things a step.
        scenes: that each cell is scored on, of each kind.
        run_hours: hours of one core that a run takes by the pilot, where none has been measured yet.
    """

    version: int = 2
    sizes: Sizes = field(default_factory=Sizes)
    image_size: int = 96
    images: int = 16
    steps: int = 2000
    finetune_steps: int = 500
    text_steps: int = 300
    patch_steps: int = 4000
    patches: int = 64
    scenes: int = 192
    run_hours: float = 0.25

    def __post_init__(self) -> None:
        require_at_least(1, self, "images", "steps", "finetune_steps", "text_steps", "patch_steps", "patches")
        require_at_least(2, self, "scenes")
        require_positive(self, "run_hours")


FULL: Final = Protocol()
SMOKE: Final = Protocol(
    sizes=Sizes(
        width=32,
        layers=1,
        pixel_width=32,
        backbone=HybridConfig(widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), place_channels=8),
    ),
    image_size=64,
    images=4,
    steps=4,
    finetune_steps=2,
    text_steps=2,
    patch_steps=2,
    patches=8,
    scenes=4,
    run_hours=0.005,
)
"""Every step of the way with runs of seconds: it shows that all works, and says nothing of any claim."""
