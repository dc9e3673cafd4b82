"""How often each class of a data set occurs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, final

from xdecoder.data.decoding import CocoPanoptic
from xdecoder.data.records import (
    VOID,
    InstanceSample,
    ListedAnnotations,
    PanopticSample,
    Sample,
    SemanticSample,
    StoredPanoptic,
    Task,
)
from xdecoder.vocabularies import Vocabulary, normal_name

_BAR: Final = "█"
_WIDTH: Final = 30  # characters of the longest bar
_MOST: Final = 20  # classes that are named
RARE: Final = 10
"""A class that occurs fewer times is called rare."""


@final
@dataclass(frozen=True, kw_only=True)
class ClassCount:
    """A class, how many segments it has and in how many images; of label maps, images alone."""

    name: str
    segments: int
    images: int


def count_classes(vocabulary: Vocabulary, samples: Iterable[Sample]) -> tuple[ClassCount, ...]:
    """Classes by how often samples have them, in the order of the vocabulary.

    Samples whose annotations cannot be read are passed over; who decodes them tells.
    """
    segments: Counter[int] = Counter()
    images: Counter[int] = Counter()
    for sample in samples:
        with suppress(ValueError, OSError):
            found = categories_of(sample)
            segments.update(found)
            images.update(set(found))
    return tuple(
        ClassCount(name=name, segments=segments[i], images=images[i])
        for i, name in enumerate(vocabulary.classes)
    )


def is_listed(sample: Sample) -> bool:
    """Whether the annotation file itself says what is in a sample."""
    if isinstance(sample, InstanceSample):
        return isinstance(sample.region_source, ListedAnnotations)
    return isinstance(sample, PanopticSample) and isinstance(sample.panoptic_source, CocoPanoptic)


def categories_of(sample: Sample) -> list[int]:
    """The class of each segment of a sample; of label maps, each class once; of other samples none.

    Raises:
        FileNotFoundError: a map is missing.
        ValueError: it is malformed.
    """
    if isinstance(sample, InstanceSample):
        return [region.category for region in sample.regions()]
    if isinstance(sample, PanopticSample):
        source: StoredPanoptic = sample.panoptic_source
        listed = source.segments if isinstance(source, CocoPanoptic) else source.load().segments
        return [segment.category for segment in listed]
    if isinstance(sample, SemanticSample):
        return [int(i) for i in set(sample.labels().ravel().tolist()) if i != VOID]
    return []


def alike(names: Iterable[str]) -> list[str]:
    """Names that the text encoder reads alike, normalized: they differ in case or spaces, or not at all."""
    counts = Counter(normal_name(name) for name in names)
    return sorted(name for name, count in counts.items() if count > 1)


def all_things_note(task: Task, words: Vocabulary) -> str | None:
    """A line on several panoptic classes of which none is stuff; None for others."""
    if task != "panoptic" or len(words) == 1 or len(words.things) < len(words):
        return None
    return (
        "every class is a thing, told apart object by object. What is no object, as sky, is stuff: write "
        '"isthing": 0 at its category'
    )


def bar_chart(counts: Iterable[ClassCount]) -> str:
    """The most frequent classes as bars of text, one a line; below them the rare and the absent by name."""
    ordered = sorted(counts, key=lambda c: -c.segments)
    shown = [c for c in ordered if c.segments][:_MOST]
    longest = max((len(c.name) for c in shown), default=0)
    lines = [
        f"{c.name:<{longest}}  {_BAR * max(1, round(_WIDTH * c.segments / shown[0].segments))} "
        f"{c.segments} in {c.images} image{'' if c.images == 1 else 's'}"
        for c in shown
    ]
    rest = sum(1 for c in ordered if c.segments) - len(shown)
    if rest:
        lines.append(f"... and {rest} more classes")
    for title, names in (
        (f"rare (fewer than {RARE}): ", [c.name for c in ordered if 0 < c.segments < RARE]),
        ("never: ", [c.name for c in ordered if not c.segments]),
    ):
        if names:
            more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
            lines.append(title + ", ".join(names[:_MOST]) + more)
    return "\n".join(lines)
