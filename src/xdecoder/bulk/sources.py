"""The images to label: loose files, members of tar shards, cells of tables; on disk or in an object store."""

from __future__ import annotations

import fnmatch
import io
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import TYPE_CHECKING, Final, Literal, final

from xdecoder.bulk.image_tables import ImageTable, image_bytes, open_images
from xdecoder.bulk.place import filesystem_of, is_remote, told_failures
from xdecoder.bulk.shards import Shard
from xdecoder.data.pair_files import expand_ranges
from xdecoder.images import IMAGE_SUFFIXES, find_images
from xdecoder.jobs.isolation import is_unicode

if TYPE_CHECKING:
    from pyarrow import NativeFile
    from pyarrow.fs import FileSystem

Kind = Literal["file", "tar", "table"]

_TABLES: Final = (".parquet", ".lance")
_BLOCK: Final = 1 << 20  # bytes of a shard that are read together while its members are listed
_DAMAGED: Final = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceImage:
    """An image, before it is read.

    Attributes:
        path: what it is called: its file, "shard.tar/member" or "table.parquet#row".
        size: bytes of the file or member; of a table's cell those of the table; 0 where it is not known.
        version: what changes with its content: the time of the file's last change, in nanoseconds; of a Lance
            table its version; empty where there is no such file.
        kind: what holds it.
        file: the file that holds it.
        at: where in a shard its bytes begin, or its row in a table; -1 for a shard that is damaged.
    """

    path: str
    size: int
    version: str
    kind: Kind = "file"
    file: str = ""
    at: int = 0


def find_source(source: str, shard: Shard | None = None, *, column: str = "image") -> list[SourceImage]:
    """A part of the images that a source names, sorted by their paths.

    Loose images are shared out one by one, shards by their files, tables by their groups of rows: a process
    opens no more than it works on.

    Args:
        source: a folder, a glob, an image; a .txt file with a path or an address on each line; .tar shards
            or .parquet tables (a file, a folder that has no images, a glob, a range:
            "{000000..000099}.tar"); a .lance table. Any of them may be an address, such as
            "s3://bucket/photos".
        shard: the part; by default all.
        column: of tables, where the images' bytes are.

    Raises:
        FileNotFoundError: there is nothing of that name, or there are no images in it.
        ValueError: a table has no such column.
        OSError: the object store cannot be read.
    """
    mine = shard or Shard()
    files = _files(source)
    if not files:
        raise FileNotFoundError(
            f"no images in {source}: neither image files nor .tar, .parquet or .lance files"
        )
    found = _with_status([file for file in files if not _is_packed(file) and mine.owns(file.path)])
    for file in files:
        if file.file.endswith(".tar") and mine.owns(file.path):
            found += _members(_with_status([file])[0])
        elif file.file.endswith(_TABLES):
            found += _cells(file.file, mine, column)
    if not found and mine.count == 1:
        raise FileNotFoundError(f"no images in {source}: its shards and tables are empty")
    return sorted(found, key=lambda image: image.path)


@final
class ImageReader:
    """Reads images' files; several threads may use one.

    Args:
        column: of tables, where the images' bytes are.
    """

    def __init__(self, column: str = "image") -> None:
        self._column = column
        self._lock = Lock()
        self._stores: dict[str, FileSystem] = {}
        self._shard: tuple[str, NativeFile] | None = None
        self._table: ImageTable | None = None
        self._group = -1
        self._cells: list[object] = []

    def read(self, image: SourceImage) -> bytes:
        """An image's file.

        Raises:
            FileNotFoundError: it is gone.
            ValueError: it is damaged, or is no image's.
            OSError: it cannot be read; of an object store, nothing can be read then.
        """
        if image.kind == "table":
            return self._cell(image)
        if image.at == _DAMAGED:
            raise ValueError(f"{image.file} is no uncompressed tar, or is cut short; fetch it again")
        with told_failures(image.file):
            if image.kind == "tar":
                return self._opened_shard(image.file).read_at(image.size, image.at)
            with self._opened(image.file) as file:
                return file.read()

    def _opened(self, file: str) -> NativeFile:
        store = _store(file)
        if store not in self._stores:
            self._stores[store] = filesystem_of(store or file)[0]
        return self._stores[store].open_input_file(file.partition("://")[2] or file)

    def _opened_shard(self, file: str) -> NativeFile:
        """A shard, kept open until images of another are read."""
        with self._lock:
            if self._shard is None or self._shard[0] != file:
                self._shard = file, self._opened(file)
            return self._shard[1]

    def _cell(self, image: SourceImage) -> bytes:
        with self._lock:
            if self._table is None or self._table.file != image.file:
                self._table, self._group = open_images(image.file, self._column), -1
            table = self._table
            if self._group < 0 or image.at not in table.groups[self._group]:
                self._group = next(i for i, rows in enumerate(table.groups) if image.at in rows)
                self._cells = table.read(self._group)
            return image_bytes(self._cells[image.at - table.groups[self._group].start], image.path)


def _files(source: str) -> list[SourceImage]:
    """The files that a source names, those of object stores with size and version."""
    if source.endswith(".txt"):
        return [_named(line) for line in _lines(source)]
    patterns = expand_ranges(source)
    if len(patterns) > 1:
        return [file for pattern in patterns for file in _files(pattern)]
    if source.endswith(".lance"):
        return [_named(source)]
    return _files_of_store(source) if is_remote(source) else [_named(str(path)) for path in _on_disk(source)]


