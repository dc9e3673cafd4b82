"""Sizes and settings of published checkpoints.

Sizes are read from the tensors' shapes, and what no tensor shows (heads, thresholds, pixel statistics, image
sizes) from the official YAML.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from xdecoder.config import (
    BackboneConfig,
    DaViTConfig,
    DecoderConfig,
    FocalNetConfig,
    InferenceConfig,
    ModelConfig,
    PixelDecoderConfig,
    TextConfig,
)
from xdecoder.jobs.printable import printable
from xdecoder.weights.documents import shown

Shapes = Mapping[str, Sequence[int]]

_PREDICTOR = "sem_seg_head.predictor"
_PIXEL_DECODER = "sem_seg_head.pixel_decoder"
_TEXT = f"{_PREDICTOR}.lang_encoder"
_CAPTIONS = (f"{_PREDICTOR}.caping_embed", f"{_PREDICTOR}.pos_embed_caping.weight")


def config_from_checkpoint(shapes: Shapes, yaml: Mapping[str, Any] | None = None) -> ModelConfig:
    """The configuration of a published checkpoint.

    Args:
        shapes: shape of every tensor, by its published name.
        yaml: the official configuration, from `read_yaml`. Without it, what no tensor shows takes
            the published models' values: 8 heads (DaViT: one for 32 channels), thresholds of 0.8, sizes
            800/1333.

    Raises:
        ValueError: a tensor that shows a size is missing, or the YAML and the tensors disagree; both values
            are named.
    """
    facts = _Facts(shapes, yaml)
    _refuse_prenorm(facts)
    try:
        config = ModelConfig(
            backbone=_backbone(facts),
            pixel_decoder=_pixel_decoder(facts),
            text=_text(facts),
            decoder=_decoder(facts),
            embed_width=facts.size(f"{_PREDICTOR}.class_embed", 1, "MODEL.DIM_PROJ"),
            backbone_retrieval=facts.either(("backbone_proj",), "MODEL.DECODER.RETRIEVAL.ENSEMBLE"),
            inference=_inference(facts),
            pixel_mean=facts.triple("INPUT.PIXEL_MEAN", ModelConfig.pixel_mean),
            pixel_std=facts.triple("INPUT.PIXEL_STD", ModelConfig.pixel_std),
        )
    except ValueError as error:
        facts.check()  # the likelier cause
        if yaml is None and "heads" in str(error):
            raise ValueError(
                f"{error}. Tensors do not show the number of heads, and the published 8 does not fit: "
                "give the model's official YAML (--config)"
            ) from error
        raise
    facts.check()
    return config


def backbone_config(shapes: Shapes, yaml: Mapping[str, Any] | None = None) -> BackboneConfig:
    """The backbone's part of `config_from_checkpoint`, for files that hold that part alone."""
    facts = _Facts(shapes, yaml)
    config = _backbone(facts)
    facts.check()
    return config


def pixel_decoder_config(shapes: Shapes, yaml: Mapping[str, Any] | None = None) -> PixelDecoderConfig:
    """The pixel decoder's part of `config_from_checkpoint`, for files that hold that part alone."""
    facts = _Facts(shapes, yaml)
    config = _pixel_decoder(facts)
    facts.check()
    return config


