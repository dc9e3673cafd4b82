"""What an index was made with: an index serves that model and that vocabulary alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, cast

from xdecoder.predictor.predictor import Predictor
from xdecoder.vocabularies import Vocabulary

_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class IndexConfig:
    """A model, a vocabulary and how images are read: what embeddings and segments depend on.

    Attributes:
        weights: what `xdecoder.load` takes to load the model, as who made the index named it.
        model: its digest (`Predictor.digest`).
        width: numbers in an embedding.
        vocabulary: the classes of the segments.
        short_side: pixels that images' shorter sides are resized to; None for the model's own.
        regions: whether images' segments are indexed, not whole images alone.
    """

    weights: str
    model: str
    width: int
    vocabulary: Vocabulary
    short_side: int | None
    regions: bool = True

    def check_model(self, predictor: Predictor, *, place: str) -> None:
        """Refuse a model that did not make the index.

        Args:
            predictor: the model that the index is to be used with.
            place: where the index lies.

        Raises:
            ValueError: it is another one.
        """
        found = predictor.digest()
        if found != self.model:
            raise ValueError(
                f"{place} was indexed with other weights: {self.weights} ({self.model[:8]}), not these "
                f"({found[:8]}); embeddings of two models cannot be compared. Load {self.weights}, or make "
                "an index of these weights elsewhere"
            )

    def check_settings(
        self,
        vocabulary: Vocabulary | None,
        short_side: int | None,
        regions: bool | None = None,
        *,
        place: str,
    ) -> None:
        """Refuse to add to the index what would be segmented or read in another way.

        Args:
            vocabulary: the classes asked for; None for those of the index.
            short_side: the size asked for; None for that of the index.
            regions: whether regions are asked for; None for as the index has it.
            place: where the index lies.

        Raises:
            ValueError: they are not the index's.
        """
        own = self.vocabulary
        if vocabulary and (vocabulary.classes, vocabulary.things) != (own.classes, own.things):
            raise ValueError(
                f"{place} was indexed with another vocabulary: {_in_words(own)}, not "
                f"{_in_words(vocabulary)}; leave the vocabulary out to go on with that one, or make another "
                "index"
            )
        if regions is not None and regions != self.regions:
            there, asked = ("images and regions", "images alone")[:: 1 if self.regions else -1]
            raise ValueError(
                f"{place} was indexed with {there}, not {asked}; go on as it was made, or make another index"
            )
        if short_side and short_side != self.short_side:
            raise ValueError(
                f"{place} was indexed with short_side {self.short_side or 'of the model'}, not {short_side}; "
                "leave it out to go on with that one, or make another index"
            )

    def to_json(self) -> str:
        """The record as text."""
        return json.dumps(
            {
                "format": _FORMAT,
                "weights": self.weights,
                "model": self.model,
                "width": self.width,
                "short_side": self.short_side,
                "regions": self.regions,
                "vocabulary": self.vocabulary.name,
                "classes": self.vocabulary.classes,
                "things": sorted(self.vocabulary.things),
            }
        )

    @classmethod
    def from_json(cls, text: str, *, place: str) -> IndexConfig:
        """The inverse of `to_json`.

        Args:
            text: the record.
            place: where it was found.

        Raises:
            ValueError: a later version of this program wrote it.
        """
        data = cast("dict[str, Any]", json.loads(text))
        if data["format"] != _FORMAT:
            raise ValueError(
                f"{place} is an index of format {data['format']}, this program reads format {_FORMAT}; make "
                "the index again with this version, or update xdecoder"
            )
        return cls(
            weights=data["weights"],
            model=data["model"],
            width=data["width"],
            vocabulary=Vocabulary(
                classes=tuple(data["classes"]), things=frozenset(data["things"]), name=data["vocabulary"]
            ),
            short_side=data["short_side"],
            regions=data.get("regions", True),  # an index made before there was a choice has them
        )


def _in_words(vocabulary: Vocabulary) -> str:
    few = ", ".join(vocabulary.classes[:3])
    return f"{vocabulary.name!r} ({len(vocabulary)} classes: {few}{', ...' if len(vocabulary) > 3 else ''})"
