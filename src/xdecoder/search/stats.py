"""What an index holds, and how it lies in storage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast, get_args

from xdecoder.search.tables import TableName, Tables, told_failures


@dataclass(frozen=True, kw_only=True)
class TableStats:
    """How a table lies in storage.

    Attributes:
        name: "images" or "regions".
        rows: how many there are.
        bytes: of its data.
        version: how many commits were made.
        versions: how many of them are kept.
        fragments: the files that its rows are in.
        small_fragments: those of them that optimizing would join.
        indexes: the approximate indexes: name, kind, and rows that are not in them yet.
    """

    name: TableName
    rows: int
    bytes: int
    version: int
    versions: int
    fragments: int
    small_fragments: int
    indexes: tuple[tuple[str, str, int], ...]


def read_stats(tables: Tables) -> tuple[TableStats, ...]:
    """How the tables of an index lie in storage, images first.

    Raises:
        OSError: they cannot be read.
    """
    with told_failures(tables.place, "read"):
        return tuple(_table_stats(tables, name) for name in get_args(TableName))


def _table_stats(tables: Tables, name: TableName) -> TableStats:
    table = tables.raw(name)
    stats = cast("dict[str, Any]", table.stats())  # LanceDB says a record, and gives a dictionary
    indexes: list[tuple[str, str, int]] = []
    for index in table.list_indices():
        found = table.index_stats(index.name)
        indexes.append((index.name, index.index_type, found.num_unindexed_rows if found else 0))
    return TableStats(
        name=name,
        rows=stats["num_rows"],
        bytes=stats["total_bytes"],
        version=table.version,
        versions=len(table.list_versions()),
        fragments=stats["fragment_stats"]["num_fragments"],
        small_fragments=stats["fragment_stats"]["num_small_fragments"],
        indexes=tuple(indexes),
    )