@dataclass(frozen=True)
class _Facts:
    """What tensors and YAML say; where both say something, `check` compares them."""

    shapes: Shapes
    yaml: Mapping[str, Any] | None
    disagreements: list[str] = field(default_factory=list[str])

    def has(self, key: str) -> bool:
        return key in self.shapes

    def size(self, key: str, axis: int, *settings: str) -> int:
        """Length of a tensor's axis, which must be what the YAML's settings say."""
        shape = self.shapes.get(key)
        if shape is None or len(shape) <= axis:
            raise ValueError(
                f"not a published X-Decoder checkpoint: "
                f"{'it lacks the tensor' if shape is None else f'the shape {tuple(shape)} does not fit'} "
                f"{key}; it has {_some(list(self.shapes))}"
            )
        if shape[axis] < 1:
            raise ValueError(f"{key} is empty: its shape is {list(shape)}")
        self.agree(shape[axis], key, *settings)
        return shape[axis]

    def count(self, pattern: str, *settings: str, offset: int = 0) -> int:
        """How many numbers 0, 1, ... stand for {n} in keys that begin with `pattern`."""
        found = re.compile(re.escape(pattern).replace(r"\{n\}", r"(\d+)"))
        number = len({match.group(1) for key in self.shapes if (match := found.match(key))})
        if not number:
            raise ValueError(
                f"not a published X-Decoder checkpoint: it lacks {pattern.replace('{n}', '0')}*; "
                f"it has {_some(list(self.shapes))}"
            )
        self.agree(number, pattern.replace("{n}", "*"), *settings, offset=offset)
        return number

    def agree(self, value: object, source: str, *settings: str, offset: int = 0) -> None:
        for setting in settings:
            told = self.setting(setting, None)
            found = value + offset if isinstance(value, int) and offset else value
            if told is not None and told != found:
                self.disagreements.append(
                    f"{setting} says {shown(told)}, the checkpoint {shown(found)} ({source})"
                )

    def either(self, keys: Sequence[str], setting: str) -> bool:
        """Whether a part that a model may lack is there: one of its tensors is, and the YAML agrees."""
        found = any(key in self.shapes for key in keys)
        self.agree(found, " and ".join(keys), setting)
        return found

    def setting(self, path: str, default: Any) -> Any:
        """The YAML's value at a dotted path."""
        value: Any = self.yaml
        for part in path.split("."):
            value = cast("Mapping[str, Any]", value).get(part) if isinstance(value, Mapping) else None
        return default if value is None else value

    def number(self, path: str, default: float) -> Any:
        """The YAML's number at a dotted path: an int where the default is one."""
        value = self.setting(path, default)
        kinds = (int, float) if isinstance(default, float) else (int,)
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise ValueError(f"{path} must be a number like {default}, got {shown(value)}")
        try:
            return type(default)(value)
        except OverflowError as error:
            raise ValueError(f"{path} must be a number like {default}, got one too large") from error

    def triple(self, path: str, default: tuple[float, float, float]) -> tuple[float, float, float]:
        value = self.setting(path, default)
        try:
            first, second, third = (float(v) for v in value)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{path} must be three numbers, got {shown(value)}") from error
        return first, second, third

    def four(self, path: str, default: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        value = self.setting(path, default)
        if not isinstance(value, Sequence) or [type(v) for v in cast("Sequence[object]", value)] != [int] * 4:
            raise ValueError(f"{path} must be four whole numbers, got {shown(value)}")
        a, b, c, d = cast("Sequence[int]", value)
        return a, b, c, d

    def check(self) -> None:
        if self.disagreements:
            raise ValueError(
                "the YAML is not this checkpoint's: " + "; ".join(self.disagreements) + ". Give the YAML "
                "that the checkpoint was trained with, or none"
            )


def _stages(function: Callable[[int], int]) -> tuple[int, int, int, int]:
    return function(0), function(1), function(2), function(3)


def _backbone(facts: _Facts) -> BackboneConfig:
    kind = "MODEL.BACKBONE.NAME"
    if facts.has("backbone.convs.0.proj.weight"):
        facts.agree("davit", "backbone.convs.*", kind)
        return _davit(facts)
    if not facts.has("backbone.patch_embed.proj.weight"):
        raise ValueError(
            "not a published X-Decoder checkpoint: it has neither FocalNet's backbone.patch_embed.* nor "
            f"DaViT's backbone.convs.*; it has {_some(list(facts.shapes))}"
        )
    depthwise = facts.has("backbone.layers.0.blocks.0.dw1.weight")
    facts.agree("focal_dw" if depthwise else "focal", "backbone.layers.0.blocks.0.*", kind)
    return _focalnet(facts, "depthwise" if depthwise else "plain")


def _focalnet(facts: _Facts, block: Literal["plain", "depthwise"]) -> FocalNetConfig:
    settings = "MODEL.BACKBONE.FOCAL"
    first = "backbone.layers.0.blocks.0"
    widths = _stages(lambda i: facts.size(f"backbone.layers.{i}.blocks.0.norm1.weight", 0))
    depths = _stages(lambda i: facts.count(f"backbone.layers.{i}.blocks.{{n}}."))
    levels = facts.count(f"{first}.modulation.focal_layers.{{n}}.")
    window = facts.size(f"{first}.modulation.focal_layers.0.0.weight", 3)
    facts.agree(widths[0], "backbone.patch_embed.proj.weight", f"{settings}.EMBED_DIM")
    facts.agree(list(depths), "backbone.layers.*.blocks.*", f"{settings}.DEPTHS")
    facts.agree([levels] * 4, f"{first}.modulation.focal_layers.*", f"{settings}.FOCAL_LEVELS")
    facts.agree([window] * 4, f"{first}.modulation.focal_layers.0.0.weight", f"{settings}.FOCAL_WINDOWS")
    return FocalNetConfig(
        block=block,
        widths=widths,
        depths=depths,
        focal_levels=levels,
        focal_window=window,
        mlp_ratio=facts.size(f"{first}.mlp.fc1.weight", 0) / widths[0],
    )


def _davit(facts: _Facts) -> DaViTConfig:
    settings = "MODEL.BACKBONE.DAVIT"
    widths = _stages(lambda i: facts.size(f"backbone.convs.{i}.proj.weight", 0))
    depths = _stages(lambda i: facts.count(f"backbone.blocks.{i}.{{n}}."))
    facts.agree(list(widths), "backbone.convs.*.proj.weight", f"{settings}.DIM_EMBED")
    facts.agree(list(depths), "backbone.blocks.*.*", f"{settings}.DEPTHS")
    kernel = facts.size("backbone.convs.1.proj.weight", 3)
    if kernel not in (2, 3):
        raise ValueError(
            f"backbone.convs.1.proj.weight: expected a 2x2 or 3x3 convolution, got {kernel}x{kernel}"
        )
    heads = _stages(lambda i: max(1, widths[i] // 32))
    return DaViTConfig(
        widths=widths,
        depths=depths,
        heads=facts.four(f"{settings}.NUM_HEADS", heads),
        groups=facts.four(f"{settings}.NUM_GROUPS", heads),
        window=facts.number(f"{settings}.WINDOW_SIZE", 7),
        merge_kernel=kernel,
        mlp_ratio=facts.size("backbone.blocks.0.0.spatial_block.ffn.fn.net.fc1.weight", 0) / widths[0],
    )


def _refuse_prenorm(facts: _Facts) -> None:
    """Refuse models that normalize before attention: most of their tensors look like any other's."""
    norm = f"{_PIXEL_DECODER}.transformer.encoder.norm."
    found = next((key for key in facts.shapes if key.startswith(norm)), None)
    setting = "MODEL.DECODER.PRE_NORM"
    if found is not None or facts.setting(setting, False) is True:
        raise ValueError(
            f"{setting} is true of this model ({found or 'so its YAML says'}): layers that normalize before "
            "attention are not supported, and no published model has them"
        )


def _pixel_decoder(facts: _Facts) -> PixelDecoderConfig:
    prefix = _PIXEL_DECODER
    layers = f"{prefix}.transformer.encoder.layers"
    deformable = facts.has(f"{prefix}.transformer.level_embed")
    kind: Literal["fpn", "deformable"] = "deformable" if deformable else "fpn"
    facts.agree(
        "transformer_encoder_deform" if deformable else "transformer_encoder_fpn",
        f"{prefix}.*",
        "MODEL.ENCODER.NAME",
    )
    heads = "MODEL.DECODER.NHEADS"
    if deformable:  # a weight for each head, level (3) and point (4)
        weights = f"{layers}.0.self_attn.attention_weights.bias"
        number = facts.size(weights, 0) // 12
        facts.agree(number, weights, heads)
    else:
        number = facts.number(heads, 8)
    # The deformable kind's feed-forward is 1024 whatever the YAML says.
    feedforward = () if deformable else ("MODEL.DECODER.DIM_FEEDFORWARD",)
    return PixelDecoderConfig(
        kind=kind,
        width=facts.size(f"{prefix}.layer_1.weight", 0, "MODEL.ENCODER.CONVS_DIM"),
        mask_width=facts.size(f"{prefix}.mask_features.weight", 0, "MODEL.ENCODER.MASK_DIM"),
        layers=facts.count(f"{layers}.{{n}}.", "MODEL.ENCODER.TRANSFORMER_ENC_LAYERS"),
        heads=number,
        feedforward=facts.size(f"{layers}.0.linear1.weight", 0, *feedforward),
    )


def _text(facts: _Facts) -> TextConfig:
    encoder = f"{_TEXT}.lang_encoder"
    settings = "MODEL.TEXT"
    return TextConfig(
        width=facts.size(f"{encoder}.positional_embedding", 1, f"{settings}.WIDTH"),
        layers=facts.count(f"{encoder}.resblocks.{{n}}.", f"{settings}.LAYERS"),
        heads=facts.number(f"{settings}.HEADS", 8),
        context_length=facts.size(f"{encoder}.positional_embedding", 0, f"{settings}.CONTEXT_LENGTH"),
        vocabulary_size=facts.size(f"{encoder}.token_embedding.weight", 0),
    )


def _decoder(facts: _Facts) -> DecoderConfig:
    settings = "MODEL.DECODER"
    queries = f"{_PREDICTOR}.query_feat.weight"
    layers = f"{_PREDICTOR}.transformer_ffn_layers"
    return DecoderConfig(
        width=facts.size(queries, 1, f"{settings}.HIDDEN_DIM"),
        queries=facts.size(queries, 0, f"{settings}.NUM_OBJECT_QUERIES"),
        # The YAML counts the predictions before the first layer as one more.
        layers=facts.count(f"{layers}.{{n}}.", f"{settings}.DEC_LAYERS", offset=1),
        heads=facts.number(f"{settings}.NHEADS", 8),
        feedforward=facts.size(f"{layers}.0.linear1.weight", 0, f"{settings}.DIM_FEEDFORWARD"),
        captions=facts.either(_CAPTIONS, f"{settings}.CAPTIONING.ENABLED"),
    )


def _inference(facts: _Facts) -> InferenceConfig:
    image_format = facts.setting("COCO.INPUT.FORMAT", "RGB")
    if image_format != "RGB":
        raise ValueError(
            f"COCO.INPUT.FORMAT must be RGB, got {shown(image_format)}: other orders are not supported"
        )
    test = "MODEL.DECODER.TEST"
    default = InferenceConfig()
    switches = ("SEM_SEG_POSTPROCESSING_BEFORE_INFERENCE", "PANOPTIC_ON", "INSTANCE_ON")
    return dataclasses.replace(
        default,
        short_side=facts.number("COCO.INPUT.MIN_SIZE_TEST", default.short_side),
        long_side=facts.number("COCO.INPUT.MAX_SIZE_TEST", default.long_side),
        object_threshold=facts.number(f"{test}.OBJECT_MASK_THRESHOLD", default.object_threshold),
        overlap_threshold=facts.number(f"{test}.OVERLAP_THRESHOLD", default.overlap_threshold),
        detections=facts.number("COCO.TEST.DETECTIONS_PER_IMAGE", default.detections),
        caption_steps=facts.number("MODEL.DECODER.CAPTIONING.STEP", default.caption_steps),
        resize_probabilities=not any(facts.setting(f"{test}.{switch}", True) for switch in switches),
    )


def _some(names: list[str]) -> str:
    return ", ".join(map(printable, names[:4])) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
