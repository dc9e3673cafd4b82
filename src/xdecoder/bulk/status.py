"""How far labeling is, over all processes, and what failed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from xdecoder.bulk.destination import Destination
from xdecoder.bulk.joining import joined_labels

_WINDOW: Final = 600.0  # seconds that the rate is taken over


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An image that could not be labeled.

    Attributes:
        path: the image.
        error: why.
    """

    path: str
    error: str


@dataclass(frozen=True, kw_only=True)
class Status:
    """How far labeling is.

    Attributes:
        images: the images of the parts that have begun.
        labeled: images with labels.
        failures: images with an error alone, by their paths.
        shards_begun: parts that have begun.
        shards_done: parts that are done.
        shards: how many parts there are.
        joined: whether all rows are in the table.
        rate: images a second of all processes together, over the last minutes of work; None where fewer than
            two fragments tell it.
    """

    images: int
    labeled: int
    failures: tuple[Failure, ...]
    shards_begun: int
    shards_done: int
    shards: int
    joined: bool
    rate: float | None

    @property
    def seconds_left(self) -> float | None:
        """For the images of the parts that have begun; None where there is no rate."""
        left = self.images - self.labeled - len(self.failures)
        return None if self.rate is None or left < 0 else left / self.rate


def read_status(destination: Destination) -> Status:
    """How far the labels of a folder are.

    Raises:
        ValueError: a file is damaged, or made otherwise.
        OSError: the folder cannot be read.
    """
    labeled: set[str] = set()
    failed: dict[str, str] = {}

    def note(paths: Sequence[str], errors: Sequence[str | None]) -> None:
        for path, error in zip(paths, errors, strict=True):
            if error is None:
                labeled.add(path)
            else:
                failed[path] = error

    fragments = destination.fragments()
    written: list[tuple[float, int]] = []
    for name, rows in destination.read_keys(fragments):
        note(rows["path"].to_pylist(), rows["error"].to_pylist())
        written.append((destination.time_of(name), rows.num_rows))
    for batch in joined_labels(destination).batches(("path", "error")):
        note(batch["path"].to_pylist(), batch["error"].to_pylist())
    shards = destination.shards()
    return Status(
        images=sum(shard.images for shard in shards),
        labeled=len(labeled),
        failures=tuple(Failure(path=p, error=failed[p]) for p in sorted(failed.keys() - labeled)),
        shards_begun=len(shards),
        shards_done=sum(shard.done for shard in shards),
        shards=shards[0].count if shards else 0,
        joined=not fragments,
        rate=_rate(written, max((shard.since for shard in shards), default=time.time())),
    )


def _rate(written: Sequence[tuple[float, int]], since: float) -> float | None:
    """Images a second, from when fragments were written and how many rows they have."""
    if not written:
        return None
    end = max(moment for moment, _ in written)
    begin = max(end - _WINDOW, min(since, min(moment for moment, _ in written)))
    rows = sum(count for moment, count in written if moment > begin)
    return rows / (end - begin) if end > begin and rows else None
