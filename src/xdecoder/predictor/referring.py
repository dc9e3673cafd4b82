"""Encoded images and phrases to masks of what is meant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from xdecoder.model import XDecoder
from xdecoder.predictor.encoding import EncodedImage
from xdecoder.predictor.options import ReferOptions
from xdecoder.predictor.prompts import Prompt, check_texts, prompt_mask
from xdecoder.structures import Grounding
from xdecoder.tasks import referring
from xdecoder.tasks.vocabulary import encode_phrases
from xdecoder.tokenizer import Tokenizer


def refer(
    model: XDecoder,
    tokenizer: Tokenizer,
    items: Sequence[EncodedImage],
    phrases: Sequence[str],
    options: ReferOptions,
) -> list[Grounding]:
    """What each phrase means in each image.

    Args:
        model: encodes the phrases and grounds them.
        tokenizer: the one that the model was trained with.
        items: the images, encoded; results come in their order.
        phrases: each gets one mask an image.
        options: whether the phrases see one another.
    """
    texts, valid = encode_phrases(model, tokenizer, phrases)
    scale = model.logit_scale.exp().clamp(max=100)
    found: list[Grounding] = []
    for item in items:
        output = referring.refer(
            model, item.batch.features, item.index, texts, valid, together=options.together
        )
        cosine = output.similarity.gather(1, output.chosen[:, None])[:, 0] / scale
        found.append(
            Grounding.from_masks(
                image=item.image,
                phrases=phrases,
                masks=output.covered(item.geometry).cpu().numpy(),
                scores=cosine.float().tolist(),
            )
        )
    return found


def locate(
    model: XDecoder, tokenizer: Tokenizer, items: Sequence[EncodedImage], region: Prompt
) -> list[Bool[np.ndarray, "_ _"]]:
    """The mask of a region in each image.

    Args:
        model: grounds the region where it is a phrase.
        tokenizer: the one that the model was trained with.
        items: the images, encoded; results come in their order.
        region: a phrase, which is grounded; or a box or a mask.

    Raises:
        ValueError: the region is outside an image, is empty, or was not found.
    """
    if not isinstance(region, str):
        return [prompt_mask(region, item.geometry.output) for item in items]
    check_texts([region], "phrase", tokenizer)
    masks = [found.masks[0] for found in refer(model, tokenizer, items, [region], ReferOptions())]
    if not all(mask.any() for mask in masks):
        raise ValueError(f"nothing in the image was found for the region {region!r}; say it otherwise")
    return masks
