"""From masks that compete for pixels to panoptic segments: the choice alone, without tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SegmentCandidate:
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
    """The segments that candidates become.

    Attributes:
        of_candidate: the segment of each candidate, counted from 1; 0 for none.
        categories: class of segments 1, 2, ...
        scores: class probability of each segment; a merged stuff segment has its first part's.
        queries: the latent query that made each segment; of a merged stuff segment, its largest part's.
    """

    of_candidate: tuple[int, ...]
    categories: tuple[int, ...]
    scores: tuple[float, ...]
    queries: tuple[int, ...]


def choose_segments(
    candidates: Sequence[SegmentCandidate], *, things: frozenset[int], overlap_threshold: float
) -> ChosenSegments:
    """Which candidates become segments; stuff of one class is merged.

    Args:
        candidates: in the order of their queries.
        things: the classes whose instances stay apart.
        overlap_threshold: candidates are kept that won at least this share of their mask's own pixels.
    """
    of_candidate: list[int] = []
    largest: list[SegmentCandidate] = []  # of each segment's parts
    first: list[SegmentCandidate] = []
    stuff: dict[int, int] = {}
    for candidate in candidates:
        won, own = candidate.won, candidate.own
        if not (won and own and candidate.covered) or won / own < overlap_threshold:
            of_candidate.append(0)
            continue
        segment = stuff.get(candidate.category)
        if segment is not None:
            of_candidate.append(segment)
            largest[segment - 1] = max(largest[segment - 1], candidate, key=_covered)
            continue
        first.append(candidate)
        largest.append(candidate)
        of_candidate.append(len(first))
        if candidate.category not in things:
            stuff[candidate.category] = len(first)
    return ChosenSegments(
        of_candidate=tuple(of_candidate),
        categories=tuple(c.category for c in first),
        scores=tuple(c.score for c in first),
        queries=tuple(c.query for c in largest),
    )


def _covered(candidate: SegmentCandidate) -> int:
    return candidate.covered
