"""Everything that can be in a scene, as the vocabulary that a model is asked for."""

from __future__ import annotations

from typing import Final

from xdecoder.vocabularies import Vocabulary, built_in

VOCABULARY: Final[Vocabulary] = built_in("picturebook")
