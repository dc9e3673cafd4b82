"""What a caption is before it is words; it needs no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class CaptionOutput:
    """A generated text.

    Attributes:
        ids: generated token ids, without the start token and without the end token.
        log_probability: of these tokens (and the end token, where it came).
    """

    ids: tuple[int, ...]
    log_probability: float
