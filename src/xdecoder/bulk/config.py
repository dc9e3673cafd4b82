"""What labels are made with: rows of one table are of one model and one set of options."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast, get_args

from xdecoder.bounds import require
from xdecoder.jobs.fingerprint import differences
from xdecoder.predictor.options import EncodeOptions
from xdecoder.predictor.predictor import Predictor
from xdecoder.vocabularies import Vocabulary

Verb = Literal["segment", "caption", "embed"]

_FORMAT: Final = 1


def check_verbs(verbs: Sequence[str]) -> tuple[Verb, ...]:
    """Verbs by their names, each once, in one order.

    Raises:
        ValueError: there are none, or one is unknown.
    """
    known = get_args(Verb)
    unknown = [verb for verb in verbs if verb not in known]
    require(
        bool(verbs) and not unknown,
        f"verbs must be some of {', '.join(known)}; got {', '.join(unknown) or 'none'}",
    )
    return tuple(verb for verb in known if verb in verbs)


@dataclass(frozen=True, kw_only=True)
class LabelingConfig:
    """A model, and what it is asked.

    Attributes:
        weights: what `xdecoder.load` takes to load the model, as who began named it.
        model: its digest (`Predictor.digest`).
        dtype: the kind of numbers that it runs in.
        width: numbers in an embedding.
        verbs: what is asked.
        vocabulary: the classes of segments; None where none are asked for.
        short_side: pixels that images' shorter sides are resized to; None for the model's own.
    """

    weights: str
    model: str
    dtype: str
    width: int
    verbs: tuple[Verb, ...]
    vocabulary: Vocabulary | None
    short_side: int | None

    @classmethod
    def of(
        cls,
        predictor: Predictor,
        verbs: Sequence[str],
        *,
        vocabulary: Vocabulary | None = None,
        short_side: int | None = None,
        weights: str = "picturebook",
    ) -> LabelingConfig:
        """What a model is to be asked.

        Args:
            predictor: the model.
            verbs: some of "segment", "caption" and "embed".
            vocabulary: the classes of segments; by default the model's own.
            short_side: pixels that images' shorter sides are resized to; by default the model's own.
            weights: what `xdecoder.load` takes to load the model.

        Raises:
            ValueError: an unknown verb, a size that cannot be, a vocabulary and no segments, or captions of a
                model that has none.
        """
        asked = check_verbs(verbs)
        EncodeOptions(short_side=short_side)
        require(
            vocabulary is None or "segment" in asked,
            "a vocabulary says nothing without segments: add the verb segment, or leave the vocabulary out",
        )
        if "caption" in asked:
            predictor.caption([])  # refuses a model without captions
        return cls(
            weights=weights,
            model=predictor.digest(),
            dtype=predictor.model.dtype,
            width=predictor.config.embed_width,
            verbs=asked,
            vocabulary=(vocabulary or predictor.default_vocabulary) if "segment" in asked else None,
            short_side=short_side,
        )

    @property
    def options(self) -> str:
        """A digest of all but the model: 32 hexadecimal digits."""
        facts = {name: value for name, value in self._facts().items() if name != "model"}
        return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=16).hexdigest()

    def check(self, other: LabelingConfig, *, place: str) -> None:
        """Refuse what is made otherwise.

        Args:
            other: what is to join it.
            place: where this one's labels are.

        Raises:
            ValueError: saying in what they differ.
        """
        if differing := differences(self._shown(other), other._shown(self)):
            raise ValueError(
                f"{place} holds labels made otherwise ({differing}): leave the options as they were, or give "
                "another --to"
            )

    def to_json(self) -> str:
        """The record as text."""
        return json.dumps({"format": _FORMAT, "weights": self.weights, "width": self.width, **self._facts()})

    @classmethod
    def from_json(cls, text: str | bytes, *, place: str) -> LabelingConfig:
        """The inverse of `to_json`.

        Args:
            text: the record.
            place: where it was found.

        Raises:
            ValueError: it is no such record, or a later version of this program wrote it.
        """
        try:
            data = cast("dict[str, Any]", json.loads(text))
            if data["format"] != _FORMAT:
                raise ValueError(f"format {data['format']}")
            words = data["vocabulary"]
            return cls(
                weights=str(data["weights"]),
                model=str(data["model"]),
                dtype=str(data["dtype"]),
                width=int(data["width"]),
                verbs=check_verbs(data["verbs"]),
                vocabulary=words
                and Vocabulary(
                    classes=tuple(words["classes"]), things=frozenset(words["things"]), name=words["name"]
                ),
                short_side=data["short_side"],
            )
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{place} says nothing of labels that this program reads ({error!r}); give another --to, or "
                "update xdecoder"
            ) from error

    def _facts(self) -> dict[str, Any]:
        """What rows depend on."""
        words = self.vocabulary
        return {
            "model": self.model,
            "dtype": self.dtype,
            "verbs": list(self.verbs),
            "vocabulary": words
            and {"name": words.name, "classes": list(words.classes), "things": sorted(words.things)},
            "short_side": self.short_side,
        }

    def _shown(self, other: LabelingConfig) -> dict[str, Any]:
        """What rows depend on, as it is told to people beside that of another; a model may have two names."""
        words = self.vocabulary
        in_words = None
        if words is not None:
            few = ", ".join(words.classes[:3]) + (", ..." if len(words) > 3 else "")
            in_words = f"{words.name}: {len(words)} classes ({few}), {self.options[:8]}"
        return {
            "model": self.model if self.model == other.model else f"{self.weights} ({self.model[:8]})",
            **{name: value for name, value in self._facts().items() if name not in ("model", "vocabulary")},
            "vocabulary": in_words,
        }
