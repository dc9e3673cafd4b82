"""Referring segmentation ("grounding"): the mask of what a phrase means (section 3.2 of the paper)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from xdecoder.model import ImageFeatures, XDecoder, normalize
from xdecoder.networks.text_encoder import TextFeatures
from xdecoder.tasks.geometry import Geometry

_MAX_SCALE = 100.0


@dataclass(frozen=True, kw_only=True)
class ReferringOutput:
    """The answer to each phrase on one image.

    Attributes:
        similarity: scaled cosine of each phrase and each copied query, (N, Q - 1).
        chosen: the copy that answers each phrase, (N,).
        masks: its mask logits at the stride of the mask features, (N, h, w).
    """

    similarity: Float[Tensor, "N copies"]
    chosen: Int[Tensor, " N"]
    masks: Float[Tensor, "N h w"]

    def covered(self, geometry: Geometry) -> Bool[Tensor, "N H W"]:
        """The masks at the output's size."""
        result = torch.zeros(len(self.chosen), *geometry.output, dtype=torch.bool, device=self.masks.device)
        for tile in geometry.tiles(self.masks):
            result[:, tile.rows, tile.columns] = tile.values > 0
        return result


def refer(
    model: XDecoder,
    features: ImageFeatures,
    index: int,
    phrases: TextFeatures,
    valid: Bool[Tensor, "N L"],
    *,
    together: bool,
) -> ReferringOutput:
    """Ground phrases on one image.

    Args:
        model: its decoder grounds the phrases.
        features: a batch of images.
        index: the image meant.
        phrases: token features and embeddings of N phrases.
        valid: False for padding tokens; start and end tokens are valid.
        together: all phrases in one pass, where they see one another, as the published numbers were made;
            else each by itself.
    """
    memory = features.memory.images([index])
    if together:
        tokens = phrases.tokens[valid][None]
        states = model.decoder.decode_phrases(
            memory, tokens, torch.ones_like(tokens[..., 0], dtype=torch.bool)
        )
    else:
        states = model.decoder.decode_phrases(memory, phrases.tokens, valid)
    heads = model.decoder.query_outputs(states[-1])  # one row for all phrases, or one for each
    texts = normalize(phrases.embeddings)[:, None]
    cosine = (texts * normalize(heads.embeddings)).sum(-1)
    chosen = cosine.argmax(-1)
    rows = torch.arange(len(chosen), device=chosen.device)
    wanted = heads.masks.expand(len(chosen), -1, -1)[rows, chosen]
    return ReferringOutput(
        similarity=model.logit_scale.exp().clamp(max=_MAX_SCALE) * cosine,
        chosen=chosen,
        masks=features.mask_logits_of(index, wanted),
    )
