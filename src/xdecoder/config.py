"""What a model is made of: frozen, validated records, and `PRESETS`, the one table of named sizes.

Nothing here imports torch. A configuration is written to `config.json` with `ModelConfig.to_dict` and read
back with `ModelConfig.from_dict`, which refuses unknown and missing fields.
"""

from __future__ import annotations

import dataclasses
import reprlib
import types
import typing
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar

from xdecoder.bounds import (
    require,
    require_at_least,
    require_at_most,
    require_positive,
    require_shares,
)

_T = TypeVar("_T")

# Far above every model there is: a damaged or foreign file asks for no more memory or time than these.
_MOST_CHANNELS = 65_536
_MOST_LAYERS = 1_000
_MOST_PIXELS = 65_536
_MOST_ROWS = 10_000_000


@dataclass(frozen=True, kw_only=True)
class FocalNetConfig:
    """FocalNet, section 2 of the FocalNet paper, as X-Decoder uses it.

    Attributes:
        block: "plain" (post-norm with layer scale; Focal-L) or "depthwise" (two more 3x3 depth-wise
            convolutions a block; Focal-T).
        widths: channels of the four stages.
        depths: blocks of the four stages.
        focal_levels: depth-wise context levels of every block.
        focal_window: kernel of the first level; every further level adds 2.
        mlp_ratio: hidden width of the feed-forward over the block's width.
        drop_path_rate: in training, how often the last block leaves out each of its two branches of an image;
            from 0 at the first block on it grows evenly (stochastic depth, Huang et al. 2016).
    """

    kind: ClassVar[str] = "focalnet"
    block: Literal["plain", "depthwise"]
    widths: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    focal_levels: int = 3
    focal_window: int = 3
    mlp_ratio: float = 4.0
    drop_path_rate: float = 0.0

    def __post_init__(self) -> None:
        require_positive(self, "widths", "depths", "focal_levels", "focal_window", "mlp_ratio")
        require(
            0 <= self.drop_path_rate < 1,
            f"FocalNetConfig.drop_path_rate must lie in [0, 1), got {self.drop_path_rate}",
        )
        require_at_most(_MOST_CHANNELS, self, "widths")
        require_at_most(_MOST_LAYERS, self, "depths", "focal_levels", "focal_window", "mlp_ratio")
        require(self.focal_window % 2 == 1, f"focal_window must be odd, got {self.focal_window}")


@dataclass(frozen=True, kw_only=True)
class DaViTConfig:
    """DaViT: attention in windows and attention between channels, in turn.

    Attributes:
        widths: channels of the four stages.
        depths: pairs of spatial and channel blocks of the four stages.
        heads: attention heads of the spatial blocks.
        groups: channel groups of the channel blocks.
        window: side of the attention window, in tokens.
        merge_kernel: kernel of the stride-2 convolution between stages (2 without padding, 3 with 1).
        mlp_ratio: hidden width of the feed-forward over the block's width.
    """

    kind: ClassVar[str] = "davit"
    widths: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    heads: tuple[int, int, int, int]
    groups: tuple[int, int, int, int]
    window: int = 7
    merge_kernel: Literal[2, 3] = 2
    mlp_ratio: float = 4.0

    def __post_init__(self) -> None:
        require_positive(self, "widths", "depths", "heads", "groups", "window", "mlp_ratio")
        require_at_most(_MOST_CHANNELS, self, "widths")
        require_at_most(_MOST_LAYERS, self, "depths", "window", "mlp_ratio")
        for name in ("heads", "groups"):
            require(
                all(w % n == 0 for w, n in zip(self.widths, getattr(self, name), strict=True)),
                f"DaViTConfig.{name} {getattr(self, name)} must divide widths {self.widths}",
            )


