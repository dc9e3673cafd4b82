"""What the user wrote, checked before a model reads it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from xdecoder.tokenizer import Tokenizer


def check_texts(texts: Sequence[str], what: str, tokenizer: Tokenizer, *, length: int | None = None) -> None:
    """Refuse what means nothing, and warn of what is too long.

    Args:
        texts: phrases, say.
        what: what one of them is called.
        tokenizer: of the model.
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
