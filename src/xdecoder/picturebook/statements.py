"""What a caption states, and whether that is true of a scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from xdecoder.picturebook.nouns import Noun, Reader
from xdecoder.picturebook.referring import take_relation
from xdecoder.picturebook.relations import Predicate, holds
from xdecoder.picturebook.scene import Scene, SceneSegment
from xdecoder.picturebook.vocabulary import NUMBER_WORDS, SETTINGS, STUFF_CATEGORIES, TIMES, Setting, Time

SETTING_WORDS: Final[dict[Setting, str]] = {
    "meadow": "in a meadow",
    "lake": "by a lake",
    "sea": "by the sea",
    "desert": "in the desert",
    "street": "on a street",
    "winter": "in the snow",
    "room": "in a room",
}
TIME_WORDS: Final[dict[Time, str]] = {"day": "by day", "sunset": "at sunset", "night": "at night"}


@dataclass(frozen=True, kw_only=True)
class Mention:
    """Things are there: exactly `count`, or at least one where `count` is None ("a red car")."""

    noun: Noun
    count: int | None


@dataclass(frozen=True, kw_only=True)
class Together:
    """The mentions of a list mean different things: "a car and a car" takes two cars."""

    mentions: tuple[Mention, ...]


@dataclass(frozen=True, kw_only=True)
class Related:
    """Some thing like `subject` stands so to some other like `other`."""

    subject: Noun
    predicate: Predicate
    other: Noun


@dataclass(frozen=True, kw_only=True)
class Plays:
    """Where the scene plays."""

    setting: Setting


@dataclass(frozen=True, kw_only=True)
class Lit:
    """The time of day."""

    time: Time


@dataclass(frozen=True, kw_only=True)
class Indoors:
    """Whether the scene is indoors."""

    yes: bool


@dataclass(frozen=True, kw_only=True)
class Shows:
    """A stuff is to be seen."""

    stuff: str


Statement = Mention | Together | Related | Plays | Lit | Indoors | Shows


def holds_true(statement: Statement, scene: Scene) -> bool:
    """Whether one statement is clearly true of a scene."""
    match statement:
        case Mention(noun=noun, count=count):
            found = len(noun.among(scene))
            return found == count if count is not None else found >= 1
        case Together(mentions=mentions):
            return _disjoint(scene, mentions)
        case Related(subject=subject, predicate=predicate, other=other):
            return any(
                holds(scene, a, predicate, b)
                for a in subject.among(scene)
                for b in other.among(scene)
                if a is not b
            )
        case Plays(setting=setting):
            return scene.setting == setting
        case Lit(time=time):
            return scene.time == time
        case Indoors(yes=yes):
            return (scene.setting == "room") == yes
        case Shows(stuff=stuff):
            return scene.has_stuff(stuff)


def _disjoint(scene: Scene, mentions: tuple[Mention, ...]) -> bool:
    """Whether every mention can have its own things: the counted ones first, then a search for the rest."""
    used: set[int] = set()
    for mention in mentions:
        if mention.count is not None:
            own = {thing.id for thing in mention.noun.among(scene)}
            if own & used:
                return False
            used |= own
    single = [
        [thing.id for thing in mention.noun.among(scene)] for mention in mentions if mention.count is None
    ]
    return _assign(single, used)


def _assign(choices: list[list[int]], used: set[int]) -> bool:
    if not choices:
        return True
    return any(_assign(choices[1:], used | {pick}) for pick in choices[0] if pick not in used)


def is_true(caption: str, scene: Scene) -> bool:
    """Whether a caption is of this world's grammar and every statement of it is true of the scene.

    Any text may be given, a model's as well: unknown words, ungrammatical text and an empty one are false.
    """
    found = statements(caption)
    return found is not None and all(holds_true(statement, scene) for statement in found)


def is_true_of(caption: str, scene: Scene, thing: SceneSegment) -> bool:
    """Whether a caption names this one thing and is true of it: "a red car on the grass"."""
    match statements(caption):
        case (Mention(noun=noun, count=None),):
            return scene.segment(thing.id) in noun.among(scene)
        case _:
            return False


def detail(found: Sequence[Statement]) -> float:
    """How many things statements name, each half by its category and half by its color."""
    told = 0.0
    for statement in found:
        match statement:
            case Mention(noun=noun, count=count):
                told += (count or 1) * _named(noun)
            case Related(subject=subject, other=other):
                told += _named(subject) + _named(other)
            case _:
                pass
    return told


def _named(noun: Noun) -> float:
    return ((noun.category is not None) + (noun.color is not None)) / 2


def statements(caption: str) -> tuple[Statement, ...] | None:
    """Everything a caption states; None for a text outside the grammar.

    The grammar (words in brackets may be missing):

        caption := list [setting] [time]
                 | a (day | sunset | night | outdoor | indoor) scene [setting] with list
                 | [setting] [time] there (is | are) list
                 | stuff {, stuff} [and stuff] [time] with list
        list    := group {, | and group}
        group   := noun {, | and noun} [on the stuff]     the place is said of every noun of its group
                 | a noun (left of | above | ...) a noun
    """
    reader = Reader(caption)
    found = _scene_form(reader)
    if found is None:
        reader.at = 0
        found = _stuff_form(reader)
    if found is None:
        reader.at = 0
        found = _there_form(reader)
    if found is None:
        reader.at = 0
        found = _list(reader)
        if found is not None:
            found += _surroundings(reader)
    return tuple(found) if found and reader.done else None


def _scene_form(reader: Reader) -> list[Statement] | None:
    article = reader.take_any(("an", "a"))
    kind = reader.take_any((*TIMES, "outdoor", "indoor"))
    if article is None or kind is None or (article == "an") != (kind in ("outdoor", "indoor")):
        return None
    if not reader.take("scene"):
        return None
    found: list[Statement] = []
    if kind == "outdoor" or kind == "indoor":
        found.append(Indoors(yes=kind == "indoor"))
    for time in TIMES:
        if time == kind:
            found.append(Lit(time=time))
    found += _setting(reader)
    listed = _list(reader) if reader.take("with") else None
    return None if listed is None else found + listed


def _stuff_form(reader: Reader) -> list[Statement] | None:
    found: list[Statement] = []
    while (stuff := reader.take_name(STUFF_CATEGORIES)) is not None:
        if Shows(stuff=stuff) in found:
            return None
        found.append(Shows(stuff=stuff))
        if reader.take_any((",", "and")) is None:
            break
    found += _time(reader)
    listed = _list(reader) if found and reader.take("with") else None
    return None if listed is None else found + listed


def _there_form(reader: Reader) -> list[Statement] | None:
    found = _surroundings(reader)
    if not reader.take("there"):
        return None
    verb = reader.take_any(("is", "are"))
    singular = reader.peek() in ("a", "an", "one")
    listed = _list(reader)
    return None if listed is None or verb != ("is" if singular else "are") else found + listed


def _surroundings(reader: Reader) -> list[Statement]:
    return _setting(reader) + _time(reader)


def _setting(reader: Reader) -> list[Statement]:
    for setting in SETTINGS:
        if reader.take(SETTING_WORDS[setting]):
            return [Plays(setting=setting)]
    return []


def _time(reader: Reader) -> list[Statement]:
    for time in TIMES:
        if reader.take(TIME_WORDS[time]):
            return [Lit(time=time)]
    return []


def _list(reader: Reader) -> list[Statement] | None:
    """Read a list of groups; a place closes a group and is said of each of its mentions."""
    placed: list[Mention] = []
    group: list[Mention] = []
    related: list[Statement] = []
    alone = True  # whether the open group holds no relation, of which a place could not be said
    while True:
        mention = _mention(reader)
        if mention is None:
            return None
        predicate = take_relation(reader)
        if predicate is None:
            group.append(mention)
        else:
            other = _mention(reader)
            if other is None or mention.count is not None or other.count is not None:
                return None
            related.append(Related(subject=mention.noun, predicate=predicate, other=other.noun))
            alone = False
        place = reader.take_place()
        if place is not None:
            if not alone:
                return None
            placed += [replace(item, noun=replace(item.noun, on=place)) for item in group]
            group = []
        if not _joint(reader):
            break
    placed += group
    found: list[Statement] = [*placed, *related]
    if len(placed) > 1:
        found.append(Together(mentions=tuple(placed)))
    return found


def _joint(reader: Reader) -> bool:
    return reader.take_any((", and", ",", "and")) is not None


def _mention(reader: Reader) -> Mention | None:
    """Read "a red car" or "two red cars"; the article and the number must agree with the noun."""
    start = reader.take_any(("an", "a", *NUMBER_WORDS[1:]))
    if start is None:
        return None
    if start in ("a", "an"):
        if (start == "an") != (reader.peek()[:1] in tuple("aeiou")):
            return None
        noun = reader.take_noun(many=False)
        return None if noun is None else Mention(noun=noun, count=None)
    count = NUMBER_WORDS.index(start)
    noun = reader.take_noun(many=count > 1)
    return None if noun is None else Mention(noun=noun, count=count)