@dataclass(frozen=True, kw_only=True)
class HybridConfig:
    """Batch-normalized residual convolutions first, focal modulation after: the bundled small model.

    Attributes:
        widths: channels of the four stages.
        depths: blocks of the four stages.
        convolutional_stages: stages, counted from the finest, that are residual convolutions; 1 to 4.
        focal_levels: depth-wise context levels of the focal blocks.
        focal_window: kernel of the first level; every further level adds 2.
        mlp_ratio: hidden width of the focal blocks' feed-forward over the block's width.
        place_channels: channels of the sine code from which every map learns where its cells are; 0 for maps
            that do not say it.
    """

    kind: ClassVar[str] = "hybrid"
    widths: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    convolutional_stages: int = 2
    focal_levels: int = 2
    focal_window: int = 3
    mlp_ratio: float = 2.0
    place_channels: int = 0

    def __post_init__(self) -> None:
        require_positive(self, "widths", "depths", "focal_levels", "focal_window", "mlp_ratio")
        require_at_most(_MOST_CHANNELS, self, "widths", "place_channels")
        require_at_most(_MOST_LAYERS, self, "depths", "focal_levels", "focal_window", "mlp_ratio")
        require(self.focal_window % 2 == 1, f"focal_window must be odd, got {self.focal_window}")
        require(self.widths[0] % 2 == 0, f"HybridConfig.widths[0] must be even, got {self.widths[0]}")
        require(
            self.place_channels >= 0 and self.place_channels % 4 == 0,
            f"HybridConfig.place_channels must be a multiple of 4, got {self.place_channels}",
        )
        require(
            1 <= self.convolutional_stages <= 4,
            f"convolutional_stages must be 1 to 4, got {self.convolutional_stages}",
        )


@dataclass(frozen=True, kw_only=True)
class EfficientNetConfig:
    """EfficientNet-Lite; the defaults are Lite0's, whose weights for photographs are published.

    Attributes:
        stem: channels of the first convolution.
        channels: of the seven stages; those of the second, third, fifth and seventh are the maps' widths.
        depths: blocks of the stages.
        kernels: of the stages' depth-wise convolutions.
        expansion: inner channels of a block over its input's; in the first stage 1.
    """

    kind: ClassVar[str] = "efficientnet"
    stem: int = 32
    channels: tuple[int, int, int, int, int, int, int] = (16, 24, 40, 80, 112, 192, 320)
    depths: tuple[int, int, int, int, int, int, int] = (1, 2, 2, 3, 3, 4, 1)
    kernels: tuple[int, int, int, int, int, int, int] = (3, 3, 5, 3, 5, 5, 3)
    expansion: int = 6

    def __post_init__(self) -> None:
        require_positive(self, "stem", "channels", "depths", "kernels", "expansion")
        require_at_most(_MOST_CHANNELS, self, "stem", "channels")
        require_at_most(_MOST_LAYERS, self, "depths", "kernels", "expansion")
        require(
            all(kernel % 2 == 1 for kernel in self.kernels),
            f"EfficientNetConfig.kernels must be odd, got {self.kernels}",
        )

    @property
    def widths(self) -> tuple[int, int, int, int]:
        """Channels of the maps at strides 4, 8, 16 and 32."""
        return self.channels[1], self.channels[2], self.channels[4], self.channels[6]


@dataclass(frozen=True, kw_only=True)
class PixelDecoderConfig:
    """From the backbone's maps to multi-scale features and mask features.

    Attributes:
        kind: "fpn" (transformer encoder on the stride-32 map, then a feature pyramid; the published models)
            or "deformable" (multi-scale deformable attention over strides 8 to 32).
        width: channels of every level.
        mask_width: channels of the mask features.
        mask_stride: pixels of the image between two cells of the mask features: 4 (the published models), or
            2 for small pictures, whose things are a few cells wide.
        layers: encoder layers.
        heads: attention heads of the encoder.
        feedforward: hidden width of the encoder's feed-forward.
    """

    kind: Literal["fpn", "deformable"] = "fpn"
    width: int = 512
    mask_width: int = 512
    mask_stride: Literal[2, 4] = 4
    layers: int = 6
    heads: int = 8
    feedforward: int = 2048

    def __post_init__(self) -> None:
        require_positive(self, "width", "mask_width", "layers", "heads", "feedforward")
        require_at_most(_MOST_CHANNELS, self, "width", "mask_width", "feedforward")
        require_at_most(_MOST_LAYERS, self, "layers")
        require(
            self.mask_stride == 4 or (self.mask_stride == 2 and self.kind == "fpn"),
            f"PixelDecoderConfig.mask_stride must be 4, or 2 with kind 'fpn', got {self.mask_stride}",
        )
        require(
            self.width % self.heads == 0 and self.width % 32 == 0,
            f"PixelDecoderConfig.width {self.width} must be a multiple of 32 (group norm) and of heads "
            f"{self.heads}",
        )


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """The causal text encoder.

    Attributes:
        width: channels.
        layers: residual blocks.
        heads: attention heads.
        context_length: longest text in tokens, start and end included.
        vocabulary_size: rows of the token table.
    """

    width: int = 512
    layers: int = 12
    heads: int = 8
    context_length: int = 77
    vocabulary_size: int = 49408

    def __post_init__(self) -> None:
        require_positive(self, "width", "layers", "heads")
        require_at_least(3, self, "context_length", "vocabulary_size")
        require_at_most(_MOST_CHANNELS, self, "width", "context_length")
        require_at_most(_MOST_LAYERS, self, "layers")
        require_at_most(_MOST_ROWS, self, "vocabulary_size")
        require(
            self.width % self.heads == 0,
            f"TextConfig.width {self.width} must be a multiple of heads {self.heads}",
        )

    @property
    def start_id(self) -> int:
        """The start token: the last but one of the vocabulary, as in CLIP's."""
        return self.vocabulary_size - 2

    @property
    def end_id(self) -> int:
        """The end token, which also pads: the last of the vocabulary, as in CLIP's."""
        return self.vocabulary_size - 1


