"""What the picture-book world is made of and how its parts are called: one literal table each.

Nothing here imports numpy or OpenCV. A color, a category or a stuff is always stored under its first name;
the synonyms are true synonyms, usable wherever the name is.
"""

from __future__ import annotations

from typing import Final, Literal

Split = Literal["train", "val"]
Time = Literal["day", "sunset", "night"]
Size = Literal["small", "medium", "large"]
Setting = Literal["meadow", "lake", "sea", "desert", "street", "winter", "room"]

COLORS: Final[tuple[str, ...]] = (
    "red",
    "orange",
    "yellow",
    "green",
    "blue",
    "purple",
    "pink",
    "brown",
    "black",
    "white",
    "gray",
)

THING_CATEGORIES: Final[tuple[str, ...]] = (
    "car",
    "bus",
    "truck",
    "boat",
    "rocket",
    "house",
    "tree",
    "flower",
    "mushroom",
    "cactus",
    "fish",
    "dog",
    "cat",
    "bird",
    "butterfly",
    "snail",
    "turtle",
    "person",
    "apple",
    "cup",
    "book",
    "chair",
    "lamp",
    "umbrella",
    "hat",
    "balloon",
    "kite",
    "star",
    "heart",
    "ball",
)

STUFF_CATEGORIES: Final[tuple[str, ...]] = (
    "sky",
    "mountain",
    "grass",
    "sand",
    "water",
    "road",
    "snow",
    "wall",
    "floor",
    "rug",
    "fence",
)

TIMES: Final[tuple[Time, ...]] = ("day", "sunset", "night")
SETTINGS: Final[tuple[Setting, ...]] = ("meadow", "lake", "sea", "desert", "street", "winter", "room")

SYNONYMS: Final[dict[str, tuple[str, ...]]] = {
    "car": ("automobile",),
    "truck": ("lorry",),
    "rocket": ("spaceship",),
    "house": ("home",),
    "flower": ("blossom",),
    "cat": ("kitty",),
    "person": ("human",),
    "cup": ("mug",),
    "umbrella": ("parasol",),
    "grass": ("lawn",),
    "road": ("street",),
    "rug": ("carpet",),
    "purple": ("violet",),
    "gray": ("grey",),
    "small": ("little",),
    "large": ("big",),
}
"""Other words for a name, every one of which means the same here."""

IRREGULAR_PLURALS: Final[dict[str, str]] = {
    "bus": "buses",
    "cactus": "cactuses",
    "fish": "fish",
    "butterfly": "butterflies",
    "person": "people",
    "lorry": "lorries",
    "kitty": "kitties",
}

NUMBER_WORDS: Final[tuple[str, ...]] = (
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
)
"""A count as the captions write it. (Answers to "how many" are digits, as in VQAv2.)"""

HELD_OUT_PAIRS: Final[frozenset[tuple[str, str]]] = frozenset(
    (color, category)
    for category, colors in {
        "car": ("pink",),
        "bus": ("purple", "black"),
        "truck": ("yellow",),
        "boat": ("gray",),
        "rocket": ("green",),
        "house": ("orange",),
        "tree": ("white",),
        "flower": ("brown",),
        "mushroom": ("blue",),
        "cactus": ("red",),
        "fish": ("black",),
        "dog": ("purple",),
        "cat": ("yellow", "pink"),
        "bird": ("gray",),
        "butterfly": ("green",),
        "snail": ("orange",),
        "turtle": ("white",),
        "person": ("brown",),
        "apple": ("blue",),
        "cup": ("black",),
        "book": ("red",),
        "chair": ("purple",),
        "lamp": ("pink", "gray"),
        "umbrella": ("yellow",),
        "hat": ("green",),
        "balloon": ("white",),
        "kite": ("orange",),
        "star": ("blue",),
        "heart": ("brown",),
        "ball": ("red",),
    }.items()
    for color in colors
)
"""The (color, category) pairs no training scene or patch shows: 33 of 330, three of every color."""

ANSWERS: Final[tuple[str, ...]] = (
    "yes",
    "no",
    *(str(n) for n in range(9)),
    *COLORS,
    *THING_CATEGORIES,
    *STUFF_CATEGORIES,
    "left",
    "middle",
    "right",
    "small",
    "large",
    *TIMES,
)
"""Every answer a question of this world can have."""


def plural(noun: str) -> str:
    """The plural of a thing's name: `plural("butterfly") == "butterflies"`."""
    return IRREGULAR_PLURALS.get(noun, noun + "s")


def names(name: str) -> tuple[str, ...]:
    """A name and its synonyms, the name first."""
    return (name, *SYNONYMS.get(name, ()))
