"""From masks that compete for pixels to panoptic segments: the choice alone, without tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A latent query that competes for pixels.

    Attributes:
        query: its place among the latent queries.
        category: its likeliest class.
        score: the probability of that class.
        won: pixels at which its score × mask probability is the largest.
        own: pixels of its mask.
        covered: pixels of its mask that it won.
    """

    query: int
    category: int
    score: float
    won: int
    own: int
    covered: int


@dataclass(frozen=True, kw_only=True)
class ChosenSegments:
    """The segments that claims become.

    Attributes:
        of_claim: the segment of each claim, counted from 1; 0 for none.
        categories: class of segments 1, 2, ...
        scores: class probability of each segment; a merged stuff segment has its first part's.
        queries: the latent query that made each segment; of a merged stuff segment, its largest part's.
    """

    of_claim: tuple[int, ...]
    categories: tuple[int, ...]
    scores: tuple[float, ...]
    queries: tuple[int, ...]


def choose_segments(
    claims: Sequence[Claim], *, things: frozenset[int], overlap_threshold: float
) -> ChosenSegments:
    """Which claims become segments; stuff of one class is merged.

    Args:
        claims: in the order of their queries.
        things: the classes whose instances stay apart.
        overlap_threshold: claims are kept that won at least this share of their mask's own pixels.
    """
    of_claim: list[int] = []
    largest: list[Claim] = []  # of each segment's parts
    first: list[Claim] = []
    stuff: dict[int, int] = {}
    for claim in claims:
        won, own = claim.won, claim.own
        if not (won and own and claim.covered) or won / own < overlap_threshold:
            of_claim.append(0)
            continue
        segment = stuff.get(claim.category)
        if segment is not None:
            of_claim.append(segment)
            largest[segment - 1] = max(largest[segment - 1], claim, key=_covered)
            continue
        first.append(claim)
        largest.append(claim)
        of_claim.append(len(first))
        if claim.category not in things:
            stuff[claim.category] = len(first)
    return ChosenSegments(
        of_claim=tuple(of_claim),
        categories=tuple(c.category for c in first),
        scores=tuple(c.score for c in first),
        queries=tuple(c.query for c in largest),
    )


def _covered(claim: Claim) -> int:
    return claim.covered
