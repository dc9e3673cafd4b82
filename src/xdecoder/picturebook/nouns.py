"""Noun phrases ("two small red cars"), how they are written and read, and the list of all words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from xdecoder.picturebook.scene import Scene, SceneSegment
from xdecoder.picturebook.vocabulary import (
    COLORS,
    NUMBER_WORDS,
    STUFF_CATEGORIES,
    THING_CATEGORIES,
    names,
    plural,
)

THING: Final = "thing"
"""The noun that stands for a thing of any category."""


@dataclass(frozen=True, kw_only=True)
class Noun:
    """What a noun phrase asks of a thing; a field that is None asks nothing.

    Attributes:
        category: one of THING_CATEGORIES, or None for "thing".
        color: one of COLORS.
        size: "small" or "large".
        on: the stuff it is on or in.
    """

    category: str | None = None
    color: str | None = None
    size: Literal["small", "large"] | None = None
    on: str | None = None

    def matches(self, thing: SceneSegment) -> bool:
        """Whether the thing is all this noun asks."""
        return (
            thing.is_thing
            and self.category in (None, thing.category)
            and self.color in (None, thing.color)
            and self.size in (None, thing.size)
            and self.on in (None, thing.on)
        )

    def among(self, scene: Scene) -> tuple[SceneSegment, ...]:
        """The things of a scene that match."""
        return tuple(thing for thing in scene.things if self.matches(thing))


_SYNONYM_SHARE: Final = 0.2


def word(name: str, rng: np.random.Generator | None) -> str:
    """The name, or now and then a synonym; always the name without `rng`."""
    if rng is None:
        return name
    choices = names(name)
    if len(choices) == 1 or float(rng.random()) >= _SYNONYM_SHARE:
        return name
    return choices[1 + int(rng.integers(len(choices) - 1))]


def write_noun(noun: Noun, *, many: bool = False, rng: np.random.Generator | None = None) -> str:
    """The noun phrase without article and place: "small red cars", "person in blue"."""
    base = word(noun.category or THING, rng)
    words = [plural(base) if many else base]
    if noun.color is not None:
        color = word(noun.color, rng)
        if noun.category == "person":
            words += ["in", color]
        else:
            words.insert(0, color)
    if noun.size is not None:
        words.insert(0, word(noun.size, rng))
    return " ".join(words)


def article(phrase: str) -> str:
    """The phrase with "a" or "an" before it."""
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def write_count(noun: Noun, count: int, rng: np.random.Generator | None = None) -> str:
    """Write "a red car" for one, "two red cars" for two."""
    if count == 1:
        return article(write_noun(noun, rng=rng))
    return f"{NUMBER_WORDS[count]} {write_noun(noun, many=True, rng=rng)}"


def write_place(stuff: str, rng: np.random.Generator | None = None) -> str:
    """Write "on the grass", "in the sky", "in the water"."""
    return f"{'in' if stuff in ('sky', 'water') else 'on'} the {word(stuff, rng)}"


_THING_FORMS: Final[dict[str, tuple[str | None, bool, bool]]] = {
    form: (None if name == THING else name, form == singular, form == plural(singular))
    for name in (*THING_CATEGORIES, THING)
    for singular in names(name)
    for form in (singular, plural(singular))
}
"""Every form of a thing's name: its category, whether it can be singular, whether plural."""

_NAMES: Final[dict[str, str]] = {
    form: name for name in (*COLORS, *STUFF_CATEGORIES, "small", "large") for form in names(name)
}


class Reader:
    """Reads a text word by word; every `take_...` moves on only when it finds what it looks for."""

    def __init__(self, text: str) -> None:
        self.words = text.lower().strip().rstrip(".?").replace(",", " , ").split()
        self.at = 0

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return self.at == len(self.words)

    def peek(self, ahead: int = 0) -> str:
        """A word further on, or "" past the end."""
        return self.words[self.at + ahead] if self.at + ahead < len(self.words) else ""

    def take(self, phrase: str) -> bool:
        """Read exactly these words."""
        wanted = phrase.split()
        if self.words[self.at : self.at + len(wanted)] != wanted:
            return False
        self.at += len(wanted)
        return True

    def take_any(self, phrases: tuple[str, ...]) -> str | None:
        """Read the first of these phrases that is there."""
        return next((phrase for phrase in phrases if self.take(phrase)), None)

    def take_name(self, allowed: tuple[str, ...]) -> str | None:
        """Read a color, size or stuff, under any of its names."""
        name = _NAMES.get(self.peek())
        if name not in allowed:
            return None
        self.at += 1
        return name

    def take_noun(self, *, many: bool) -> Noun | None:
        """Read "small red car" (or its plural): the categories' names and synonyms, without article."""
        start = self.at
        size = self.take_name(("small", "large"))
        color = self.take_name(COLORS)
        category, singular, plurals = _THING_FORMS.get(self.peek(), (None, False, False))
        if not (plurals if many else singular):
            self.at = start
            return None
        self.at += 1
        if (
            category == "person"
            and color is None
            and self.peek() == "in"
            and _NAMES.get(self.peek(1)) in COLORS
        ):
            self.at += 1
            color = self.take_name(COLORS)
        return Noun(category=category, color=color, size=_size(size))

    def take_place(self) -> str | None:
        """Read "on the grass" and return the stuff."""
        start = self.at
        preposition = self.take_any(("on", "in"))
        if preposition and self.take("the"):
            stuff = self.take_name(STUFF_CATEGORIES)
            inside = preposition == "in"
            if stuff and (stuff == "water" or inside == (stuff == "sky")):
                return stuff
        self.at = start
        return None


def _size(name: str | None) -> Literal["small", "large"] | None:
    return "small" if name == "small" else "large" if name == "large" else None


_FUNCTION_WORDS: Final = (
    "a an the and with in on at by to is are there it what how many where color time or things "
    "left right above below front behind top bottom middle leftmost rightmost highest lowest "
    "scene day sunset night outdoor indoor meadow lake sea desert street snow room yes "
    "of , ?"
)

WORDS: Final[tuple[str, ...]] = tuple(
    dict.fromkeys(
        (
            *_FUNCTION_WORDS.split(),
            *NUMBER_WORDS,
            *(str(n) for n in range(9)),
            *_NAMES,
            *_THING_FORMS,
        )
    )
)
"""Every word (and mark) the texts of this world use: the small tokenizer is built from it."""


def words_rng(scene: Scene) -> np.random.Generator:
    """The random numbers for a scene's words: they follow from its split and seed."""
    key = (1000 + int(scene.split == "val"), scene.seed)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))
