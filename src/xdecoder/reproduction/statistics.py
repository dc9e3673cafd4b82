"""Means over seeds, their intervals, and what follows for a claim."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, final

from xdecoder.reproduction.claims import Claim

Verdict = Literal["holds", "does not hold here", "undecided at this budget"]

CONFIDENCE: Final = 0.95
SMALLEST_EFFECT: Final = 0.5
"""Percentage points below which a difference is none, for better or worse."""

_MOST_SEEDS: Final = 100


@final
@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        mean: of the values.
        half_width: of its 95 % interval by Student's t; infinite for a single value.
        values: one a seed.
    """

    mean: float
    half_width: float
    values: tuple[float, ...]

    @property
    def low(self) -> float:
        """The interval's lower end."""
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        """The interval's upper end."""
        return self.mean + self.half_width


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of values that are drawn independently, and its interval.

    Raises:
        ValueError: there are none.
    """
    count = len(values)
    if not count:
        raise ValueError("a mean needs a value at the least")
    mean = math.fsum(values) / count
    half_width = math.inf
    if count > 1:
        variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
        half_width = _quantile(count - 1) * math.sqrt(variance / count)
    return Estimate(mean=mean, half_width=half_width, values=tuple(values))


def judge(claim: Claim, difference: Estimate) -> Verdict:
    """What a difference, cell less base, says of a claim.

    It holds where the whole interval lies on the claimed side of 0. It does not hold here where the whole
    interval lies on the other side, or shows that the effect is below `SMALLEST_EFFECT`.
    """
    effect = _effect(claim, difference)
    if effect - difference.half_width > 0:
        return "holds"
    if effect + difference.half_width < SMALLEST_EFFECT:
        return "does not hold here"
    return "undecided at this budget"


def seeds_to_decide(claim: Claim, difference: Estimate) -> int | None:
    """How many seeds would decide, if mean and spread stay; None if over a hundred, or unknown."""
    count = len(difference.values)
    if count < 2:
        return None
    effect = _effect(claim, difference)
    spread = difference.half_width / _quantile(count - 1) * math.sqrt(count)
    distance = max(effect, SMALLEST_EFFECT - effect)
    decided = (
        n for n in range(count, _MOST_SEEDS + 1) if _quantile(n - 1) * spread < distance * math.sqrt(n)
    )
    return next(decided, None)


def _effect(claim: Claim, difference: Estimate) -> float:
    """The difference, positive where it goes the claimed way."""
    return -difference.mean if claim.direction == "lower" else difference.mean


def _quantile(freedom: int) -> float:
    distributions: Any = importlib.import_module("scipy.stats")
    return float(distributions.t.ppf((1 + CONFIDENCE) / 2, freedom))
