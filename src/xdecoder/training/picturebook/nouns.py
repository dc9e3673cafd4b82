"""The nouns that a caption of a drawn scene says, as it says them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xdecoder.picturebook import COLORS, STUFF_CATEGORIES, THING_CATEGORIES, names, plural

_COLORS: Final[Mapping[str, str]] = {form: color for color in COLORS for form in names(color)}
_NOUNS: Final[Mapping[str, tuple[str, str]]] = {
    written: (form, name)
    for name in (*THING_CATEGORIES, *STUFF_CATEGORIES)
    for form in names(name)
    for written in (form, plural(form))
}
"""A noun as written -> its singular, and the name that it means."""


def caption_nouns(caption: str) -> dict[str, str]:
    """What each noun phrase means, by the world's first names -> the phrase as said, in the singular.

    A noun keeps its color where this stands before it: "two violet mugs" gives "purple cup": "violet mug".
    """
    words = caption.replace(",", "").split()
    found: dict[str, str] = {}
    for before, word in zip(["", *words], words, strict=False):
        if word in _NOUNS:
            said, meant = _NOUNS[word]
            color = _COLORS.get(before)
            if color is None:
                found.setdefault(meant, said)
            else:
                found.setdefault(f"{color} {meant}", f"{before} {said}")
    return found