def _is_packed(file: SourceImage) -> bool:
    """Whether a file is a shard or a table, not an image."""
    return file.file.endswith((".tar", *_TABLES))


def _named(path: str) -> SourceImage:
    own = path if is_remote(path) else os.path.normpath(Path(path).absolute())
    return SourceImage(path=own, size=0, version="", file=own)


def _on_disk(source: str) -> Sequence[Path]:
    """The images that a path or a glob names; where there are none, the shards and tables."""
    try:
        return find_images(source)
    except FileNotFoundError:
        path = Path(source)
        within = path.glob("*") if path.is_dir() else path.parent.glob(path.name)
        packed = sorted(p for p in within if p.suffix in (".tar", *_TABLES))
        if not packed:
            raise
        return packed


def _files_of_store(source: str) -> list[SourceImage]:
    from pyarrow.fs import FileInfo, FileSelector, FileType

    filesystem, path = filesystem_of(source)
    scheme = source.partition("://")[0]
    wild = next((i for i, c in enumerate(path) if c in "*?["), None)
    folder = path if wild is None else path[:wild].rpartition("/")[0]
    with told_failures(source):
        infos: list[FileInfo] = [filesystem.get_file_info(folder)]
        bucket = folder.partition("/")[0]
        if infos[0].type == FileType.NotFound and filesystem.get_file_info(bucket).type == FileType.NotFound:
            raise FileNotFoundError(f"no bucket {scheme}://{bucket}: check its name, and the credentials")
        if infos[0].type == FileType.Directory or "/" not in folder:
            infos = filesystem.get_file_info(FileSelector(folder, recursive=True))
    found = [
        SourceImage(path=address, size=info.size or 0, version=str(info.mtime_ns), file=address)
        for info in infos
        if info.type == FileType.File
        and info.path.lower().endswith((*IMAGE_SUFFIXES, ".tar", ".parquet"))
        and (wild is None or fnmatch.fnmatchcase(info.path, path))
        and not any(part.startswith(".") for part in PurePosixPath(info.path).parts)
        and (address := f"{scheme}://{info.path}")
    ]
    return [file for file in found if not _is_packed(file)] or found


def _with_status(files: Sequence[SourceImage]) -> list[SourceImage]:
    """Files with their size and version; a file that is gone is told when it is read."""
    found = [file if file.version or is_remote(file.file) else _with_status_on_disk(file) for file in files]
    of_store: dict[str, list[int]] = {}
    for i, file in enumerate(found):
        if is_remote(file.file) and not file.version:
            of_store.setdefault(_store(file.file), []).append(i)
    for store, places in of_store.items():
        filesystem, _ = filesystem_of(store)
        with told_failures(store):
            infos = filesystem.get_file_info([found[i].file.partition("://")[2] for i in places])
        for i, info in zip(places, infos, strict=True):
            version = "" if info.mtime is None else str(info.mtime_ns)
            found[i] = replace(found[i], size=info.size or 0, version=version)
    return found


def _with_status_on_disk(file: SourceImage) -> SourceImage:
    try:
        status = Path(file.file).stat()
    except OSError:
        return file
    return replace(file, size=status.st_size, version=str(status.st_mtime_ns))


def _store(address: str) -> str:
    """The bucket of an address; "" for a file on disk."""
    scheme, sign, path = address.partition("://")
    return f"{scheme}://{path.partition('/')[0]}" if sign else ""


def _members(shard: SourceImage) -> list[SourceImage]:
    """The images in a tar shard; what of it is damaged is one image that cannot be read."""
    filesystem, path = filesystem_of(shard.file)
    found: list[SourceImage] = []
    with told_failures(shard.file), filesystem.open_input_file(path) as raw:
        try:
            with tarfile.open(fileobj=io.BufferedReader(raw, _BLOCK), mode="r:") as archive:
                for member in archive:
                    if member.isreg() and _is_image(member.name) and is_unicode(Path(member.name)):
                        found.append(
                            SourceImage(
                                path=f"{shard.path}/{member.name}",
                                size=member.size,
                                version=shard.version,
                                kind="tar",
                                file=shard.file,
                                at=member.offset_data,
                            )
                        )
            if found and found[-1].at + found[-1].size > shard.size:
                raise tarfile.ReadError("its last member is cut short")
        except (tarfile.TarError, EOFError):
            found.append(replace(shard, kind="tar", at=_DAMAGED))
    return found


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES) and not PurePosixPath(name).name.startswith(".")


def _cells(file: str, shard: Shard, column: str) -> list[SourceImage]:
    table = open_images(file, column)
    return [
        SourceImage(
            path=f"{file}#{row}", size=table.size, version=table.version, kind="table", file=file, at=row
        )
        for number, rows in enumerate(table.groups)
        if shard.owns(f"{file}#{number}")
        for row in rows
    ]


def _lines(source: str) -> Iterator[str]:
    """The entries of a list file; relative paths begin at its folder."""
    filesystem, path = filesystem_of(source)
    folder = source.rpartition("/")[0] if is_remote(source) else str(Path(source).parent)
    with told_failures(source):
        try:
            with filesystem.open_input_file(path) as file:
                text = file.read().decode()
        except FileNotFoundError:
            raise FileNotFoundError(f"no list of images {source}") from None
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{source}: expected a path or an address on each line, in UTF-8 ({error})"
            ) from error
    for line in map(str.strip, text.splitlines()):
        if line and not line.startswith("#"):
            whole = is_remote(line) or line.startswith("/") or not folder
            yield line if whole else f"{folder}/{line}"
