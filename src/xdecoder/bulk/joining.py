"""Fragments joined into one table with each image once.

Fragments are taken in the order in which they were written, some thousand rows at a time, and are deleted
when their rows are in the table. A process that is killed in between loses nothing: rows that are in the
table already are passed over by the next. Of an image's rows, labels come before errors, and those of a
file's later content before those of an earlier.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import pyarrow as pa

from xdecoder.bulk.destination import LABELS, Destination, parquet_bytes
from xdecoder.jobs.folder_lock import hold_folder
from xdecoder.jobs.lance import open_table

_ROWS: Final = 16_384  # joined together, and held in memory


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredRow:
    """A row of the table.

    Attributes:
        key: what its labels are of.
        failed: it has an error instead of labels.
        part: the file that it is in; empty where the table has no such files.
    """

    key: str
    failed: bool
    part: str = ""


class JoinedLabels(ABC):
    """The table that fragments are joined into."""

    @abstractmethod
    def rows(self) -> dict[str, StoredRow]:
        """What is there, by the images' paths.

        Raises:
            ValueError: a file of it is damaged, or made otherwise.
        """

    @abstractmethod
    def put(self, rows: pa.Table, replaced: Mapping[str, StoredRow], name: str) -> None:
        """Add rows, in place of those of the same paths.

        Args:
            rows: each path once.
            replaced: the rows that are there of these paths.
            name: of the file of what is added, where the table has files.

        Raises:
            OSError: it cannot be written.
        """

    @abstractmethod
    def batches(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Some columns of all rows, a few thousand at a time."""


