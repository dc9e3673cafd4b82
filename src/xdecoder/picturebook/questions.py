"""Questions about a scene, each with one answer out of ANSWERS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np

from xdecoder.picturebook.nouns import Noun, article, write_noun, write_place
from xdecoder.picturebook.referring import PhraseSpec, describe, write_phrase, write_relation
from xdecoder.picturebook.relations import PREDICATES, Place, Predicate, holds, is_at
from xdecoder.picturebook.scene import Scene, SceneSegment
from xdecoder.picturebook.vocabulary import COLORS, STUFF_CATEGORIES, THING_CATEGORIES

QuestionKind = Literal[
    "color", "count", "exists", "where", "relation", "holds", "ground", "size", "category", "time"
]
QUESTION_KINDS: Final[tuple[QuestionKind, ...]] = get_args(QuestionKind)


@dataclass(frozen=True, kw_only=True)
class SceneQuestion:
    """A question, its answer (counts are digits, as in VQAv2) and its kind."""

    text: str
    answer: str
    kind: QuestionKind


QUESTION_SHARES: Final[Mapping[QuestionKind, int]] = {
    "color": 4,
    "count": 3,
    "exists": 3,
    "where": 2,
    "relation": 3,
    "holds": 2,
    "ground": 2,
    "category": 2,
    "size": 1,
    "time": 1,
}
"""How often each kind is tried; some scenes give no question of a kind."""


def questions(
    scene: Scene,
    rng: np.random.Generator,
    *,
    count: int = 4,
    shares: Mapping[QuestionKind, int] = QUESTION_SHARES,
) -> tuple[SceneQuestion, ...]:
    """Up to `count` different questions, of kinds drawn at random; "yes" and "no" come equally often.

    A question is asked only where its answer is beyond doubt: nothing too close to call, and every "the car"
    means one car.

    Args:
        scene: what is asked about.
        rng: where the choices come from.
        count: questions at the most.
        shares: how often each kind is tried.
    """
    odds: list[QuestionKind] = [kind for kind, share in shares.items() for _ in range(share)]
    found: dict[str, SceneQuestion] = {}
    for _ in range(6 * count):
        if len(found) == count:
            break
        kind = odds[int(rng.integers(len(odds)))]
        question = ask(scene, rng, kind=kind)
        if question is not None:
            found.setdefault(question.text, question)
    return tuple(found.values())


def ask(scene: Scene, rng: np.random.Generator, *, kind: QuestionKind) -> SceneQuestion | None:
    """One question of a kind; None where the scene gives no unambiguous one."""
    asked = _ASKERS[kind](scene, rng)
    if asked is None:
        return None
    text, answer = asked
    return SceneQuestion(text=text + "?", answer=answer, kind=kind)


_Asked = tuple[str, str] | None


def _pick(items: tuple[SceneSegment, ...] | list[SceneSegment], rng: np.random.Generator) -> SceneSegment:
    return items[int(rng.integers(len(items)))]


def _phrase(
    scene: Scene, thing: SceneSegment, rng: np.random.Generator, *, keep: Callable[[PhraseSpec], bool]
) -> str | None:
    """A phrase that singles the thing out and gives nothing away; the plainest half of the time."""
    specs = [spec for spec in describe(scene, thing) if keep(spec)]
    if not specs:
        return None
    plain = float(rng.random()) < 0.5
    return write_phrase(specs[0] if plain else specs[int(rng.integers(len(specs)))], rng)


def _color(scene: Scene, rng: np.random.Generator) -> _Asked:
    thing = _pick(scene.things, rng)
    phrase = _phrase(scene, thing, rng, keep=lambda spec: spec.noun.color is None)
    return None if phrase is None or thing.color is None else (f"what color is {phrase}", thing.color)


def _count(scene: Scene, rng: np.random.Generator) -> _Asked:
    thing, chance = _pick(scene.things, rng), float(rng.random())
    nouns = (
        Noun(category=thing.category),
        Noun(category=thing.category),
        Noun(category=thing.category, color=thing.color),
        Noun(color=thing.color),
        Noun(on=thing.on),
        Noun(category=thing.category, on=thing.on),
        Noun(),
    )
    noun, other = (nouns[k] for k in rng.integers(len(nouns), size=2).tolist())
    if chance > 0.5 and len(other.among(scene)) > len(noun.among(scene)):
        noun = other  # or the answer would mostly be 1
    if chance < 0.12:
        noun = _absent(scene, rng)
    place = f" {write_place(noun.on, rng)}" if noun.on is not None else ""
    text = f"how many {write_noun(noun, many=True, rng=rng)} are there{place}"
    return text, str(len(noun.among(scene)))


def _absent(scene: Scene, rng: np.random.Generator) -> Noun:
    """A noun nothing matches, close to what is there: a category of another color, or another category."""
    thing = _pick(scene.things, rng)
    for _ in range(32):
        color = COLORS[int(rng.integers(len(COLORS)))]
        category = THING_CATEGORIES[int(rng.integers(len(THING_CATEGORIES)))]
        choices = (
            Noun(category=category),
            Noun(category=thing.category, color=color),
            Noun(category=category, color=thing.color),
        )
        noun = choices[int(rng.integers(3))]
        if not noun.among(scene):
            return noun
    raise AssertionError("eight things cannot fill 330 pairs")


def _exists(scene: Scene, rng: np.random.Generator) -> _Asked:
    yes = float(rng.random()) < 0.5
    if float(rng.random()) < 0.15:
        stuff = [name for name in STUFF_CATEGORIES if scene.has_stuff(name) == yes]
        name = stuff[int(rng.integers(len(stuff)))]
        noun = f"a {name}" if name in ("road", "rug", "fence", "wall", "floor", "mountain") else name
        return f"is there {noun}", "yes" if yes else "no"
    if yes:
        thing = _pick(scene.things, rng)
        # The same three forms as the absent ones take, in the same shares.
        color = thing.color if int(rng.integers(3)) else None
        noun = Noun(category=thing.category, color=color)
    else:
        noun = _absent(scene, rng)
    return f"is there {article(write_noun(noun, rng=rng))}", "yes" if yes else "no"


def _where(scene: Scene, rng: np.random.Generator) -> _Asked:
    thing = _pick(scene.things, rng)
    places: tuple[Place, ...] = ("left", "middle", "right")
    at = [place for place in places if is_at(thing, place)]
    phrase = _phrase(
        scene,
        thing,
        rng,
        keep=lambda spec: spec.place is None and spec.extreme is None and spec.relation is None,
    )
    return None if phrase is None or len(at) != 1 else (f"where is {phrase}", at[0])


def _relation(scene: Scene, rng: np.random.Generator) -> _Asked:
    """Ask "what is left of the tree": only where one thing is, and every other clearly is not."""
    thing = _pick(scene.things, rng)
    predicates = list(PREDICATES)
    rng.shuffle(predicates)
    phrase = _phrase(scene, thing, rng, keep=lambda spec: spec.relation is None and spec.extreme is None)
    for predicate in predicates:
        verdicts = [
            (other, holds(scene, other, predicate, thing)) for other in scene.things if other is not thing
        ]
        there = [other for other, verdict in verdicts if verdict]
        if len(there) == 1 and phrase is not None and all(verdict is not None for _, verdict in verdicts):
            return f"what is {write_relation(predicate, rng)} {phrase}", there[0].category
    return None


def _holds(scene: Scene, rng: np.random.Generator) -> _Asked:
    if len(scene.things) < 2:
        return None
    first, second = (scene.things[k] for k in rng.permutation(len(scene.things))[:2].tolist())
    wanted = float(rng.random()) < 0.5
    clear: list[Predicate] = [name for name in PREDICATES if holds(scene, first, name, second) is wanted]
    if not wanted:  # "no" only about a direction, which has its opposite, or everything would be "not behind"
        clear = [name for name in clear if name != "in front of" and name != "behind"]
    specs = [_plainest(scene, thing) for thing in (first, second)]
    if not clear or specs[0] is None or specs[1] is None:
        return None
    predicate = clear[int(rng.integers(len(clear)))]
    subject, other = write_phrase(specs[0], rng), write_phrase(specs[1], rng)
    return f"is {subject} {write_relation(predicate, rng)} {other}", "yes" if wanted else "no"


def _plainest(scene: Scene, thing: SceneSegment) -> PhraseSpec | None:
    found = describe(scene, thing)
    bare = [spec for spec in found if spec.relation is None and spec.extreme is None and spec.place is None]
    return bare[0] if bare else None


def _ground(scene: Scene, rng: np.random.Generator) -> _Asked:
    thing = _pick(scene.things, rng)
    if thing.on is None:
        return None
    phrase = _phrase(scene, thing, rng, keep=lambda spec: spec.noun.on is None and spec.relation is None)
    return (
        None
        if phrase is None
        else (f"what is {phrase} {'in' if thing.on in ('sky', 'water') else 'on'}", thing.on)
    )


def _asks_size(spec: PhraseSpec) -> bool:
    """Sizes are relative to the kind, so the kind is named."""
    return spec.noun.size is None and spec.noun.category is not None


def _size(scene: Scene, rng: np.random.Generator) -> _Asked:
    things = [thing for thing in scene.things if thing.size in ("small", "large")]
    if not things:
        return None
    thing = _pick(things, rng)
    phrase = _phrase(scene, thing, rng, keep=_asks_size)
    return None if phrase is None or thing.size is None else (f"is {phrase} small or large", thing.size)


def _category(scene: Scene, rng: np.random.Generator) -> _Asked:
    """Ask "what is the red thing": where its color, place or ground singles it out."""
    thing = _pick(scene.things, rng)
    phrase = _phrase(scene, thing, rng, keep=lambda spec: spec.noun.category is None)
    return None if phrase is None else (f"what is {phrase}", thing.category)


def _time(scene: Scene, rng: np.random.Generator) -> _Asked:
    return None if scene.time is None else ("what time is it", scene.time)


_ASKERS: Final[dict[QuestionKind, Callable[[Scene, np.random.Generator], _Asked]]] = {
    "color": _color,
    "count": _count,
    "exists": _exists,
    "where": _where,
    "relation": _relation,
    "holds": _holds,
    "ground": _ground,
    "size": _size,
    "category": _category,
    "time": _time,
}
