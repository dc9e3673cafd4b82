"""A folder of labels: what they were made with, fragments as processes write them, and how far each part is.

    labels.json         what the labels are made with, and the format they are joined into
    fragments/          Parquet files, each written whole by one process; <milliseconds>-<random>.parquet
    shards/             a file for each part of the work: how many images it has, whether it is done
    labels/, labels.lance or labels and coco.json: the rows of joined fragments, each image once

An image may be in two fragments, if a process was killed or two did the same; joined, it is there once.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, final, get_args

import pyarrow as pa
from pyarrow import parquet

from xdecoder.bounds import require
from xdecoder.bulk.config import LabelingConfig
from xdecoder.bulk.place import Place, told_failures
from xdecoder.bulk.rows import CONFIG, schema_of
from xdecoder.bulk.shards import Shard

Format = Literal["parquet", "lance", "coco"]

FRAGMENTS: Final = "fragments"
LABELS: Final = "labels"
_SHARDS: Final = "shards"
_HEAD: Final = "labels.json"
_KEYS: Final = ("path", "key", "error")
_READERS: Final = 16  # threads: an object store answers each in some tens of milliseconds


@dataclass(frozen=True, kw_only=True)
class ShardProgress:
    """How far a part of the work is.

    Attributes:
        index: which part.
        count: how many there are.
        images: the images of the part, those of earlier runs included.
        done: whether all of them have rows.
        since: when it began, in seconds since 1970.
    """

    index: int
    count: int
    images: int
    done: bool
    since: float


@final
class Destination:
    """An open folder of labels.

    Args:
        place: the folder.
        config: what its labels are made with.
        format: what they are joined into.
    """

    def __init__(self, place: Place, config: LabelingConfig, format: Format) -> None:
        self.place = place
        self.config = config
        self.format: Format = format
        self.schema = schema_of(config)

    @classmethod
    def create(cls, address: str, config: LabelingConfig, format: Format = "parquet") -> Destination:
        """Begin a folder of labels, or go on with one that is made in the same way.

        Args:
            address: a folder, or an address such as "s3://bucket/labels".
            config: what the labels are made with.
            format: what they are joined into: "parquet"; "lance", a LanceDB table; "coco", Parquet and
                COCO's JSON beside it.

        Raises:
            ValueError: labels that are there are made otherwise, or the format cannot be written there.
            OSError: it cannot be read or written.
        """
        formats = get_args(Format)
        require(format in formats, f"format must be one of {', '.join(formats)}; got {format!r}")
        place = Place.of(address)
        require(
            format != "coco" or not place.is_remote,
            f"COCO's JSON is written to a disk, not to {address}; join Parquet there, or label to a folder",
        )
        try:
            found = cls.open(address)
        except FileNotFoundError:
            head = json.dumps({"config": config.to_json(), "format": format}, indent=1)
            place.write(_HEAD, head.encode())
            found = cls.open(address)  # which may be another process's by now
        found.config.check(config, place=address)
        require(
            found.format == format,
            f"{address} is joined into {found.format}, not {format}; leave --format as it was, or give "
            "another --to",
        )
        place.remove_drafts("", FRAGMENTS, _SHARDS, LABELS)
        return found

    @classmethod
    def open(cls, address: str) -> Destination:
        """Open a folder of labels.

        Raises:
            FileNotFoundError: there is none.
            ValueError: a file of it is damaged, or is another program's.
            OSError: it cannot be read.
        """
        place = Place.of(address)
        try:
            text = place.read(_HEAD)
        except (FileNotFoundError, NotADirectoryError):
            raise FileNotFoundError(
                f"no labels in {address}; make some first: xdecoder label SOURCE --to {address}"
            ) from None
        try:
            head: dict[str, Any] = json.loads(text)
            config, form = head["config"], head["format"]
            require(form in get_args(Format), f"unknown format {form!r}")
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{address}/{_HEAD} is damaged ({error!r}); give another --to") from error
        return cls(place, LabelingConfig.from_json(config, place=f"{address}/{_HEAD}"), form)

    # Fragments

    def add(self, rows: pa.Table) -> None:
        """Write rows as a fragment.

        Raises:
            OSError: it cannot be written; what was written before is whole.
        """
        name = f"{time.time_ns() // 1_000_000:015d}-{secrets.token_hex(4)}.parquet"
        self.place.write(f"{FRAGMENTS}/{name}", parquet_bytes(rows))

    def fragments(self) -> list[str]:
        """The fragments that are not joined, in the order in which they were written."""
        return self.place.names(FRAGMENTS)

    def read(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of a Parquet file of these labels.

        Args:
            name: the file.
            columns: those that are read; by default all.

        Raises:
            FileNotFoundError: it is gone: another process has joined it.
            ValueError: it is damaged, or made otherwise.
        """
        with self._opened(name) as file:
            return file.read(columns=None if columns is None else list(columns))

    def read_keys(self, names: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
        """Paths, keys and errors of Parquet files, by their names; of those that are not joined meanwhile.

        Raises:
            ValueError: one is damaged, or made otherwise.
            OSError: the store cannot be read.
        """
        with ThreadPoolExecutor(_READERS) as readers:
            for name, table in zip(names, readers.map(self._read_keys, names), strict=True):
                if table is not None:
                    yield name, table

    def _read_keys(self, name: str) -> pa.Table | None:
        try:
            return self.read(name, _KEYS)
        except FileNotFoundError:
            return None

    @staticmethod
    def time_of(fragment: str) -> float:
        """When a fragment was written, in seconds since 1970."""
        return int(fragment.rpartition("/")[2].partition("-")[0]) / 1000

    def count_rows(self, name: str) -> int:
        """How many rows a Parquet file has; errors as `read`."""
        with self._opened(name) as file:
            return file.metadata.num_rows

    @contextmanager
    def _opened(self, name: str) -> Generator[parquet.ParquetFile]:
        called = f"{self.place.address}/{name}"
        with told_failures(self.place.address):
            try:
                file = parquet.ParquetFile(self.place.filesystem.open_input_file(self.place.full(name)))
                self._check(file.schema_arrow.metadata or {}, called)
                yield file
            except pa.ArrowInvalid as error:
                raise ValueError(
                    f"{called} is damaged ({error}); delete it to label its images again"
                ) from error

    def _check(self, metadata: Mapping[bytes, bytes], called: str) -> None:
        """Refuse a file of other labels, or of none."""
        if CONFIG not in metadata:
            raise ValueError(f"{called} is no file of labels; take it away")
        if metadata[CONFIG] != (self.schema.metadata or {})[CONFIG]:
            self.config.check(
                LabelingConfig.from_json(metadata[CONFIG], place=called), place=self.place.address
            )

    # Progress

    def note(self, progress: ShardProgress) -> None:
        """Tell the other processes how far this one's part is.

        Raises:
            OSError: it cannot be written.
        """
        name = f"{progress.index}-of-{progress.count}.json"
        self.place.write(f"{_SHARDS}/{name}", json.dumps(asdict(progress)).encode())

    def shards(self) -> list[ShardProgress]:
        """How far the parts are, of the division that was begun last."""
        found: list[ShardProgress] = []
        for name in self.place.names(_SHARDS):
            try:
                found.append(ShardProgress(**json.loads(self.place.read(name))))
            except (ValueError, TypeError, FileNotFoundError):  # another version's, or replaced just now
                continue
        if not found:
            return []
        count = max(found, key=lambda shard: shard.since).count
        return [shard for shard in found if shard.count == count]

    def all_done(self) -> bool:
        """Whether every part of the work is done."""
        shards = self.shards()
        return bool(shards) and len(shards) == shards[0].count and all(shard.done for shard in shards)


def begun(shard: Shard, images: int) -> ShardProgress:
    """The record of a part that begins now."""
    return ShardProgress(index=shard.index, count=shard.count, images=images, done=False, since=time.time())


def parquet_bytes(rows: pa.Table) -> bytes:
    """A table as a Parquet file."""
    sink = pa.BufferOutputStream()
    parquet.write_table(rows, sink, compression="zstd")
    return sink.getvalue().to_pybytes()
