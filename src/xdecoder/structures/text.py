"""Words as results: captions and answers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Caption:
    """A sentence about a picture or a region of it.

    Attributes:
        text: the sentence.
        score: mean log-probability of its tokens.
        token_ids: the tokens generated, start and end left out.
    """

    text: str
    score: float
    token_ids: tuple[int, ...]

    def __str__(self) -> str:
        return self.text

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {**dataclasses.asdict(self), "token_ids": list(self.token_ids)}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer to a question about a picture.

    Attributes:
        text: the answer.
        score: its probability.
    """

    text: str
    score: float

    def __str__(self) -> str:
        return self.text

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return dataclasses.asdict(self)
