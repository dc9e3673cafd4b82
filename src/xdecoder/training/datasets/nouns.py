"""The nouns of captions, in dictionary forms."""

from __future__ import annotations

import re
from typing import Any, final

_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")


@final
class NounFinder:
    """Finds the nouns of English captions, and the dictionary forms of words.

    Raises:
        ImportError: the tagger is not installed.
    """

    def __init__(self) -> None:
        try:
            from HanTa.HanoverTagger import HanoverTagger
        except ImportError as error:
            raise ImportError("the nouns of captions need HanTa: pip install 'xdecoder[train]'") from error
        self._tagger: Any = HanoverTagger("morphmodel_en.pgz")

    def nouns(self, caption: str) -> dict[str, str]:
        """The nouns, as they are written, by their dictionary forms; neighbors are one: "traffic light"."""
        found: dict[str, str] = {}
        run: list[tuple[str, str]] = []
        for word, lemma, tag in (*self._tagged(caption), ("", "", "")):
            if tag.startswith("NN"):
                run.append((word, lemma))
            elif run:
                words, lemmas = zip(*run, strict=True)
                found.setdefault(" ".join(lemmas), " ".join(words))
                run = []
        return found

    def meaning(self, name: str) -> str:
        """A class's name in dictionary forms: "parking meters" is "parking meter"."""
        return " ".join(lemma for _, lemma, _ in self._tagged(name))

    def _tagged(self, text: str) -> list[tuple[str, str, str]]:
        """Each word, its dictionary form, and its part of speech (NN... for nouns)."""
        return self._tagger.tag_sent(_WORD.findall(text.lower()))