@dataclass(frozen=True, kw_only=True)
class InteractionConfig:
    """Which kinds of queries interact, in training and inference alike; as published, all of these do.

    Attributes:
        texts_see_objects: captions and questions see the object queries.
        texts_see_global: captions and questions see the global query.
        copies_see_phrases: the copied object queries see the phrases, not only are compared with them.
    """

    texts_see_objects: bool = True
    texts_see_global: bool = True
    copies_see_phrases: bool = True


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """The generalized decoder.

    Attributes:
        width: channels of the queries, D.
        queries: latent queries Q: Q - 1 object queries and, last, the global one.
        layers: decoder layers; there is one more set of predictions than layers.
        heads: attention heads.
        feedforward: hidden width of the feed-forward.
        captions: whether it reads texts along with an image, as captions and questions are; published models
            that were trained without captioning (`CAPTIONING.ENABLED: false`) have no parameters for it.
        interactions: which kinds of queries see which.
    """

    width: int = 512
    queries: int = 101
    layers: int = 9
    heads: int = 8
    feedforward: int = 2048
    captions: bool = True
    interactions: InteractionConfig = field(default_factory=InteractionConfig)

    def __post_init__(self) -> None:
        require_positive(self, "width", "layers", "heads", "feedforward")
        require_at_least(2, self, "queries")
        require_at_most(_MOST_CHANNELS, self, "width", "queries", "feedforward")
        require_at_most(_MOST_LAYERS, self, "layers")
        require(
            self.width % self.heads == 0 and self.width % 4 == 0,
            f"DecoderConfig.width {self.width} must be a multiple of 4 and of heads {self.heads}",
        )


@dataclass(frozen=True, kw_only=True)
class ClassList:
    """The classes that a model was trained on, where they are no built-in list.

    Attributes:
        classes: names, in the order of their numbers.
        things: which of them, by their places, are countable objects.
    """

    classes: tuple[str, ...]
    things: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        require(
            0 < len(self.classes) <= _MOST_ROWS, f"ClassList.classes must name a class, got {self.classes}"
        )
        require(
            all(name.strip() and name.isprintable() for name in self.classes),
            "ClassList.classes must be names without control characters, none of them empty",
        )
        require(
            all(0 <= place < len(self.classes) for place in self.things),
            f"ClassList.things must be places of its {len(self.classes)} classes, got {self.things}",
        )


