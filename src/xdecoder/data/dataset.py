"""`Dataset`: an immutable sequence of samples, kept as one block of bytes.

Worker processes share the block instead of copying a hundred thousand Python objects, and a sample costs what
its record needs, not what its image weighs.
"""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar, final, overload
from urllib.parse import unquote

import numpy as np

from xdecoder.data.records import Sample, Task
from xdecoder.vocabularies import Vocabulary

S_co = TypeVar("S_co", bound=Sample, covariant=True)
T = TypeVar("T")
Missing = Literal["error", "skip"]
_UPLOADED = re.compile("^[0-9a-f]{8}-")  # what Label Studio puts before the name of an uploaded file


def spread(items: Sequence[T], count: int) -> Iterator[T]:
    """At most `count` items, evenly spread."""
    count = min(count, len(items))
    return (items[i * len(items) // count] for i in range(count))


@final
@dataclass(frozen=True, kw_only=True)
class Skip:
    """Something that was left out, and why."""

    item: str
    reason: str


@final
class Dataset(Sequence[S_co], Generic[S_co]):
    """Samples of one data set, one task and one split.

    Attributes:
        name: the data set.
        task: what its samples carry.
        split: which part.
        vocabulary: the class names that category indexes point into; None for text-only data.
        category_ids: of each class of the vocabulary, the id that the data set's own files give it; 1, 2, ...
            where they give none.
        background: what the last class, a background, is made of, by name; empty for other data sets.
        frequencies: of LVIS, whether a class is rare, common or frequent: "r", "c" or "f".
        skipped: what was left out on opening, and why.
    """

    def __init__(
        self,
        samples: Iterable[S_co],
        *,
        name: str,
        task: Task,
        split: str = "",
        vocabulary: Vocabulary | None = None,
        category_ids: Sequence[int] = (),
        background: Sequence[str] = (),
        frequencies: Sequence[str] = (),
        skipped: Sequence[Skip] = (),
    ) -> None:
        packed = [pickle.dumps(sample, protocol=pickle.HIGHEST_PROTOCOL) for sample in samples]
        if not packed:
            left_out = f"; {len(skipped)} left out, the first: {skipped[0].reason}" if skipped else ""
            raise ValueError(f"{name} ({split or 'all'}): no samples{left_out}; check the split and the root")
        self.name = name
        self.task: Task = task
        self.split = split
        self.vocabulary = vocabulary
        self.category_ids = tuple(category_ids) or tuple(range(1, len(vocabulary or ()) + 1))
        self.background = tuple(background)
        self.frequencies = tuple(frequencies)
        self.skipped = tuple(skipped)
        self._ends = np.cumsum([len(p) for p in packed], dtype=np.int64)
        self._bytes = b"".join(packed)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> S_co: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[S_co]: ...
    def __getitem__(self, index: int | slice) -> S_co | Sequence[S_co]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(f"{self.name}: sample {index} of {len(self)}")
        start = int(self._ends[position - 1]) if position else 0
        return pickle.loads(memoryview(self._bytes)[start : int(self._ends[position])])

    def __iter__(self) -> Iterator[S_co]:
        for i in range(len(self)):
            yield self[i]

    def first(self, count: int) -> Dataset[S_co]:
        """The first `count` samples as a data set of their own."""
        return self.pick(range(min(count, len(self))))

    def pick(self, places: Iterable[int]) -> Dataset[S_co]:
        """Some samples as a data set of their own; one may be there several times."""
        return Dataset(
            (self[place] for place in places),
            name=self.name,
            task=self.task,
            split=self.split,
            vocabulary=self.vocabulary,
            category_ids=self.category_ids,
            background=self.background,
            frequencies=self.frequencies,
            skipped=self.skipped,
        )

    def __repr__(self) -> str:
        return (
            f"Dataset({self.name!r}, task={self.task!r}, split={self.split!r}, {len(self)} samples, "
            f"{len(self.skipped)} skipped)"
        )


@final
class ExistingFiles:
    """Which of the named files exist, with each folder listed once; absent ones are refused or recorded.

    Args:
        what: the data set's name, for messages.
        missing: "error" to refuse a data set with absent files, "skip" to record them in `skips`.
    """

    def __init__(self, what: str, missing: Missing) -> None:
        self.what = what
        self.missing: Missing = missing
        self.skips: list[Skip] = []
        self._listed: dict[str, frozenset[str]] = {}
        self._found: dict[str, str] = {}
        self._clashes: list[str] = []

    def has(self, *paths: str) -> bool:
        """Whether every file exists; an absent one is recorded."""
        absent = [p for p in paths if not self._exists(p)]
        self.skips.extend(Skip(item=p, reason=f"missing file {p}") for p in absent)
        return not absent

    def finish(self) -> tuple[Skip, ...]:
        """What was absent.

        Raises:
            FileNotFoundError: something was, and `missing` is "error".
            ValueError: two names lead to one file.
        """
        if self._clashes:
            raise ValueError(
                f"{self.what}: {len(self._clashes)} file(s) are named twice: {self._clashes[0]}; keep the "
                "folders that tell them apart"
            )
        if self.skips and self.missing == "error":
            named = "".join(f"\n  {s.item}" for s in self.skips[:5])
            raise FileNotFoundError(
                f'{self.what}: {len(self.skips)} file(s) missing; unpack them or open with missing="skip" '
                f"to leave them out. The first:{named}"
            )
        return tuple(self.skips)

    def find(self, folder: Path, name: str) -> str:
        """The path of a file that data names, in a folder and nowhere else.

        Names as other tools write them (backslashes, absolute paths, Label Studio's "/data/local-files/?d=")
        are found by as many of their last parts as there are in the folder.
        """
        parts = name_parts(name)
        whole = str(folder.joinpath(*parts))
        for start in range(len(parts)):
            for last in last_names(parts[-1]):
                path = str(folder.joinpath(*parts[start:-1], last))
                if self._exists(path):
                    if (other := self._found.setdefault(path, name)) != name:
                        self._clashes.append(f"{other!r} and {name!r} both lead to {path}")
                    return path
        return whole

    def _exists(self, path: str) -> bool:
        folder, name = os.path.split(path)
        if folder not in self._listed:
            try:
                self._listed[folder] = frozenset(entry.name for entry in os.scandir(folder))
            except (OSError, ValueError):  # absent, no folder, or no possible name
                self._listed[folder] = frozenset()
        return name in self._listed[folder]


def last_names(name: str) -> tuple[str, ...]:
    """What a file of a tool's name may be called: so, or without what Label Studio put before it."""
    return tuple(dict.fromkeys((name, _UPLOADED.sub("", name))))


def name_parts(name: str) -> list[str]:
    """The parts of a path as any system or tool writes it, none of which leads upward."""
    plain = name.replace("\\", "/")
    if "?d=" in plain:
        plain = unquote(plain.split("?d=", 1)[1])
    elif "://" in plain:
        plain = unquote(plain.split("://", 1)[1])
    parts = [p for p in plain.split("/") if p not in ("", ".", "..") and not re.fullmatch("[A-Za-z]:", p)]
    return parts or ["(no name)"]


def group_by(items: Iterable[T], key: Callable[[T], Hashable]) -> dict[Hashable, list[T]]:
    """Items by key, in order of appearance."""
    groups: dict[Hashable, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups
