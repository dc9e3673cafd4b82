"""Words as results: captions and answers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Caption:
    """A sentence about a picture or a region of it.

    Attributes:
        text: the sentence, in words.
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
class Candidate:
    """What a question may be answered with.

    Attributes:
        text: the answer, in words.
        score: its probability among all answers, 0 to 1.
    """

    text: str
    score: float


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer to a question about a picture.

    Attributes:
        question: as it was asked.
        candidates: the likeliest answers, best first; at least one.
    """

    question: str
    candidates: tuple[Candidate, ...]

    @property
    def text(self) -> str:
        """The likeliest answer."""
        return self.candidates[0].text

    @property
    def score(self) -> float:
        """Its probability."""
        return self.candidates[0].score

    def __str__(self) -> str:
        return self.text

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "question": self.question,
            "text": self.text,
            "score": self.score,
            "candidates": [dataclasses.asdict(candidate) for candidate in self.candidates],
        }