@dataclass(frozen=True, kw_only=True)
class InferenceConfig:
    """How outputs become results, as in the published evaluation.

    Attributes:
        short_side: length, in pixels, that the image's shorter side is resized to.
        long_side: the longer side is never more than this.
        vocabulary: the classes that images are divided into unless told otherwise: a built-in list's name,
            or the classes themselves.
        object_threshold: a panoptic query is kept above this class probability.
        overlap_threshold: a panoptic segment is kept at this share of its own mask won, or more.
        detections: instance segmentation: the best (query, class) pairs of an image that are kept, before
            those of stuff are dropped.
        caption_steps: tokens generated at the most.
        caption_beams: captions kept while searching the likeliest; 1 takes the likeliest word at each step.
        prompt_ensemble: embed a class by its 81 prompts; else by its name alone.
        resize_probabilities: resize class probabilities instead of mask logits to the image's size: what
            the published program does where it was built for semantic segmentation alone.
    """

    short_side: int = 800
    long_side: int = 1333
    vocabulary: str | ClassList = "coco"
    object_threshold: float = 0.8
    overlap_threshold: float = 0.8
    detections: int = 100
    caption_steps: int = 50
    caption_beams: int = 1
    prompt_ensemble: bool = True
    resize_probabilities: bool = False

    @property
    def is_drawn_world(self) -> bool:
        """Whether the model knows drawn scenes: the picture book's classes are its own."""
        return self.vocabulary == "picturebook"

    def __post_init__(self) -> None:
        require_positive(self, "short_side", "long_side", "detections", "caption_steps", "caption_beams")
        require_at_most(_MOST_PIXELS, self, "short_side", "long_side", "detections", "caption_steps")
        require_at_most(_MOST_LAYERS, self, "caption_beams")
        require(
            self.long_side >= self.short_side,
            f"long_side {self.long_side} must not be less than short_side {self.short_side}",
        )
        require_shares(self, "object_threshold", "overlap_threshold")


