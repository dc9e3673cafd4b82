"""An index as it lies in LanceDB: a table of images and a table of regions, in a folder or an object store.

Each write is one transaction of LanceDB. An image's regions are written before its row and deleted before it:
the row says that the image is indexed, so that work which was cut short anywhere is done again, and then
replaces what was there. Keys are unique however many processes write.
"""

from __future__ import annotations

import errno
import os
import random
import re
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, cast, final, get_args

import numpy as np
import pyarrow as pa
from jaxtyping import Float32

from xdecoder.bounds import check_whole_number
from xdecoder.jobs.lance import open_table
from xdecoder.search import rows
from xdecoder.search.config import IndexConfig
from xdecoder.search.folder import Fingerprint
from xdecoder.search.found import Hit
from xdecoder.search.rows import VECTOR, IndexedImage

if TYPE_CHECKING:
    from lancedb import DBConnection
    from lancedb.query import LanceVectorQueryBuilder
    from lancedb.table import Table

TableName = Literal["images", "regions"]

WORTH_INDEXING = 20_000
"""Rows over which an approximate index is built: fewer are compared one by one in a few milliseconds."""

_PROBES = 128  # partitions searched; benchmarks/search.py measures recall and time
_REFINE = 2  # times as many rows compared by their whole vectors
_GROWTH = 4  # times the rows that the partitions were made for, over which they are made anew
_RETRIES = 20
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
_THWARTED = (RuntimeError, OSError, ValueError)  # what LanceDB raises of a conflict
_OF_FILES = re.compile(r"LanceError\(IO\)|corrupt file|not appear to be a Lance file")
_TOGETHER = 500  # paths in one filter
_MOST_HITS = 1_000_000  # held in memory together
_QUOTED_OR_COMMENT = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|`[^`]*`|--[^\n]*|/\*.*?\*/", re.DOTALL)
_T = TypeVar("_T")


@final
class Tables:
    """An open index.

    Args:
        place: a folder or an address such as "s3://bucket/index".
        config: what it was made with.
        tables: images and regions.
    """

    def __init__(self, place: str, config: IndexConfig, tables: Mapping[TableName, Table]) -> None:
        self.place = place
        self.config = config
        self._tables = tables

    @classmethod
    def create(cls, place: str | os.PathLike[str], config: IndexConfig) -> Tables:
        """Make an empty index, or open the one that is there, whatever it was made with.

        Raises:
            OSError: it cannot be read or written.
            ValueError: a part of the index that is there is gone.
        """
        name = os.fspath(place)
        with told_failures(name, "read"):
            connection = _connect(name)
            there = _tables(connection)
            used = "images" not in there and "regions" in there and there["regions"].count_rows() > 0
            if used:  # unless another process made images after the look and before the rows
                there = _tables(connection)
        if used and "images" not in there:
            raise _part_gone(name, "images")
        if "images" not in there:
            with told_failures(name):  # images come last: where they are, so are the regions
                for table, schema in (
                    ("regions", rows.region_schema(config)),
                    ("images", rows.image_schema(config)),
                ):
                    with suppress(ValueError):  # another process made it just now
                        connection.create_table(table, schema=schema)
        return cls.open(place)

    @classmethod
    def open(cls, place: str | os.PathLike[str]) -> Tables:
        """Open an index.

        Raises:
            FileNotFoundError: there is none.
            OSError: it cannot be read.
            ValueError: another version of this program made it, or a part of it is gone.
        """
        name = os.fspath(place)
        missing = FileNotFoundError(f"no index in {name}; make one first: xdecoder index FOLDER --to {name}")
        if "://" not in name and not Path(name).is_dir():
            raise missing
        with told_failures(name, "read"):
            tables = _tables(_connect(name))
        if "images" not in tables:
            raise missing
        images = tables["images"]
        config = (images.schema.metadata or {}).get(rows.CONFIG)
        if config is None:
            raise ValueError(f"{name} is a LanceDB database of something else; choose another place")
        if "regions" not in tables:
            raise _part_gone(name, "regions")
        return cls(name, IndexConfig.from_json(config.decode(), place=name), tables)

    def raw(self, table: TableName) -> Table:
        """LanceDB's own table, for what is not offered here."""
        return self._tables[table]

    def count(self, table: TableName) -> int:
        """How many rows there are.

        Raises:
            OSError: it cannot be read.
        """
        with told_failures(self.place, "read"):
            return self._tables[table].count_rows()

    def known(self, folder: Path) -> dict[str, Fingerprint]:
        """The indexed files below a folder.

        Args:
            folder: its absolute path.
        """
        below = _quoted(os.path.join(folder, ""))  # noqa: PTH118 (a path with its last slash)
        return self._fingerprints(f"starts_with(path, {below})")

    def known_among(self, paths: Sequence[Path]) -> dict[str, Fingerprint]:
        """Those of some files that are indexed, some process's latest writes included."""
        return self._fingerprints(_among([str(path) for path in paths])) if paths else {}

    def put(self, images: Sequence[IndexedImage]) -> None:
        """Add images with their regions, in place of what is there of them.

        Raises:
            OSError: they cannot be written; those written before are whole.
        """
        regions, whole = self._tables["regions"], self._tables["images"]
        replaced = _among([image.path for image in images])
        with told_failures(self.place):
            _merge(regions, "id", rows.region_rows(images, regions.schema), insert=True, replaced=replaced)
            _merge(whole, "path", rows.image_rows(images, whole.schema), insert=True)

    def touch(self, files: Mapping[str, Fingerprint]) -> None:
        """Note that files with known content have another time.

        Raises:
            OSError: it cannot be written.
        """
        if not files:
            return
        table = self._tables["images"]
        with told_failures(self.place):
            _merge(table, "path", rows.fingerprint_rows(files, table.schema), insert=False)

    def remove(self, paths: Sequence[str]) -> None:
        """Take images and their regions out.

        Raises:
            OSError: it cannot be written.
        """
        with told_failures(self.place):
            for start in range(0, len(paths), _TOGETHER):
                which = _among(paths[start : start + _TOGETHER])
                for name in ("regions", "images"):
                    _committed(partial(self._tables[name].delete, which))

    def optimize(self) -> None:
        """Join small files, drop old versions, and build the approximate indexes that pay.

        Where another process optimizes or writes what this one joined, this one's joining is given up, not
        done again: the other comes here, too, when it ends.

        Raises:
            OSError: it cannot be written; the rows are whole.
        """
        with told_failures(self.place):
            for table in self._tables.values():
                for step in (table.optimize, partial(_partition, table)):
                    with _given_up_where_thwarted():
                        step()

    def nearest(
        self,
        table: TableName,
        vector: Float32[np.ndarray, " P"],
        *,
        k: int,
        where: str | None = None,
        exact: bool = False,
    ) -> list[Hit]:
        """The rows whose vectors have the highest cosine with a vector, best first.

        Args:
            table: which rows.
            vector: of unit length.
            k: how many.
            where: an SQL filter on the table's columns; None for none.
            exact: compare with every row, not with the likeliest partitions alone.

        Raises:
            ValueError: k is out of range, or the filter is not understood.
            OSError: it cannot be read.
        """
        check_whole_number("k", k, most=_MOST_HITS)
        columns = [name for name in self._tables[table].schema.names if name != VECTOR]
        search = self._tables[table].search(vector, vector_column_name=VECTOR)
        query = (
            cast("LanceVectorQueryBuilder", search)
            .distance_type("cosine")
            .nprobes(_PROBES)
            .refine_factor(_REFINE)
            .select([*columns, "_distance"])
            .limit(k)
        )
        if exact:
            query = query.bypass_vector_index()
        if where is not None:
            query = query.where(_whole_filter(where), prefilter=True).maximum_nprobes(
                0
            )  # more where it leaves too few rows
        try:
            with told_failures(self.place, "read"):
                found = query.to_list()
        except ValueError as error:
            raise self._explained(where, table, columns, error) from error
        except RuntimeError as error:  # such as a division by zero within the filter
            if where is None:
                raise
            raise self._explained(where, table, columns, error) from error
        return [rows.read_hit(row, table) for row in found]

    def _fingerprints(self, where: str) -> dict[str, Fingerprint]:
        names = ["path", "file_size", "file_time", "digest"]
        with told_failures(self.place, "read"):
            found = self._tables["images"].search().where(where).select(names).limit(None).to_arrow()
        return rows.read_fingerprints(found)

    def _explained(
        self, where: str | None, table: TableName, columns: Sequence[str], error: Exception
    ) -> ValueError:
        """What LanceDB says of a filter, in words for who wrote it."""
        if where is None:
            return ValueError(str(error))
        reason = re.sub(
            r"^Invalid input, |^lance error: .*Arrow error: |\.? Valid fields are.*|, /\S+:\d+:\d+$",
            "",
            str(error),
        )
        message = f"the filter {where!r} is not understood: {reason}. Write SQL on the columns of {table}: "
        message += ", ".join(columns)
        others = set(self._tables["regions"].schema.names) - set(columns)
        if table == "images" and others & set(re.findall(r"\w+", where)):
            message += (
                "; to search regions by their own columns, search regions; images have labels instead: "
            )
            message += "array_has(labels, 'car')"
        return ValueError(message)


def _part_gone(place: str, table: str) -> ValueError:
    return ValueError(
        f"the index in {place} has lost its table of {table}; delete what is left of it, and index again"
    )


def _whole_filter(where: str) -> str:
    """A filter that is read to its end: LanceDB takes the expression that a text begins with for the whole.

    Raises:
        ValueError: it closes a parenthesis that it did not open.
    """
    depth = 0
    for character in _QUOTED_OR_COMMENT.sub(" ", where):
        depth += (character == "(") - (character == ")")
        if depth < 0:
            raise ValueError(f"the filter {where!r} is not understood: it closes a parenthesis too many")
    return f"({where}\n)"


def _connect(place: str) -> DBConnection:
    try:
        import lancedb
    except ImportError as error:
        raise ImportError("an index needs LanceDB: pip install 'xdecoder[search]'") from error
    return lancedb.connect(place, read_consistency_interval=timedelta(0))


def _tables(connection: DBConnection) -> dict[TableName, Table]:
    """The tables that are there, images looked for first: where they are, so are the regions."""
    opened: dict[TableName, Table | None] = {
        name: open_table(connection, name) for name in get_args(TableName)
    }
    return {name: table for name, table in opened.items() if table is not None}


def _merge(table: Table, key: str, data: pa.Table, *, insert: bool, replaced: str | None = None) -> None:
    """Write rows in place of those with the same key.

    Args:
        table: which of the index's tables the rows go into.
        key: the column that tells rows apart.
        data: the rows, or some columns of them.
        insert: write rows whose key is new, too.
        replaced: a filter on rows to delete where they are not among the data.
    """
    merge = table.merge_insert(key).when_matched_update_all()
    if insert:
        merge = merge.when_not_matched_insert_all()
    if replaced is not None:
        merge = merge.when_not_matched_by_source_delete(replaced)
    _committed(partial(merge.execute, data))


def _partition(table: Table) -> None:
    """Build the approximate index if it pays and there is none for as many rows."""
    from lancedb.index import IvfSq

    count = table.count_rows()
    if count < WORTH_INDEXING:
        return
    before = {index.name: int(index.name.rpartition("_")[2]) for index in table.list_indices()}
    if before and count < _GROWTH * max(before.values()):
        return
    table.create_index(
        VECTOR,
        config=IvfSq(distance_type="cosine", num_partitions=round(count**0.5)),
        name=f"{VECTOR}_{count}",
    )
    for name in before:
        table.drop_index(name)


@contextmanager
def _given_up_where_thwarted() -> Generator[None]:
    """Pass over the error of a commit that another process's commit thwarts."""
    try:
        yield
    except _THWARTED as error:
        if not _is_conflict(error):
            raise


def _is_conflict(error: Exception) -> bool:
    return "conflict" in str(error).lower()


def _committed(action: Callable[[], _T]) -> _T:
    """Do what another process's commit may thwart, again if it does."""
    for attempt in range(_RETRIES):
        try:
            return action()
        except _THWARTED as error:
            if not _is_conflict(error):
                raise
        time.sleep(random.uniform(0, 0.05 * 2 ** min(attempt, 5)))
    return action()


@contextmanager
def told_failures(place: str, done: Literal["read", "written"] = "written") -> Generator[None]:
    """LanceDB's errors of files, of many types, become OSErrors that say what to do."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if not _OF_FILES.search(str(error)):
            raise
        what = f"the index in {place} could not be {done}: "
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            reason = re.sub(r"^lance error: (LanceError\(IO\): )?|, /\S+:\d+:\d+$", "", str(error))
            raise OSError(f"{what}{reason}. If its files are damaged, delete it, and index again") from error
        what += os.strerror(int(number[1]))
        if done == "read":
            raise OSError(what) from error
        first = "make room, then " if int(number[1]) in _FULL else ""
        raise OSError(
            f"{what}. What was indexed before is whole; {first}run the same command again: it goes on from "
            "there"
        ) from error


def _among(paths: Sequence[str]) -> str:
    return f"path IN ({', '.join(map(_quoted, paths))})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
