"""Means over seeds, their intervals, and what follows for a claim."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, final

Verdict = Literal["holds", "does not hold here", "undecided at this budget"]

CONFIDENCE: Final = 0.95
LEAST_SEEDS: Final = 3
"""Fewer seeds decide nothing."""

SEEDS_FOR_NONE: Final = 5
"""Fewer seeds do not show that there is no effect: three may agree by chance."""

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


def judge(difference: Estimate, *, smallest_effect: float) -> Verdict:
    """What a difference says of the claim that it is below 0.

    It holds where the whole interval lies below 0, however near. It does not hold here where the whole
    interval lies above 0, or, with `SEEDS_FOR_NONE` seeds, above `-smallest_effect`.

    Args:
        difference: the cell minus what it is compared with, of at least `LEAST_SEEDS` seeds to be decided.
        smallest_effect: points by which the cell must be worse for the claim to matter.
    """
    count, low = len(difference.values), difference.mean - difference.half_width
    if count < LEAST_SEEDS:
        return "undecided at this budget"
    if difference.mean + difference.half_width < 0:
        return "holds"
    if low > 0 or (low > -smallest_effect and count >= SEEDS_FOR_NONE):
        return "does not hold here"
    return "undecided at this budget"


def seeds_to_decide(difference: Estimate, *, smallest_effect: float) -> int | None:
    """How many seeds would decide, if mean and spread stay; None if over a hundred, or unknown."""
    count = len(difference.values)
    if count < 2:
        return None
    spread = difference.half_width / _quantile(count - 1) * math.sqrt(count)
    decided = (
        n
        for n in range(max(count, LEAST_SEEDS), _MOST_SEEDS + 1)
        if judge(_expected(difference, spread, n), smallest_effect=smallest_effect)
        != "undecided at this budget"
    )
    return next(decided, None)


def _expected(difference: Estimate, spread: float, count: int) -> Estimate:
    """A difference of more seeds, of the same mean and spread."""
    half_width = _quantile(count - 1) * spread / math.sqrt(count)
    return Estimate(mean=difference.mean, half_width=half_width, values=(difference.mean,) * count)


def _quantile(freedom: int) -> float:
    distributions: Any = importlib.import_module("scipy.stats")
    return float(distributions.t.ppf((1 + CONFIDENCE) / 2, freedom))
