"""Image-text pairs in any order: tar shards and Arrow and Parquet tables, read by place.

`PairShards` streams shards, from addresses too. Training wants any sample at any time, so that a run goes on
exactly after a kill; here each shard's table of contents is read once, and a sample is two reads at known
places.
"""

from __future__ import annotations

import json
import re
import tarfile
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, final, overload

import numpy as np
from numpy.typing import NDArray

from xdecoder.data.decoding import ImageBytes
from xdecoder.data.pairs import IMAGE_SUFFIXES, INSTALL, captions_of, open_pair_folder
from xdecoder.data.records import CaptionSample
from xdecoder.jobs.files import name_file

_TEXT_SUFFIXES: Final = ("json", "txt")
_RANGE: Final = re.compile(r"\{(\d+)\.\.(\d+)\}")
_LAYOUTS: Final = (
    "a folder with pairs.jsonl, a folder or pattern (*, {000000..000099}) of .tar shards, or of .arrow or "
    ".parquet tables"
)


class PairFiles(ABC, Sequence[CaptionSample]):
    """Pairs that lie in several files, one file after the other; each is read by its place.

    Args:
        paths: where the pairs lie, the first pairs in the first.
        counts: of the pairs in each.

    Attributes:
        starts: the number of each file's first pair, and of all pairs.
    """

    def __init__(self, paths: Sequence[Path], counts: Iterable[int]) -> None:
        self.paths = tuple(paths)
        self.starts = (0, *accumulate(counts))

    def __len__(self) -> int:
        return self.starts[-1]

    @overload
    def __getitem__(self, index: int) -> CaptionSample: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[CaptionSample]: ...
    def __getitem__(self, index: int | slice) -> CaptionSample | Sequence[CaptionSample]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(f"pair {index} of {len(self)}")
        file = bisect_right(self.starts, position) - 1
        return self._read(file, position - self.starts[file])

    @abstractmethod
    def _read(self, file: int, place: int) -> CaptionSample:
        """The pair at a place within a file, both counted from 0."""


@final
class PairArchives(PairFiles):
    """Pairs in WebDataset tar shards on disk, one after the other.

    A sample is an image (`key.jpg`, `.png` or `.webp`) and `key.json` ("caption" or "captions") or `key.txt`.

    Args:
        paths: `.tar` files, not compressed.

    Attributes:
        incomplete: keys without an image or a caption, which are passed over.

    Raises:
        ValueError: a shard is damaged, or there is no pair in any.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.incomplete = 0
        self._places = [self._contents(path) for path in paths]
        super().__init__(paths, map(len, self._places))
        if not len(self):
            raise ValueError(f"{paths[0]}: no pairs; a pair is key.jpg and key.txt or key.json")

    def _read(self, file: int, place: int) -> CaptionSample:
        path = self.paths[file]
        image_at, image_size, text_at, text_size, is_json = self._places[file][place].tolist()
        label = f"{path}, byte {image_at}"
        with name_file(path), path.open("rb") as shard:
            shard.seek(image_at)
            image = shard.read(image_size)
            shard.seek(text_at)
            text = shard.read(text_size)
        try:
            captions = captions_of(json.loads(text) if is_json else {"caption": text.decode()})
        except (ValueError, AttributeError) as error:
            raise ValueError(f"{label}: its caption cannot be read: {error}") from error
        if not captions:
            raise ValueError(f"{label}: no caption")
        return CaptionSample(
            image_id=f"{path.name}#{image_at}",
            source=ImageBytes(label=label, data=image),
            captions=captions,
        )

    def _contents(self, path: Path) -> NDArray[np.int64]:
        """Of each pair: place and length of the image and of the text, and whether that is JSON."""
        members: dict[str, dict[str, tarfile.TarInfo]] = {}
        try:
            with tarfile.open(path, "r:") as archive:
                for member in archive:
                    key, _, suffix = member.name.rpartition(".")
                    if member.isreg():
                        members.setdefault(key, {})[suffix.lower()] = member
        except (OSError, tarfile.TarError, EOFError) as error:
            raise ValueError(
                f"{path}: not an uncompressed tar, or cut short ({error}); fetch it again"
            ) from error
        rows: list[tuple[int, int, int, int, bool]] = []
        for files in members.values():
            image = next((files[s] for s in IMAGE_SUFFIXES if s in files), None)
            suffix = next((s for s in _TEXT_SUFFIXES if s in files), None)
            if image is None or suffix is None:
                self.incomplete += 1
                continue
            text = files[suffix]
            rows.append((image.offset_data, image.size, text.offset_data, text.size, suffix == "json"))
        return np.array(rows, np.int64).reshape(-1, 5)


@final
class PairTables(PairFiles):
    """Pairs in Arrow (memory-mapped) or Parquet tables, one row an image.

    The columns are `image` (bytes, or Hugging Face's {"bytes", "path"}), `caption` (text or a list of texts)
    and optionally `image_id`. This is the form of the 4M-pair files of ViLT, METER and X-Decoder.

    Args:
        paths: the tables, `.arrow` or `.parquet`; the rows follow one another.

    Raises:
        FileNotFoundError: a table is missing.
        ValueError: a table is damaged, or there is no row in any.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        if not paths:
            raise ValueError("no tables; expected .arrow or .parquet files")
        absent = [str(path) for path in paths if not path.is_file()]
        if absent:
            raise FileNotFoundError(f"no such table(s): {', '.join(absent[:5])}")
        self._open: dict[Path, Any] = {}
        self._group: tuple[Path, int, Any] | None = None
        super().__init__(paths, map(self._rows, paths))
        if not len(self):
            raise ValueError(f"{paths[0]}: the tables have no rows")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}, "_group": None}

    def _read(self, file: int, place: int) -> CaptionSample:
        row = self._row(self.paths[file], place)
        where = f"{self.paths[file]}, row {place}"
        image: Any = row["image"]
        data = image.get("bytes") if isinstance(image, dict) else image
        captions = captions_of(row)
        if not data or not captions:
            raise ValueError(
                f"{where}: expected image bytes and a caption, got {'no caption' if data else 'no image'}"
            )
        return CaptionSample(
            image_id=row.get("image_id", self.starts[file] + place),
            source=ImageBytes(label=where, data=data),
            captions=captions,
        )

    def _table(self, path: Path) -> Any:
        if path not in self._open:
            try:
                import pyarrow as pa
                import pyarrow.parquet as pq
            except ImportError as error:
                raise ImportError(f"Arrow and Parquet tables need pyarrow; {INSTALL}") from error
            try:
                if path.suffix == ".parquet":
                    opened: Any = pq.ParquetFile(path)
                    names = opened.schema_arrow.names
                else:
                    opened = _arrow_table(pa, path)
                    names = opened.column_names
            except pa.ArrowInvalid as error:
                raise ValueError(
                    f"{path}: not an Arrow or Parquet table ({error}); fetch it again"
                ) from error
            if "image" not in names or "caption" not in names:
                raise ValueError(f'{path}: expected the columns "image" and "caption", got {names}')
            self._open[path] = opened
        return self._open[path]

    def _rows(self, path: Path) -> int:
        table = self._table(path)
        return table.metadata.num_rows if path.suffix == ".parquet" else table.num_rows

    def _row(self, path: Path, row: int) -> dict[str, Any]:
        table = self._table(path)
        if path.suffix == ".parquet":
            group = 0
            while row >= table.metadata.row_group(group).num_rows:
                row -= table.metadata.row_group(group).num_rows
                group += 1
            if self._group is None or self._group[:2] != (path, group):
                self._group = (path, group, table.read_row_group(group))
            table = self._group[2]
        return {name: table.column(name)[row].as_py() for name in table.column_names}