type_of_backbone = {c.kind: c for c in (FocalNetConfig, DaViTConfig, HybridConfig, EfficientNetConfig)}
BackboneConfig = FocalNetConfig | DaViTConfig | HybridConfig | EfficientNetConfig


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Everything that decides what a model computes.

    Attributes:
        backbone: the image encoder.
        pixel_decoder: multi-scale and mask features.
        text: sizes of the text encoder.
        decoder: sizes of the generalized decoder, and which of its queries see which.
        embed_width: width P of the space that images and texts share.
        backbone_retrieval: whether images are embedded by the backbone too, not by the decoder alone;
            published models without it (`RETRIEVAL.ENSEMBLE: false`) lack the projection.
        inference: defaults of inference; every verb can override them.
        pixel_mean: per RGB channel, on the 0-255 scale.
        pixel_std: per RGB channel, on the 0-255 scale.
    """

    backbone: BackboneConfig
    pixel_decoder: PixelDecoderConfig = field(default_factory=PixelDecoderConfig)
    text: TextConfig = field(default_factory=TextConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    embed_width: int = 512
    backbone_retrieval: bool = True
    inference: InferenceConfig = field(default_factory=InferenceConfig)
    pixel_mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    pixel_std: tuple[float, float, float] = (58.395, 57.12, 57.375)

    def __post_init__(self) -> None:
        require_positive(self, "embed_width", "pixel_std")
        require_at_most(_MOST_PIXELS, self, "pixel_mean", "pixel_std")
        require(
            all(value >= -_MOST_PIXELS for value in self.pixel_mean),
            f"ModelConfig.pixel_mean must be numbers on the 0-255 scale, got {self.pixel_mean}",
        )
        require(
            self.embed_width == self.decoder.width,
            f"embed_width {self.embed_width} must equal decoder.width {self.decoder.width}: text features "
            "enter the decoder as queries",
        )
        require(
            self.embed_width == self.text.width,
            f"embed_width {self.embed_width} must equal text.width {self.text.width}: captions are scored "
            "against the token table",
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and dictionaries, ready for JSON."""
        return {
            **dataclasses.asdict(self),
            "backbone": {"kind": self.backbone.kind, **dataclasses.asdict(self.backbone)},
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ModelConfig:
        """The inverse of `to_dict`.

        Raises:
            ValueError: a field is unknown, missing, of the wrong type or out of range.
        """
        return _build(cls, data, "config")


def _build(cls: type[_T], data: object, where: str) -> _T:
    """A dataclass from plain data, strictly."""
    require(isinstance(data, dict), f"{where}: expected an object of fields, got {reprlib.repr(data)}")
    values = typing.cast("dict[str, Any]", data)
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(typing.cast("Any", cls))}
    unknown = sorted(set(values) - set(fields))
    require(
        not unknown,
        f"{where}: unknown field(s) {', '.join(map(reprlib.repr, unknown[:4]))}; "
        f"known are {', '.join(fields)}",
    )
    missing = sorted(
        name
        for name, f in fields.items()
        if name not in values
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    )
    require(not missing, f"{where}: missing field(s) {', '.join(missing)}")
    return cls(**{name: _convert(hints[name], value, f"{where}.{name}") for name, value in values.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin is types.UnionType and str in typing.get_args(hint):  # a name, or the record itself
        hint = str if isinstance(value, str) else next(h for h in typing.get_args(hint) if h is not str)
    elif origin is types.UnionType:  # the backbone: its "kind" says which
        kind: object = value.get("kind", "") if isinstance(value, dict) else ""
        require(
            isinstance(kind, str) and kind in type_of_backbone,
            f"{where}.kind must be one of {sorted(type_of_backbone)}, got {reprlib.repr(kind)}",
        )
        return _build(type_of_backbone[kind], {k: v for k, v in value.items() if k != "kind"}, where)
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast("type[Any]", hint), value, where)
    if origin is Literal:
        options = typing.get_args(hint)
        require(
            any(type(value) is type(option) and value == option for option in options),
            f"{where} must be one of {list(options)}, got {reprlib.repr(value)}",
        )
        return value
    if origin is tuple:
        items = typing.get_args(hint)
        if items[1:] == (...,) and isinstance(value, (list, tuple)):
            items = items[:1] * len(value)
        require(
            isinstance(value, (list, tuple)) and len(value) == len(items),
            f"{where} must be a list of {len(items)} values, got {reprlib.repr(value)}",
        )
        return tuple(_convert(h, v, where) for h, v in zip(items, value, strict=True))
    accepted = (int, float) if hint is float else (hint,)
    require(
        isinstance(value, accepted) and (hint is bool or not isinstance(value, bool)),
        f"{where} must be {hint.__name__}, got {reprlib.repr(value)}",
    )
    try:
        return hint(value)
    except OverflowError as error:
        raise ValueError(f"{where} must be {hint.__name__}, got a number too large for one") from error


def _davit(width: int, merge_kernel: Literal[2, 3]) -> ModelConfig:
    heads = (width // 32, width // 16, width // 8, width // 4)
    return ModelConfig(
        backbone=DaViTConfig(
            widths=(width, 2 * width, 4 * width, 8 * width),
            depths=(1, 1, 9, 1),
            heads=heads,
            groups=heads,
            merge_kernel=merge_kernel,
        ),
        decoder=DecoderConfig(queries=201),
    )


_FOCAL_L = FocalNetConfig(block="plain", widths=(192, 384, 768, 1536), depths=(2, 2, 18, 2), focal_levels=4)

PRESETS: dict[str, ModelConfig] = {
    "focal-t": ModelConfig(
        backbone=FocalNetConfig(block="depthwise", widths=(96, 192, 384, 768), depths=(2, 2, 6, 2)),
        decoder=DecoderConfig(queries=101),
    ),
    "focal-l": ModelConfig(backbone=_FOCAL_L, decoder=DecoderConfig(queries=201)),
    "focal-l-oq101": ModelConfig(backbone=_FOCAL_L, decoder=DecoderConfig(queries=101)),
    "davit-d3": _davit(128, 2),
    "davit-d5": _davit(256, 3),
    "small": ModelConfig(  # the bundled model's sizes, with CLIP's tokenizer: learns without a GPU
        backbone=HybridConfig(widths=(40, 80, 192, 320), depths=(1, 2, 3, 2), place_channels=32),
        pixel_decoder=PixelDecoderConfig(
            width=96, mask_width=96, mask_stride=2, layers=2, heads=4, feedforward=384
        ),
        text=TextConfig(width=128, layers=2, heads=4),
        decoder=DecoderConfig(width=128, queries=101, layers=6, heads=4, feedforward=384),
        embed_width=128,
        inference=InferenceConfig(short_side=320, long_side=640, object_threshold=0.3, overlap_threshold=0.6),
    ),
    "tiny": ModelConfig(  # to try things out
        backbone=HybridConfig(widths=(24, 48, 96, 160), depths=(1, 1, 2, 1), place_channels=16),
        pixel_decoder=PixelDecoderConfig(
            width=64, mask_width=64, mask_stride=2, layers=1, heads=4, feedforward=192
        ),
        text=TextConfig(width=64, layers=1, heads=4),
        decoder=DecoderConfig(width=64, queries=101, layers=3, heads=4, feedforward=192),
        embed_width=64,
        inference=InferenceConfig(short_side=160, long_side=320, object_threshold=0.3, overlap_threshold=0.6),
    ),
}