@final
class ParquetLabels(JoinedLabels):
    """Parquet files in the folder "labels", of some thousand rows each.

    Args:
        destination: the labels.
    """

    def __init__(self, destination: Destination) -> None:
        self._destination = destination

    def rows(self) -> dict[str, StoredRow]:
        return {
            path: StoredRow(key=key, failed=failed, part=part)
            for part, rows in self._destination.read_keys(self._parts())
            for path, key, failed in _keys_of(rows)
        }

    def put(self, rows: pa.Table, replaced: Mapping[str, StoredRow], name: str) -> None:
        place = self._destination.place
        for part in {row.part for row in replaced.values()}:
            table = self._destination.read(part)
            kept = table.filter(pa.array([path not in replaced for path in table["path"].to_pylist()]))
            if kept.num_rows:
                place.write(part, parquet_bytes(kept))
            else:
                place.delete(part)
        place.write(name, parquet_bytes(rows))

    def batches(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        for part in self._parts():
            yield self._destination.read(part, columns)

    def _parts(self) -> list[str]:
        return self._destination.place.names(LABELS)


@final
class LanceLabels(JoinedLabels):
    """The table "labels" of a LanceDB database, which is the destination.

    Args:
        destination: the labels.

    Raises:
        ImportError: LanceDB is not installed.
    """

    def __init__(self, destination: Destination) -> None:
        try:
            import lancedb
        except ImportError as error:
            raise ImportError("labels in Lance need LanceDB: pip install 'xdecoder[search]'") from error
        self._address = destination.place.address
        self._schema = destination.schema
        self._database = lancedb.connect(self._address)

    def rows(self) -> dict[str, StoredRow]:
        return {
            path: StoredRow(key=key, failed=failed)
            for batch in self.batches(("path", "key", "error"))
            for path, key, failed in _keys_of(batch)
        }

    def put(self, rows: pa.Table, replaced: Mapping[str, StoredRow], name: str) -> None:
        try:
            table = self._database.create_table("labels", schema=self._schema, exist_ok=True)
            merge = table.merge_insert("path").when_matched_update_all().when_not_matched_insert_all()
            merge.execute(rows, on_bad_vectors="null")  # images that failed have none
        except RuntimeError as error:
            raise OSError(f"{self._address}: labels could not be written to Lance: {error}") from error

    def batches(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        table = open_table(self._database, "labels")
        if table is not None:
            query = table.search().select(list(columns)).limit(None)
            for batch in query.to_batches():
                yield pa.Table.from_batches([batch])


def joined_labels(destination: Destination) -> JoinedLabels:
    """The table of a destination; errors as `LanceLabels`."""
    return LanceLabels(destination) if destination.format == "lance" else ParquetLabels(destination)


@dataclass(frozen=True, kw_only=True)
class KnownKeys:
    """What has rows, in fragments or in the table, by `rows.key_of`.

    Attributes:
        labeled: images with labels.
        failed: images with an error alone.
    """

    labeled: Collection[str]
    failed: Collection[str]


def known_keys(destination: Destination) -> KnownKeys:
    """What need not be done again.

    Raises:
        ValueError: a file is damaged, or made otherwise.
        OSError: it cannot be read.
    """
    labeled: set[str] = set()
    failed: set[str] = set()
    for _, rows in destination.read_keys(destination.fragments()):
        for _, key, bad in _keys_of(rows):
            (failed if bad else labeled).add(key)
    for row in joined_labels(destination).rows().values():
        (failed if row.failed else labeled).add(row.key)
    return KnownKeys(labeled=labeled, failed=failed - labeled)


def join(destination: Destination) -> int:
    """Join the fragments; how many images the table has then.

    One process joins at a time, where the folder is on a disk with locks.

    Raises:
        ValueError: a fragment is damaged, or made otherwise.
        OSError: it cannot be read or written; nothing is lost.
    """
    table = joined_labels(destination)
    with _held(destination):
        there = table.rows()
        try:
            for names in _groups(destination):
                _join_group(destination, table, names, there)
        except FileNotFoundError:
            return len(table.rows())  # another process, which no lock keeps away, is joining the same
    return len(there)


def _join_group(
    destination: Destination, table: JoinedLabels, names: Sequence[str], there: dict[str, StoredRow]
) -> None:
    """Put the rows of some fragments into the table, note them in `there`, and delete the fragments."""
    rows = pa.concat_tables([destination.read(name) for name in names])
    chosen = _chosen(rows, there)
    if chosen:
        digest = hashlib.blake2b("\n".join(names).encode(), digest_size=4).hexdigest()
        part = f"{Path(names[0]).stem.partition('-')[0]}-{digest}.parquet"
        replaced = {path: there[path] for path in chosen if path in there}
        table.put(rows.take(sorted(chosen.values())), replaced, f"{LABELS}/{part}")
        keys, failed = rows["key"].to_pylist(), rows["error"].is_valid().to_pylist()
        for path, i in chosen.items():
            there[path] = StoredRow(key=keys[i], failed=failed[i], part=f"{LABELS}/{part}")
    for name in names:
        destination.place.delete(name)


def _chosen(rows: pa.Table, there: Mapping[str, StoredRow]) -> dict[str, int]:
    """Of each image that the table does not have as well, the row to keep."""
    chosen: dict[str, int] = {}
    best: dict[str, tuple[str, bool]] = {}
    for i, (path, key, failed) in enumerate(_keys_of(rows)):
        stored = there.get(path)
        before = best.get(path) or (stored and (stored.key, stored.failed))
        if before and before[0] == key and (failed or not before[1]):
            continue
        chosen[path], best[path] = i, (key, failed)
    return chosen


def _keys_of(rows: pa.Table) -> Iterator[tuple[str, str, bool]]:
    """Path, key and whether it failed, of each row."""
    columns = (rows["path"].to_pylist(), rows["key"].to_pylist(), rows["error"].is_valid().to_pylist())
    return zip(*columns, strict=True)


def _groups(destination: Destination) -> Iterator[list[str]]:
    """Fragments that are joined together."""
    group: list[str] = []
    count = 0
    for name in destination.fragments():
        count += destination.count_rows(name)
        group.append(name)
        if count >= _ROWS:
            yield group
            group, count = [], 0
    if group:
        yield group


@contextmanager
def _held(destination: Destination) -> Generator[None]:
    if destination.place.is_remote:
        yield
        return
    with hold_folder(Path(destination.place.path), lambda: None):
        yield
