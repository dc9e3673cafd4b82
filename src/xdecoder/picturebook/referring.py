"""Referring phrases: each singles out one segment, and `resolve` proves it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from xdecoder.picturebook.nouns import Noun, Reader, word, write_noun, write_place
from xdecoder.picturebook.relations import (
    EXTREMES,
    PLACES,
    PREDICATES,
    Extreme,
    Place,
    Predicate,
    extreme,
    holds,
    is_at,
)
from xdecoder.picturebook.scene import Scene, SceneSegment
from xdecoder.picturebook.vocabulary import STUFF_CATEGORIES


@dataclass(frozen=True, kw_only=True)
class PhraseSpec:
    """What a phrase means; a field that is None asks nothing.

    Attributes:
        noun: what the thing is (and, in `noun.on`, what it stands on).
        extreme: "the leftmost one" of those that match the rest.
        place: where in the picture.
        relation: how it stands to another thing, which its own noun singles out.
        stuff: set for a stuff region, everything else then being empty.
    """

    noun: Noun = field(default_factory=Noun)
    extreme: Extreme | None = None
    place: Place | None = None
    relation: tuple[Predicate, Noun] | None = None
    stuff: str | None = None


@dataclass(frozen=True, kw_only=True)
class Phrase:
    """A text and the one segment it means.

    Attributes:
        text: such as "the small red car left of the tree".
        segment: the id in `Scene.ids`.
        spec: the meaning from which the text was written.
    """

    text: str
    segment: int
    spec: PhraseSpec


def resolve(spec: PhraseSpec | str, scene: Scene) -> int | None:
    """The id of the one segment a phrase means; None for none, several, or too close to call.

    Args:
        spec: a meaning, or a text that `parse_phrase` can read.
        scene: where to look.
    """
    if isinstance(spec, str):
        parsed = parse_phrase(spec)
        if parsed is None:
            return None
        spec = parsed
    if spec.stuff is not None:
        return next((segment.id for segment in scene.stuff if segment.category == spec.stuff), None)
    found: list[SceneSegment] = []
    for thing in spec.noun.among(scene):
        verdicts = (_verdict_place(spec, thing), _verdict_relation(spec, thing, scene))
        if False in verdicts:
            continue
        if None in verdicts:
            return None
        found.append(thing)
    if spec.extreme is not None:
        chosen = extreme(tuple(found), spec.extreme)
        return None if chosen is None else chosen.id
    return found[0].id if len(found) == 1 else None


def _verdict_place(spec: PhraseSpec, thing: SceneSegment) -> bool | None:
    return True if spec.place is None else is_at(thing, spec.place)


def _verdict_relation(spec: PhraseSpec, thing: SceneSegment, scene: Scene) -> bool | None:
    if spec.relation is None:
        return True
    predicate, noun = spec.relation
    anchors = noun.among(scene)
    if len(anchors) != 1:
        return None
    return thing is not anchors[0] and holds(scene, thing, predicate, anchors[0])


_PLACE_WORDS: Final[dict[Place, str]] = {
    "left": "on the left",
    "right": "on the right",
    "top": "at the top",
    "bottom": "at the bottom",
    "middle": "in the middle",
}
RELATION_WORDS: Final[dict[Predicate, tuple[str, ...]]] = {
    "left of": ("left of", "to the left of"),
    "right of": ("right of", "to the right of"),
    "above": ("above",),
    "below": ("below",),
    "in front of": ("in front of",),
    "behind": ("behind",),
}
"""How each relation may be written."""


def take_relation(reader: Reader) -> Predicate | None:
    """Read "to the left of" and the like."""
    return next((name for name in PREDICATES if reader.take_any(RELATION_WORDS[name])), None)


def write_relation(predicate: Predicate, rng: np.random.Generator | None = None) -> str:
    """One of the ways to write a relation; the first without `rng`."""
    forms = RELATION_WORDS[predicate]
    return forms[0 if rng is None else int(rng.integers(len(forms)))]


def write_phrase(spec: PhraseSpec, rng: np.random.Generator | None = None) -> str:
    """The text of a meaning."""
    if spec.stuff is not None:
        return f"the {word(spec.stuff, rng)}"
    parts = ["the"]
    if spec.extreme is not None:
        parts.append(spec.extreme)
    parts.append(write_noun(spec.noun, rng=rng))
    if spec.noun.on is not None:
        parts.append(write_place(spec.noun.on, rng))
    if spec.place is not None:
        parts.append(_PLACE_WORDS[spec.place])
    if spec.relation is not None:
        predicate, anchor = spec.relation
        parts += [write_relation(predicate, rng), "the", write_noun(anchor, rng=rng)]
    return " ".join(parts)


def parse_phrase(text: str) -> PhraseSpec | None:
    """The meaning of a text of this grammar; None for any other text. The leading "the" may be missing."""
    reader = Reader(text)
    reader.take("the")
    stuff = reader.take_name(STUFF_CATEGORIES)
    if stuff is not None:
        return PhraseSpec(stuff=stuff) if reader.done else None
    first: Extreme | None = next((name for name in EXTREMES if reader.take(name)), None)
    noun = reader.take_noun(many=False)
    if noun is None:
        return None
    on = reader.take_place()
    place: Place | None = next((name for name in PLACES if reader.take(_PLACE_WORDS[name])), None)
    relation = None
    predicate = take_relation(reader)
    if predicate is not None:
        anchor = reader.take_noun(many=False) if reader.take("the") else None
        if anchor is None:
            return None
        relation = (predicate, anchor)
    if not reader.done:
        return None
    noun = Noun(category=noun.category, color=noun.color, size=noun.size, on=on)
    return PhraseSpec(noun=noun, extreme=first, place=place, relation=relation)


def nouns_of(thing: SceneSegment) -> tuple[Noun, ...]:
    """The ways to name a thing, from the barest to the fullest."""
    category, color = thing.category, thing.color
    plain = [
        Noun(category=category),
        Noun(category=category, color=color),
        Noun(color=color),
    ]
    size = thing.size
    if size == "small" or size == "large":
        plain += [Noun(category=category, size=size), Noun(category=category, color=color, size=size)]
    return tuple(plain)


def describe(scene: Scene, thing: SceneSegment) -> tuple[PhraseSpec, ...]:
    """Every meaning (of those written here) that singles out one thing, as `resolve` would find."""
    nouns = nouns_of(thing)
    members = {noun: noun.among(scene) for noun in nouns}
    found = [PhraseSpec(noun=noun) for noun in nouns if len(members[noun]) == 1]
    for noun in nouns:
        on = replace(noun, on=thing.on)
        if thing.on is not None and len(on.among(scene)) == 1:
            found.append(PhraseSpec(noun=on))
    rivals = {noun: things for noun, things in members.items() if len(things) > 1}
    for noun, things in rivals.items():  # without rivals a place would add nothing
        found += [
            PhraseSpec(noun=noun, extreme=which) for which in EXTREMES if extreme(things, which) is thing
        ]
    for place in PLACES:
        chosen = _chosen(rivals, thing, {other.id: is_at(other, place) for other in scene.things})
        found += [PhraseSpec(noun=noun, place=place) for noun in chosen]
    for other in scene.things:
        if other is thing:
            continue
        anchors = [
            noun for noun in nouns_of(other) if noun.category is not None and len(noun.among(scene)) == 1
        ]
        if not anchors:
            continue
        for predicate in PREDICATES:
            if holds(scene, thing, predicate, other):
                verdicts = {
                    one.id: one is not other and holds(scene, one, predicate, other) for one in scene.things
                }
                chosen = _chosen(members, thing, verdicts)
                found += [
                    PhraseSpec(noun=noun, relation=(predicate, anchor))
                    for noun in chosen
                    for anchor in anchors
                ]
    return tuple(found)


def _chosen(
    members: dict[Noun, tuple[SceneSegment, ...]], thing: SceneSegment, verdicts: dict[int, bool | None]
) -> list[Noun]:
    """The nouns of which, by these verdicts, `thing` is clearly the only one left."""
    return [
        noun
        for noun, things in members.items()
        if all(verdicts[other.id] is (other is thing) for other in things)
    ]


def phrases(scene: Scene, rng: np.random.Generator, *, per_thing: int = 2) -> tuple[Phrase, ...]:
    """Referring phrases of a scene: up to `per_thing` for every thing, one for every stuff.

    A thing that nothing written here singles out has none. Among a thing's phrases the kinds (attributes,
    extreme, place, ground, relation) are drawn alike, so that those which the category alone cannot solve
    are common.
    """
    found: list[Phrase] = []
    for thing in scene.things:
        by_kind: dict[str, list[PhraseSpec]] = {}
        for spec in describe(scene, thing):
            by_kind.setdefault(_kind(spec, scene), []).append(spec)
        kinds = sorted(by_kind)
        for kind in rng.permutation(len(kinds))[:per_thing].tolist():
            choices = by_kind[kinds[kind]]
            spec = choices[int(rng.integers(len(choices)))]
            found.append(Phrase(text=write_phrase(spec, rng), segment=thing.id, spec=spec))
    for segment in scene.stuff:
        spec = PhraseSpec(stuff=segment.category)
        found.append(Phrase(text=write_phrase(spec, rng), segment=segment.id, spec=spec))
    return tuple(found)


def thing_phrases(scene: Scene, rng: np.random.Generator) -> list[Phrase]:
    """One referring phrase for each thing that one can single out."""
    return [p for p in phrases(scene, rng, per_thing=1) if scene.segment(p.segment).is_thing]


def _kind(spec: PhraseSpec, scene: Scene) -> str:
    if spec.relation is not None:
        hard = len(spec.noun.among(scene)) > 1
        return "relation among rivals" if hard else "relation"
    if spec.extreme is not None:
        return "extreme"
    if spec.place is not None:
        return "place"
    return "attributes" if spec.noun.on is None else "ground"
