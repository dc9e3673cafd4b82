"""Tables with a column of image files: Parquet and Lance, read a group of rows at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, final

import pyarrow as pa

from xdecoder.bulk.place import filesystem_of, told_failures

if TYPE_CHECKING:
    from lancedb.table import Table

_LANCE_ROWS: Final = 256  # of a Lance table that are read together


class ImageTable(ABC):
    """A table, one row an image.

    Args:
        file: where it lies.
        column: the column that holds files' bytes, or Hugging Face's {"bytes", "path"}.

    Attributes:
        size: in bytes, where it is one file; else 0.
        version: what changes with its content.
        groups: its rows, in the groups that are read together.

    Raises:
        FileNotFoundError: there is no such table.
        ValueError: it cannot be read, or has no such column.
        OSError: the store cannot be read.
    """

    def __init__(self, file: str, column: str) -> None:
        self.file, self.column = file, column
        self.size = 0
        self.version = ""
        self.groups: Sequence[range] = ()

    @abstractmethod
    def read(self, group: int) -> list[object]:
        """The cells of a group's images."""

    def check_column(self, schema: pa.Schema) -> None:
        """Refuse a table without the column.

        Raises:
            ValueError: saying which it has.
        """
        if self.column not in schema.names:
            raise ValueError(
                f"{self.file} has no column {self.column!r}: name the one with the images' bytes by "
                f"--column, of {', '.join(schema.names)}"
            )


@final
class ParquetImages(ImageTable):
    """A Parquet file; its row groups are read one by one."""

    def __init__(self, file: str, column: str) -> None:
        from pyarrow import parquet

        super().__init__(file, column)
        filesystem, path = filesystem_of(file)
        with told_failures(file):
            info = filesystem.get_file_info(path)
            try:
                self._table = parquet.ParquetFile(filesystem.open_input_file(path))
            except pa.ArrowInvalid as error:
                raise ValueError(
                    f"{file} is no Parquet file, or cut short ({error}); fetch it again"
                ) from error
        self.check_column(self._table.schema_arrow)
        self.size, self.version = info.size, str(info.mtime_ns)
        counts = [self._table.metadata.row_group(i).num_rows for i in range(self._table.num_row_groups)]
        starts = [0, *accumulate(counts)]
        self.groups = [range(start, start + count) for start, count in zip(starts, counts, strict=False)]

    def read(self, group: int) -> list[object]:
        with told_failures(self.file):
            return self._table.read_row_group(group, columns=[self.column])[self.column].to_pylist()


@final
class LanceImages(ImageTable):
    """A Lance table, at its latest version."""

    def __init__(self, file: str, column: str) -> None:
        super().__init__(file, column)
        self._table = _open_lance(file)
        self.check_column(self._table.schema)
        self.version = str(self._table.version)
        count = self._table.count_rows()
        self.groups = [
            range(start, min(start + _LANCE_ROWS, count)) for start in range(0, count, _LANCE_ROWS)
        ]

    def read(self, group: int) -> list[object]:
        rows = self.groups[group]
        query = self._table.search().select([self.column]).offset(rows.start).limit(len(rows))
        return query.to_arrow()[self.column].to_pylist()


def open_images(file: str, column: str) -> ImageTable:
    """A table by its name, ".parquet" or ".lance"; errors as `ImageTable`."""
    return LanceImages(file, column) if file.endswith(".lance") else ParquetImages(file, column)


def image_bytes(cell: object, name: str) -> bytes:
    """The file in a cell.

    Raises:
        ValueError: there is none.
    """
    found: Any = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(found, bytes):
        raise ValueError(f"{name} holds no image's bytes, but {type(found).__name__}; leave the row out")
    return found


def _open_lance(file: str) -> Table:
    try:
        import lancedb
    except ImportError as error:
        raise ImportError("Lance tables need LanceDB: pip install 'xdecoder[search]'") from error
    folder, _, name = file.rstrip("/").rpartition("/")
    try:
        return lancedb.connect(folder or ".").open_table(name.removesuffix(".lance"))
    except ValueError as error:
        raise FileNotFoundError(f"no Lance table {file}: {error}") from error
