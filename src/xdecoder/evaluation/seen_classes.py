"""How far a vocabulary is from the one that a model was trained on: classes that it saw, and nearest ones.

A class is seen when one of its names (a long name lists several, with commas) is a training class's, in the
form in which names are compared (`vocabularies.normal_name`).
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from xdecoder.vocabularies import normal_name

TRAINED = "coco"
"""The vocabulary that the published models were trained on."""


@final
@dataclass(frozen=True, kw_only=True)
class ClassNeighbor:
    """A class, and the training classes that are nearest to it.

    Attributes:
        name: the class.
        seen: whether it is among the training classes.
        by_embedding: the training classes of the most alike text embeddings, and their cosines.
        by_spelling: the training class that is spelled most alike, and how much, from 0 to 1.
    """

    name: str
    seen: bool
    by_embedding: tuple[tuple[str, float], ...]
    by_spelling: tuple[str, float]


def is_seen(name: str, trained: Collection[str]) -> bool:
    """Whether a class is among the training classes."""
    known = {part for other in trained for part in _names(other)}
    return not known.isdisjoint(_names(name))


def nearest_classes(
    classes: Sequence[str],
    trained: Sequence[str],
    *,
    embeddings: Float[np.ndarray, "K P"],
    trained_embeddings: Float[np.ndarray, "T P"],
    count: int = 3,
) -> tuple[ClassNeighbor, ...]:
    """The nearest training classes of each class.

    Args:
        classes: names of a benchmark's classes.
        trained: names of the training classes.
        embeddings: text embeddings of the classes, of unit length.
        trained_embeddings: of the training classes, likewise.
        count: how many neighbors by embedding.
    """
    cosines = embeddings @ trained_embeddings.T
    neighbors: list[ClassNeighbor] = []
    for name, row in zip(classes, cosines, strict=True):
        best = np.argsort(-row, kind="stable")[:count].tolist()
        alike: list[float] = [
            max(_alike(a, b) for a in _names(name) for b in _names(other)) for other in trained
        ]
        closest = int(np.argmax(alike))
        neighbors.append(
            ClassNeighbor(
                name=name,
                seen=is_seen(name, trained),
                by_embedding=tuple((trained[int(k)], float(row[k])) for k in best),
                by_spelling=(trained[closest], alike[closest]),
            )
        )
    return tuple(neighbors)


def means_by_seen(per_class: Mapping[str, float], trained: Collection[str]) -> dict[str, float]:
    """The mean of the classes' scores over those that were seen and those that were not.

    Args:
        per_class: class -> score; NaN for a class that does not occur.
        trained: names of the training classes.

    Returns:
        "seen" and "unseen" -> mean, NaN where no such class occurs.
    """
    of: dict[str, list[float]] = {"seen": [], "unseen": []}
    for name, value in per_class.items():
        if not math.isnan(value):
            of["seen" if is_seen(name, trained) else "unseen"].append(value)
    return {kind: math.fsum(v) / len(v) if v else math.nan for kind, v in of.items()}


def _names(name: str) -> tuple[str, ...]:
    return tuple(normal_name(part) for part in name.split(",") if part.strip())


def _alike(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, a, b).ratio()
