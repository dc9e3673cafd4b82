"""Three numberings of classes: as the model is asked, as the data set's samples count, as its files say."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import final

from xdecoder.data.selection import things_of
from xdecoder.evaluation.benchmark import Benchmark
from xdecoder.vocabularies import Vocabulary, built_in


@final
@dataclass(frozen=True, kw_only=True)
class BenchmarkClasses:
    """The classes of a benchmark.

    Attributes:
        asked: what the model is asked for.
        truth: the data set's classes.
        category: of each asked class, its place in `truth`; None for one that the data set does not score.
        ids: of each class of `truth`, its id in the data set's files.
    """

    asked: Vocabulary
    truth: Vocabulary
    category: tuple[int | None, ...]
    ids: tuple[int, ...]

    def present(self, categories: Collection[int]) -> tuple[Vocabulary, tuple[int, ...]]:
        """The asked classes that are among some of the data set's, and their places in `asked`.

        Raises:
            ValueError: there are none.
        """
        kept = tuple(i for i, category in enumerate(self.category) if category in categories)
        if not kept:
            raise ValueError("no class of the vocabulary is in the image's truth: nothing to ask for")
        return Vocabulary(
            classes=tuple(self.asked.classes[i] for i in kept),
            things=frozenset(k for k, i in enumerate(kept) if i in self.asked.things),
            name=f"{self.asked.name}, those present",
        ), kept

    def id_of(self, asked: int) -> int | None:
        """The id in the data set's files of an asked class."""
        category = self.category[asked]
        return None if category is None else self.ids[category]

    @property
    def name_of_id(self) -> dict[int, str]:
        """Class names by the id in the data set's files."""
        return dict(zip(self.ids, self.truth.classes, strict=True))


def classes_of(
    benchmark: Benchmark, truth: Vocabulary, ids: tuple[int, ...], background: tuple[str, ...] = ()
) -> BenchmarkClasses:
    """The classes of a benchmark.

    Args:
        benchmark: whose classes are asked for.
        truth: the data set's vocabulary.
        ids: of each of its classes, the id in its files.
        background: what its last class, a background, is made of; it is asked for by these names.

    Raises:
        ValueError: the data set's classes are neither the benchmark's nor its things.
    """
    if background:
        last = len(truth) - 1
        asked = replace(truth, classes=(*truth.classes[:-1], *background), name=truth.name)
        category = (*range(last), *(last for _ in background))
        return BenchmarkClasses(asked=asked, truth=truth, category=category, ids=ids)
    asked = built_in(benchmark.vocabulary) if benchmark.vocabulary else truth
    if benchmark.asked == "things":
        asked = things_of(asked)
    if asked.classes == truth.classes:
        category = tuple(range(len(asked)))
    elif things_of(asked).classes == truth.classes:
        place = {thing: k for k, thing in enumerate(sorted(asked.things))}
        category = tuple(place.get(i) for i in range(len(asked)))
    else:
        raise ValueError(
            f"{benchmark.name}: the data set's {len(truth)} classes are neither those of {asked.name!r} nor "
            "its things; check which release of the data set this is"
        )
    return BenchmarkClasses(asked=asked, truth=truth, category=category, ids=ids)
