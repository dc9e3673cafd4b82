"""What a row of the table of data sets says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from xdecoder.data.records import Task
from xdecoder.data.selection import Loader


@final
@dataclass(frozen=True, kw_only=True)
class DatasetSplit:
    """A split: its name on disk and the number of its images (0: whatever is there)."""

    word: str
    images: int = 0


@final
@dataclass(frozen=True, kw_only=True)
class Origin:
    """A download: its size, where it comes from and on what terms."""

    size: str
    source: str
    license: str


@final
@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """One row of the table.

    Attributes:
        title: what it is.
        files: for each task, the paths it needs under the root; `a|b` says that either will do.
        splits: by name; the first is the one that `open_dataset` takes unless told.
        origin: the download.
        vocabulary: where class names come from.
        loader: opens one task and split.
    """

    title: str
    files: Mapping[Task, tuple[str, ...]]
    splits: Mapping[str, DatasetSplit]
    origin: Origin
    vocabulary: str
    loader: Loader

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What its samples can carry."""
        return tuple(self.files)
