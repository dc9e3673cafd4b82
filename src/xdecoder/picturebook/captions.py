"""Captions of a scene, in five styles, and its full description; every statement of each is true of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final, Literal, get_args

import numpy as np

from xdecoder.picturebook.nouns import Noun, article, write_count, write_noun, write_place
from xdecoder.picturebook.referring import write_relation
from xdecoder.picturebook.relations import Predicate, relations
from xdecoder.picturebook.scene import Scene, SceneSegment
from xdecoder.picturebook.statements import SETTING_WORDS, TIME_WORDS

Style = Literal["list", "places", "setting", "relation", "count"]
STYLES: Final[tuple[Style, ...]] = get_args(Style)


def captions(
    scene: Scene, rng: np.random.Generator, *, count: int = 5, styles: tuple[Style, ...] = STYLES
) -> tuple[str, ...]:
    """`count` captions, the styles taking turns from a random start (one thing alone has no relation)."""
    start = int(rng.integers(len(styles)))
    return tuple(caption(scene, rng, style=styles[(start + k) % len(styles)]) for k in range(count))


def caption(scene: Scene, rng: np.random.Generator, *, style: Style) -> str:
    """One caption. What fills more of the picture is named first.

    Args:
        scene: what to describe.
        rng: where the choices come from.
        style: "list" ("a red car and two birds"), "places" ("a red car on the grass and two birds in the
            sky"), "setting" ("a night scene by the sea with ..."), "relation" ("a red car to the left of a
            blue house") or "count" ("five things by the sea at night").
    """
    return _WRITERS[style](scene, rng)


def region_caption(thing: SceneSegment, rng: np.random.Generator) -> str:
    """A caption of one thing: "a red car", "a small red car on the grass"."""
    noun = _sized(Noun(category=thing.category, color=thing.color), [thing], rng)
    place = f" {write_place(thing.on, rng)}" if thing.on is not None and float(rng.random()) < 0.5 else ""
    return article(write_noun(noun, rng=rng)) + place


def description(scene: Scene, rng: np.random.Generator | None = None) -> str:
    """Every thing by color and category, the setting and the time of day.

    Without `rng`, scenes that agree in all this have the same words; with it, synonyms come in.
    """
    counts = Counter((thing.category, thing.color) for thing in scene.things)
    things = [
        write_count(Noun(category=category, color=color), count, rng)
        for (category, color), count in sorted(counts.items())
    ]
    time = "" if scene.time is None else f" {TIME_WORDS[scene.time]}"
    return f"{_join(things)} {SETTING_WORDS[scene.setting]}{time}"


def _join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _group(
    scene: Scene, rng: np.random.Generator, *, by_place: bool, most: int
) -> list[tuple[Noun, list[SceneSegment]]]:
    """Nouns that share the things out among them, largest area first; at most `most` of them."""
    by_color = {
        category: float(rng.random()) < 0.75 for category in sorted({t.category for t in scene.things})
    }
    groups: dict[Noun, list[SceneSegment]] = {}
    for thing in scene.things:
        noun = Noun(
            category=thing.category,
            color=thing.color if by_color[thing.category] else None,
            on=thing.on if by_place else None,
        )
        groups.setdefault(noun, []).append(thing)
    ordered = sorted(groups.items(), key=lambda item: -sum(thing.area for thing in item[1]))[:most]
    return [(_sized(noun, members, rng), members) for noun, members in ordered]


def _sized(noun: Noun, members: list[SceneSegment], rng: np.random.Generator) -> Noun:
    """Now and then say that they are small or large, if all of them are."""
    sizes = {thing.size for thing in members}
    if float(rng.random()) < 0.3:
        for size in ("small", "large"):
            if sizes == {size}:
                return Noun(category=noun.category, color=noun.color, size=size, on=noun.on)
    return noun


def _listed(scene: Scene, rng: np.random.Generator) -> tuple[str, bool]:
    """A list of groups without places, and whether it begins in the singular."""
    groups = _group(scene, rng, by_place=False, most=2 + int(rng.integers(3)))
    text = _join([write_count(noun, len(members), rng) for noun, members in groups])
    return text, len(groups[0][1]) == 1


def _surroundings(scene: Scene, rng: np.random.Generator) -> str:
    """Write "by the sea at night"."""
    words = [SETTING_WORDS[scene.setting]]
    if scene.time is not None and float(rng.random()) < 0.6:
        words.append(TIME_WORDS[scene.time])
    return " ".join(words)


def _list_style(scene: Scene, rng: np.random.Generator) -> str:
    text, singular = _listed(scene, rng)
    if float(rng.random()) < 0.3:
        return f"there {'is' if singular else 'are'} {text}"
    if float(rng.random()) < 0.3:
        order = [segment.category for segment in sorted(scene.stuff, key=lambda segment: -segment.area)]
        time = f" {TIME_WORDS[scene.time]}" if scene.time is not None and float(rng.random()) < 0.4 else ""
        return f"{_join(order)}{time} with {text}"
    return text


def _places_style(scene: Scene, rng: np.random.Generator) -> str:
    groups = _group(scene, rng, by_place=True, most=2 + int(rng.integers(3)))
    by_place: dict[str, list[str]] = {}
    for noun, members in groups:
        by_place.setdefault(members[0].on or "", []).append(write_count(noun, len(members), rng))
    return _join([f"{_join(texts)} {write_place(on, rng)}" for on, texts in by_place.items()])


def _setting_style(scene: Scene, rng: np.random.Generator) -> str:
    text, singular = _listed(scene, rng)
    form = int(rng.integers(3))
    if form == 0:
        kind = "indoor" if scene.time is None else scene.time if float(rng.random()) < 0.75 else "outdoor"
        return f"{article(kind)} scene {SETTING_WORDS[scene.setting]} with {text}"
    if form == 1:
        return f"{_surroundings(scene, rng)} there {'is' if singular else 'are'} {text}"
    return f"{text} {_surroundings(scene, rng)}"


def _relation_style(scene: Scene, rng: np.random.Generator) -> str:
    edges = relations(scene)
    if not edges:
        return _places_style(scene, rng)
    # Nearness makes a relation worth saying: hiding first, then the smaller gaps.
    by_kind: dict[Predicate, list[tuple[int, int]]] = {}
    for edge in edges:
        by_kind.setdefault(edge.predicate, []).append((edge.subject, edge.object))
    kinds = sorted(by_kind)
    predicate = kinds[int(rng.integers(len(kinds)))]
    pairs = by_kind[predicate]
    first, second = (scene.segment(number) for number in pairs[int(rng.integers(len(pairs)))])
    subject, other = (_named(thing, rng) for thing in (first, second))
    text = f"{subject} {write_relation(predicate, rng)} {other}"
    return f"{text} {_surroundings(scene, rng)}" if float(rng.random()) < 0.3 else text


def _named(thing: SceneSegment, rng: np.random.Generator) -> str:
    color = thing.color if float(rng.random()) < 0.8 else None
    noun = _sized(Noun(category=thing.category, color=color), [thing], rng)
    return article(write_noun(noun, rng=rng))


def _count_style(scene: Scene, rng: np.random.Generator) -> str:
    total = write_count(Noun(), len(scene.things))
    form = int(rng.integers(3))
    if form == 0:
        return f"{total} {_surroundings(scene, rng)}"
    if form == 1:
        return f"there {'is' if len(scene.things) == 1 else 'are'} {total}"
    return f"{_surroundings(scene, rng)} there {'is' if len(scene.things) == 1 else 'are'} {total}"


_WRITERS: Final[dict[Style, Callable[[Scene, np.random.Generator], str]]] = {
    "list": _list_style,
    "places": _places_style,
    "setting": _setting_style,
    "relation": _relation_style,
    "count": _count_style,
}