def _arrow_table(pa: Any, path: Path) -> Any:
    """A table in Arrow's file format, or in the stream format that Hugging Face datasets writes."""
    mapped = pa.memory_map(str(path), "r")
    try:
        return pa.ipc.open_file(mapped).read_all()
    except pa.ArrowInvalid:
        mapped.seek(0)
        return pa.ipc.open_stream(mapped).read_all()


def find_tables(folder: Path) -> PairTables:
    """All `.arrow` and `.parquet` tables of a folder, in the order of their names."""
    found = [path for path in sorted(folder.glob("*")) if path.suffix in (".arrow", ".parquet")]
    if not found:
        raise FileNotFoundError(f"{folder}: no .arrow or .parquet tables")
    return PairTables(found)


def open_pairs(source: str) -> Sequence[CaptionSample]:
    """Pairs on disk, by where they lie.

    Args:
        source: a folder with `pairs.jsonl`; a folder or pattern of `.tar` shards, or of `.arrow` or
            `.parquet` tables. Patterns are as a shell's, with brace ranges: "shards/{000000..000099}.tar".

    Raises:
        FileNotFoundError: nothing is there.
        ImportError: pyarrow is not installed.
        ValueError: a file is damaged, or is none of these.
    """
    path = Path(source).expanduser()
    if path.name == "pairs.jsonl":
        path = path.parent
    if path.is_dir():
        if (path / "pairs.jsonl").is_file():
            return open_pair_folder(path)
        shards = sorted(path.glob("*.tar"))
        return PairArchives(shards) if shards else find_tables(path)
    found = [file for pattern in expand_ranges(str(path)) for file in _matching(Path(pattern))]
    if not found:
        raise FileNotFoundError(f"{source}: nothing is there; expected {_LAYOUTS}")
    kinds = {file.suffix for file in found}
    if kinds == {".tar"}:
        return PairArchives(found)
    if kinds <= {".arrow", ".parquet"}:
        return PairTables(found)
    raise ValueError(f"{source}: expected {_LAYOUTS}, found files that end in {', '.join(sorted(kinds))}")


def expand_ranges(pattern: str) -> list[str]:
    """A pattern for each number of its brace ranges: "{00..11}.tar" is "00.tar", ..., "11.tar"."""
    found = _RANGE.search(pattern)
    if not found:
        return [pattern]
    first, last = found[1], found[2]
    return [
        one
        for number in range(int(first), int(last) + 1)
        for one in expand_ranges(f"{pattern[: found.start()]}{number:0{len(first)}d}{pattern[found.end() :]}")
    ]


def _matching(pattern: Path) -> list[Path]:
    """The files that a pattern names, in the order of their names; itself where it is no pattern."""
    if not any(c in pattern.name for c in "*?["):
        if not pattern.is_file():
            raise FileNotFoundError(f"{pattern}: no such file")
        return [pattern]
    return sorted(p for p in pattern.parent.glob(pattern.name) if p.is_file())
