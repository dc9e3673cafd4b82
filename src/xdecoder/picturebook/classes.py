"""Everything that can be in a scene, as the vocabulary that a model is asked for."""

from __future__ import annotations

from typing import Final

from xdecoder.picturebook.vocabulary import STUFF_CATEGORIES, THING_CATEGORIES
from xdecoder.vocabularies import Vocabulary

VOCABULARY: Final = Vocabulary(
    classes=(*THING_CATEGORIES, *STUFF_CATEGORIES),
    things=frozenset(range(len(THING_CATEGORIES))),
    name="picturebook",
)
