"""Encoded images, or regions of them, to captions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool

from xdecoder.model import XDecoder
from xdecoder.predictor.encoding import EncodedImage, by_batch
from xdecoder.structures import Caption
from xdecoder.tasks import captioning
from xdecoder.tasks.token_search import TokenSearch
from xdecoder.tokenizer import Tokenizer


def caption(
    model: XDecoder,
    tokenizer: Tokenizer,
    items: Sequence[EncodedImage],
    regions: Sequence[Bool[np.ndarray, "_ _"]] | None,
    *,
    beams: int,
    steps: int,
    search: TokenSearch,
) -> list[Caption]:
    """A sentence for each image.

    Args:
        model: writes the captions.
        tokenizer: turns the written tokens into text.
        items: the images, encoded; results come in their order.
        regions: the part of each image that is described; None for the whole of all.
        beams: sentences kept while searching; 1 is greedy.
        steps: tokens at the most.
        search: of the model's token table.
    """
    found: dict[int, Caption] = {}
    for batch, members in by_batch(items):
        rows = [items[p].index for p in members]
        levels = None
        if regions is not None:
            of_each = [
                captioning.region_at_levels(
                    torch.from_numpy(regions[p]).to(batch.features.mask_features.device),
                    items[p].geometry,
                    batch.features.memory.sizes,
                )
                for p in members
            ]
            levels = tuple(torch.cat(level) for level in zip(*of_each, strict=True))
        memory, latents = batch.features.memory.images(rows), batch.latents.images(rows)
        if beams == 1:
            texts = captioning.caption_greedily(
                model, memory, latents, steps=steps, regions=levels, search=search
            )
        else:
            texts = captioning.caption_by_beam(
                model, memory, latents, steps=steps, beams=beams, regions=levels
            )
        for p, output in zip(members, texts, strict=True):
            found[p] = Caption(
                text=tokenizer.decode_caption(output.ids),
                score=output.log_probability / min(len(output.ids) + 1, steps),  # the end token counts
                token_ids=output.ids,
            )
    return [found[p] for p in range(len(items))]
