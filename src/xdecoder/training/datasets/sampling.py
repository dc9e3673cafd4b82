"""Which sample stands at which place of an endless series of epochs, so that a run goes on exactly.

Nothing here has a state: a place is a number, counted over all processes and steps, and the sample that
stands there follows from it and the seed alone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from xdecoder.data.catalog import DATASETS
from xdecoder.data.classes import categories_of
from xdecoder.data.dataset import Dataset
from xdecoder.data.opening import open_dataset
from xdecoder.data.pair_files import PairFiles, open_pairs
from xdecoder.data.records import Sample, Task

_CYCLE: Final = 1 << 10
"""Places after which the choice among mixed sources repeats."""


@final
class Samples:
    """The samples of one kind of data, in a random order of their own in each epoch.

    Args:
        sources: data sets, or pairs on disk.
        weights: how often samples are taken from each.
        seed: that the orders follow from.
        buffer: samples that are shuffled together where they come from files that are read best in a row
            (tar shards, tables): the files are shuffled, and then their samples within such windows.
    """

    def __init__(
        self,
        sources: Sequence[Sequence[Sample]],
        *,
        seed: int,
        weights: Sequence[float] = (1.0,),
        buffer: int = 10_000,
    ) -> None:
        self.sources = tuple(sources)
        self.weights = tuple(weights)
        self.seed = seed
        self.buffer = buffer

    def __len__(self) -> int:
        return sum(map(len, self.sources))

    def find(self, place: int, attempt: int = 0) -> tuple[int, int]:
        """The source at a place, and which of its samples; later attempts give what stands in for it."""
        cycle, rest = divmod(place, len(self._pattern))
        number = int(self._pattern[rest])
        within = cycle * int(self._counts[number]) + int(self._ranks[rest])
        length = len(self.sources[number])
        order = self._order(number, within // length)
        return number, (int(order[within % length]) + attempt) % length

    def read(self, place: int, attempt: int = 0) -> Sample:
        """The sample at a place."""
        number, index = self.find(place, attempt)
        return self.sources[number][index]

    @cached_property
    def _pattern(self) -> NDArray[np.int64]:
        """The sources of a cycle of places, each as often as it weighs, evenly spread."""
        if len(self.sources) == 1:
            return np.zeros(1, np.int64)
        shares = np.array(self.weights) / sum(self.weights)
        taken = np.zeros(len(shares))
        pattern = np.zeros(_CYCLE, np.int64)
        for place in range(_CYCLE):
            pattern[place] = int(np.argmax(shares * (place + 1) - taken))
            taken[pattern[place]] += 1
        return pattern

    @cached_property
    def _counts(self) -> NDArray[np.int64]:
        return np.bincount(self._pattern, minlength=len(self.sources))

    @cached_property
    def _ranks(self) -> NDArray[np.int64]:
        """Of each place of a cycle: how often its source came before."""
        return np.array([np.sum(self._pattern[:i] == k) for i, k in enumerate(self._pattern)])

    def _order(self, number: int, epoch: int) -> NDArray[np.int64]:
        source = self.sources[number]
        starts = source.starts if isinstance(source, PairFiles) else (0, len(source))
        return epoch_order(starts, self.seed, number, epoch, self.buffer)


@lru_cache(maxsize=8)
def epoch_order(
    starts: tuple[int, ...], seed: int, number: int, epoch: int, buffer: int
) -> NDArray[np.int64]:
    """A random order of the samples of some files.

    Args:
        starts: the number of each file's first sample, and of all samples. One file, whose samples can be
            read in any order, is shuffled whole.
        seed: that the orders follow from.
        number: of the source, among those of its part; each has orders of its own.
        epoch: how often all samples came before.
        buffer: samples shuffled together, where there are several files.
    """
    rng = np.random.default_rng((seed, 1, epoch) if not number else (seed, 1, epoch, number))
    if len(starts) == 2:
        return rng.permutation(starts[1])
    files = rng.permutation(len(starts) - 1)
    order = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in files])
    for first in range(0, len(order), buffer):
        rng.shuffle(order[first : first + buffer])
    return order


def open_source(dataset: str, root: object, *, task: Task, split: str) -> Sequence[Sample]:
    """A data set of the catalog, some of its splits joined by "+", or pairs on disk by their path.

    Args:
        dataset: a name of the catalog; for captions also what `open_pairs` takes.
        root: the folder that holds the catalog's data sets.
        task: what the samples shall carry.
        split: one or more, "train+restval"; empty for the first.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: there is no such data set or split, or it is malformed.
    """
    if task == "caption" and is_path(dataset):
        return open_pairs(dataset)
    parts = [open_dataset(dataset, str(root), task=task, split=word or None) for word in split.split("+")]
    if len(parts) == 1:
        return parts[0]
    return Dataset(
        (sample for part in parts for sample in part),
        name=dataset,
        task=task,
        split=split,
        vocabulary=parts[0].vocabulary,
        skipped=[skip for part in parts for skip in part.skipped],
    )


def repeat_rare(data: Dataset[Sample], threshold: float) -> Dataset[Sample]:
    """A data set in which images of rare classes are there more than once (Gupta et al. 2019, appendix B).

    A class in a share f of the images has the factor max(1, sqrt(threshold / f)), an image the largest factor
    of its classes. Fractions are rounded so that they add up over the images, in their order. All label maps
    are read.

    Args:
        data: segmented samples; those that cannot be read are there once.
        threshold: share of the images below which a class is rare.
    """
    classes: list[set[int]] = []
    for sample in data:
        found: set[int] = set()
        with suppress(ValueError, OSError):
            found.update(categories_of(sample))
        classes.append(found)
    images = Counter(category for found in classes for category in found)
    factors = [
        max([1.0, *(math.sqrt(threshold * len(data) / images[category]) for category in found)])
        for found in classes
    ]
    times = np.diff(np.floor(np.cumsum(factors) + 1e-9), prepend=0).astype(int)
    return data.pick(place for place, count in enumerate(times.tolist()) for _ in range(count))


def is_path(dataset: str) -> bool:
    """Whether a data set is named by where it lies, not by its name in the catalog."""
    if any(mark in dataset for mark in ("/", "\\", "~")):
        return True
    return dataset.endswith((".tar", ".arrow", ".parquet")) or (
        dataset not in DATASETS and Path(dataset).exists()
    )
