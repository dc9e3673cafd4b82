"""Where things are, said with margins: yes, no, or too close to call (None).

Whatever the words of this world say about places, it is said only when the answer is clear.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, get_args

from xdecoder.picturebook.scene import Scene, SceneSegment

Predicate = Literal["left of", "right of", "above", "below", "in front of", "behind"]
Place = Literal["left", "right", "top", "bottom", "middle"]
Extreme = Literal["leftmost", "rightmost", "highest", "lowest"]

PREDICATES: Final[tuple[Predicate, ...]] = get_args(Predicate)
PLACES: Final[tuple[Place, ...]] = get_args(Place)
EXTREMES: Final[tuple[Extreme, ...]] = get_args(Extreme)

CLEAR_GAP: Final = 0.10
"""Two centers this far apart (share of the picture's side) are clearly beside, or above, one another."""

CLEAR_LEAD: Final = 0.05
"""The leftmost thing leads the next one by at least this much."""

CLEAR_HIDING: Final = 0.08
"""One thing is in front of another when it hides at least this share of the smaller of the two."""


class Relation(NamedTuple):
    """One edge of the scene graph: two segment ids and what holds between them."""

    subject: int
    predicate: Predicate
    object: int


def _beyond(gap: float) -> bool | None:
    if gap >= CLEAR_GAP:
        return True
    return False if gap <= 0 else None


def holds(scene: Scene, subject: SceneSegment, predicate: Predicate, other: SceneSegment) -> bool | None:
    """Whether `subject` is left of (...) `other`; None where nobody should say.

    Left, right, above and below compare the middles of the two boxes; in front of and behind, who hides whom.
    """
    dx, dy = other.center[0] - subject.center[0], other.center[1] - subject.center[1]
    match predicate:
        case "left of":
            return _beyond(dx)
        case "right of":
            return _beyond(-dx)
        case "above":
            return _beyond(dy)
        case "below":
            return _beyond(-dy)
        case "in front of":
            share = scene.hidden(front=subject.id, back=other.id)
        case "behind":
            share = scene.hidden(front=other.id, back=subject.id)
    if share >= CLEAR_HIDING:
        return True
    return False if share == 0 else None


def relations(scene: Scene) -> tuple[Relation, ...]:
    """The scene graph: every relation that clearly holds between two things."""
    return tuple(
        Relation(subject.id, predicate, other.id)
        for subject in scene.things
        for other in scene.things
        if subject is not other
        for predicate in PREDICATES
        if holds(scene, subject, predicate, other)
    )


def is_at(segment: SceneSegment, place: Place) -> bool | None:
    """Whether a thing is on the left, right, at the top, bottom or in the middle (from left to right)."""
    x, y = segment.center
    if place == "middle":
        off = abs(x - 0.5)
        return True if off <= 0.10 else False if off >= 0.18 else None
    along = {"left": x, "right": 1 - x, "top": y, "bottom": 1 - y}[place]
    return True if along <= 0.34 else False if along >= 0.44 else None


def extreme(candidates: tuple[SceneSegment, ...], which: Extreme) -> SceneSegment | None:
    """The leftmost (...) of two or more things; None where the lead is too small or there is no choice."""
    if len(candidates) < 2:
        return None
    axis, sign = {"leftmost": (0, 1), "rightmost": (0, -1), "highest": (1, 1), "lowest": (1, -1)}[which]
    first, second, *_ = sorted(candidates, key=lambda segment: sign * segment.center[axis])
    lead = sign * (second.center[axis] - first.center[axis])
    return first if lead >= CLEAR_LEAD else None
