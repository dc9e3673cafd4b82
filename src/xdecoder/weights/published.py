"""The published checkpoints' names of tensors: `RENAMES` says what each key is here, in both directions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

_PREDICTOR = "sem_seg_head.predictor"
_TEXT = f"{_PREDICTOR}.lang_encoder"
_LAYER = "decoder.layers.{n}"

# (published, ours). {n} is a number, * the rest of the key; the first rule that fits decides.
RENAMES: tuple[tuple[str, str], ...] = (
    ("backbone.*", "backbone.*"),
    ("backbone_proj", "backbone_projection"),
    ("sem_seg_head.pixel_decoder.*", "pixel_decoder.*"),
    (f"{_TEXT}.logit_scale", "logit_scale"),
    (f"{_TEXT}.lang_proj", "text_encoder.projection"),
    (f"{_TEXT}.lang_encoder.*", "text_encoder.*"),
    (
        f"{_PREDICTOR}.transformer_cross_attention_layers.{{n}}.multihead_attn.*",
        f"{_LAYER}.cross_attention.*",
    ),
    (f"{_PREDICTOR}.transformer_cross_attention_layers.{{n}}.norm.*", f"{_LAYER}.cross_norm.*"),
    (f"{_PREDICTOR}.transformer_self_attention_layers.{{n}}.self_attn.*", f"{_LAYER}.self_attention.*"),
    (f"{_PREDICTOR}.transformer_self_attention_layers.{{n}}.norm.*", f"{_LAYER}.self_norm.*"),
    (f"{_PREDICTOR}.transformer_ffn_layers.{{n}}.norm.*", f"{_LAYER}.feedforward_norm.*"),
    (f"{_PREDICTOR}.transformer_ffn_layers.{{n}}.*", f"{_LAYER}.feedforward.*"),
    (f"{_PREDICTOR}.decoder_norm.*", "decoder.norm.*"),
    (f"{_PREDICTOR}.query_feat.weight", "decoder.query_features"),
    (f"{_PREDICTOR}.query_embed.weight", "decoder.query_positions"),
    (f"{_PREDICTOR}.level_embed.weight", "decoder.level_embedding"),
    (f"{_PREDICTOR}.input_proj.{{n}}.*", "decoder.input_projections.{n}.*"),
    (f"{_PREDICTOR}.class_embed", "decoder.class_projection"),
    (f"{_PREDICTOR}.mask_embed.layers.{{n}}.*", "decoder.mask_mlp.{n}.*"),
    (f"{_PREDICTOR}.caping_embed", "decoder.caption_projection"),
    (f"{_PREDICTOR}.pos_embed_caping.weight", "decoder.caption_positions"),
)

# In every published file, and no part of the model: the visibility table and the loss's class weights.
NOT_PARAMETERS = (f"{_PREDICTOR}.self_attn_mask", "criterion.empty_weight")


def to_ours(key: str) -> str | None:
    """The name here of a published key; None where it has none."""
    return _rename(key, ((theirs, ours) for theirs, ours in RENAMES))


def to_published(key: str) -> str | None:
    """The published name of a key of ours; None where it has none."""
    return _rename(key, ((ours, theirs) for theirs, ours in RENAMES))


def _rename(key: str, rules: Iterable[tuple[str, str]]) -> str | None:
    for old, new in rules:
        pattern = re.escape(old).replace(r"\{n\}", r"(?P<n>\d+)").replace(r"\*", r"(?P<rest>.+)")
        match = re.fullmatch(pattern, key)
        if match:
            found = match.groupdict()
            return new.replace("{n}", found.get("n", "")).replace("*", found.get("rest", ""))
    return None


@dataclass(frozen=True, kw_only=True)
class Renamed:
    """A published state dict in our names, with every key accounted for.

    Attributes:
        state: parameters, in our names.
        dropped: published keys that are no parameters (`NOT_PARAMETERS`).
        unknown: published keys that no rule knows.
    """

    state: dict[str, Tensor]
    dropped: tuple[str, ...]
    unknown: tuple[str, ...]


def rename(state: Mapping[str, Tensor]) -> Renamed:
    """A published state dict, unwrapped, in our names."""
    ours: dict[str, Tensor] = {}
    dropped: list[str] = []
    unknown: list[str] = []
    for key, tensor in state.items():
        name = to_ours(key)
        if key in NOT_PARAMETERS:
            dropped.append(key)
        elif name is None:
            unknown.append(key)
        else:
            ours[name] = tensor
    return Renamed(state=ours, dropped=tuple(dropped), unknown=tuple(unknown))
