"""Texts to embeddings, in batches that share what their texts share.

The text encoder is causal: what the texts of a group have in common at the start is encoded once, and nothing
after a text's end token is encoded but to fill a batch. Both leave every embedding as it was.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from xdecoder.jobs.progress import ProgressCallback
from xdecoder.model import XDecoder, normalize
from xdecoder.networks.attention import KeyValueCache
from xdecoder.networks.text_encoder import TextFeatures
from xdecoder.tokenizer import Tokenizer

_ROWS = 256


def embed_texts(model: XDecoder, tokenizer: Tokenizer, texts: Sequence[str]) -> Float[Tensor, "N P"]:
    """Text embeddings, not normalized.

    Args:
        model: its text encoder.
        tokenizer: the one that the model was trained with.
        texts: any number of texts; they are cheapest where they begin alike.
    """
    device = model.logit_scale.device
    encoded = [tokenizer.encode(text) for text in texts]
    result = torch.empty(len(texts), model.config.embed_width, device=device, dtype=model.logit_scale.dtype)
    if not encoded:
        return result
    shared = _shared_start(encoded)
    prefix = KeyValueCache(model.config.text.layers, max(shared, 1))
    if shared:
        model.text_encoder.continue_texts(torch.tensor([encoded[0][:shared]], device=device), prefix)
    order = sorted(range(len(texts)), key=lambda i: len(encoded[i]))
    for start in range(0, len(order), _ROWS):
        rows = order[start : start + _ROWS]
        length = max(len(encoded[i]) for i in rows) - shared
        end = model.config.text.end_id
        ids = torch.tensor([(encoded[i][shared:] + [end] * length)[:length] for i in rows], device=device)
        states = model.text_encoder.continue_texts(ids, prefix.repeat(len(rows), shared + length))
        ends = torch.tensor([len(encoded[i]) - 1 - shared for i in rows], device=device)
        result[rows] = states[torch.arange(len(rows), device=device), ends]
    return result


def _shared_start(encoded: Sequence[Sequence[int]]) -> int:
    """How many tokens all texts begin with, leaving each its end token."""
    length = min(len(ids) for ids in encoded) - 1
    return next((i for i in range(length) if len({ids[i] for ids in encoded}) > 1), length)


def encode_phrases(
    model: XDecoder, tokenizer: Tokenizer, phrases: Sequence[str]
) -> tuple[TextFeatures, Tensor]:
    """Token features of phrases, padded to the longest, and which tokens are no padding, (N, L)."""
    encoded = [tokenizer.encode(phrase) for phrase in phrases]
    length = max(len(ids) for ids in encoded)
    end = model.config.text.end_id
    device = model.logit_scale.device
    ids = torch.tensor([ids + [end] * (length - len(ids)) for ids in encoded], device=device)
    valid = torch.tensor([[i < len(e) for i in range(length)] for e in encoded], device=device)
    return model.text_encoder(ids), valid


def embed_names(
    model: XDecoder,
    tokenizer: Tokenizer,
    prompts: Sequence[tuple[str, ...]],
    progress: ProgressCallback | None = None,
) -> Float[Tensor, "K P"]:
    """Each class by the mean of its normalized prompts, normalized again (CLIP's prompt ensemble).

    Args:
        model: its text encoder.
        tokenizer: the one that the model was trained with.
        prompts: for each class as many texts as for the others, in the order of the templates.
        progress: called with the texts embedded and the texts to embed.
    """
    total = torch.zeros(len(prompts), model.config.embed_width, device=model.logit_scale.device)
    templates = list(zip(*prompts, strict=True))
    for i, texts in enumerate(templates, start=1):
        total += normalize(embed_texts(model, tokenizer, texts).float())
        if progress:
            progress(i * len(prompts), len(templates) * len(prompts))
    mean = total / len(templates)
    return mean / mean.norm(dim=-1, keepdim=True)
