"""What users ask with, checked before a model reads it: texts, and parts of an image."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from xdecoder.structures.masks import Box, check_mask
from xdecoder.tokenizer import Tokenizer

Prompt = Bool[np.ndarray, "H W"] | Box | str
"""A part of an image: a mask of its size, a box (left, top, right, bottom) in pixels, or a phrase."""


def prompt_mask(region: Bool[np.ndarray, "_ _"] | Box, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """The mask of a region that is no phrase.

    Args:
        region: a mask, or a box (left, top, right, bottom) in pixels; pixels that it cuts count.
        size: the image's height and width.

    Raises:
        ValueError: the mask is of another size or empty, or the box has not four sides or reaches out of the
            image.
    """
    if isinstance(region, np.ndarray):
        check_mask(region, size)
        return region
    if len(region) != 4:
        raise ValueError(
            "a region is a mask of the image's size, a box (left, top, right, bottom) in pixels, or a "
            f"phrase; got {region!r}"
        )
    height, width = size
    left, top, right, bottom = region
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise ValueError(
            "the region's box must be (left, top, right, bottom) within the image of "
            f"{width} x {height} pixels, got {tuple(region)}"
        )
    mask = np.zeros(size, np.bool_)
    mask[int(top) : -int(-bottom // 1), int(left) : -int(-right // 1)] = True
    return mask


def check_texts(texts: Sequence[str], what: str, tokenizer: Tokenizer, *, length: int | None = None) -> None:
    """Refuse what means nothing, and warn of what is too long.

    Args:
        texts: phrases, say.
        what: what one of them is called.
        tokenizer: that says how many tokens a text has.
        length: token ids that are read, start and end included; by default the tokenizer's context length.

    Raises:
        ValueError: there are no texts, one is empty, or one is no text.
    """
    if not texts:
        raise ValueError(f"no {what}s given; give at least one")
    most = (length or tokenizer.context_length) - 2
    for text in texts:
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"a {what} is a text, got {type(text).__name__}: {text!r}")
        if not text.strip():
            raise ValueError(f"an empty {what} means nothing; leave it out or write some words")
        if tokenizer.count(text) > most:
            warnings.warn(
                f"the {what} is longer than {most} tokens and was cut, as the model reads no more: "
                f"{text[:60]!r}...",
                stacklevel=4,
            )
