"""Texts to embeddings, in batches that share what their texts share.

The text encoder is causal: what several texts have in common at the start is encoded once, and nothing after
a text's end token is encoded but to fill a batch. Both leave every embedding as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from xdecoder.jobs.progress import ProgressCallback
from xdecoder.model import XDecoder, normalize
from xdecoder.networks.attention import KeyValueCache
from xdecoder.networks.text_encoder import TextEncoder, TextFeatures
from xdecoder.tokenizer import Tokenizer

_ROWS = 128  # of a batch, at the most
_FEWEST_ROWS = 64  # of a batch that is cut short rather than filled up with end tokens
_FEWEST_SHARERS = 8  # texts from which a token in common is worth a pass of its own


def embed_texts(
    model: XDecoder, tokenizer: Tokenizer, texts: Sequence[str], progress: ProgressCallback | None = None
) -> Float[Tensor, "N P"]:
    """Text embeddings, not normalized.

    Args:
        model: its text encoder.
        tokenizer: the one that the model was trained with.
        texts: any number of texts; they are cheapest where they begin alike.
        progress: called with the texts embedded and the texts to embed.
    """
    device = model.logit_scale.device
    encoded = [tokenizer.encode(text) for text in texts]
    result = torch.empty(len(texts), model.config.embed_width, device=device, dtype=model.logit_scale.dtype)
    end = model.config.text.end_id
    done = 0
    for beginnings, leaving in _shared_beginnings(model.text_encoder, encoded, device):
        shared = beginnings.length
        for batch in _batches(leaving, [len(ids) for ids in encoded]):
            rows = [text for text, _ in batch]
            length = max(len(encoded[i]) for i in rows) - shared
            ids = torch.tensor([(encoded[i][shared:] + [end] * length)[:length] for i in rows], device=device)
            starts = torch.tensor([row for _, row in batch], device=device)
            states = model.text_encoder.continue_texts(ids, beginnings.branch(starts, shared + length))
            ends = torch.tensor([len(encoded[i]) - 1 - shared for i in rows], device=device)
            result[rows] = states[torch.arange(len(rows), device=device), ends]
            done += len(rows)
            if progress:
                progress(done, len(texts))
    return result


def _shared_beginnings(
    encoder: TextEncoder, encoded: Sequence[Sequence[int]], device: torch.device
) -> Iterator[tuple[KeyValueCache, list[tuple[int, int]]]]:
    """What texts have in common at the start, a token longer each time.

    Yields:
        The beginnings, and the texts that share no more than one of them, each with its row.
    """
    if not encoded:
        return
    depth = _shared_start(encoded)
    cache = KeyValueCache(encoder.config.layers, max(depth, 1))
    if depth:
        encoder.continue_texts(torch.tensor([encoded[0][:depth]], device=device), cache)
    sharers = [list(range(len(encoded)))]  # of each row
    while sharers:
        leaving: list[tuple[int, int]] = []
        longer: list[tuple[int, int, list[int]]] = []  # row, next token, texts
        for row, texts in enumerate(sharers):
            following: dict[int, list[int]] = {}
            for text in texts:
                if len(encoded[text]) > depth + 1:  # the end token is each text's own
                    following.setdefault(encoded[text][depth], []).append(text)
                else:
                    leaving.append((text, row))
            for token, those in following.items():
                if len(those) < _FEWEST_SHARERS:
                    leaving += [(text, row) for text in those]
                else:
                    longer.append((row, token, those))
        yield cache, leaving
        sharers = [texts for *_, texts in longer]
        if sharers:
            depth += 1
            cache = cache.branch(torch.tensor([row for row, *_ in longer], device=device), depth)
            encoder.continue_texts(torch.tensor([[token] for _, token, _ in longer], device=device), cache)


def _batches(leaving: list[tuple[int, int]], lengths: Sequence[int]) -> Iterator[list[tuple[int, int]]]:
    """Texts in batches of about equal length."""
    batch: list[tuple[int, int]] = []
    for text, row in sorted(leaving, key=lambda pair: lengths[pair[0]]):
        longer = batch and lengths[text] > lengths[batch[0][0]]
        if len(batch) == _ROWS or (longer and len(batch) >= _FEWEST_ROWS):
            yield batch
            batch = []
        batch.append((text, row))
    if batch:
        yield batch


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
    texts = [text for of_class in prompts for text in of_class]
    rows = normalize(embed_texts(model, tokenizer, texts, progress).float())
    mean = rows.unflatten(0, (len(prompts), -1)).mean(1)
    return mean / mean.norm(dim=-1, keepdim=True)
