"""A folder on a disk or in an object store: files listed, read, and written whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from xdecoder.jobs.files import remove_drafts, write_whole

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

_CREDENTIALS = "check the credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
_HINTS = {
    "ACCESS_DENIED": _CREDENTIALS,
    "INVALID_ACCESS_KEY": _CREDENTIALS,
    "HTTP status 403": _CREDENTIALS,
    "NO_SUCH_BUCKET": "check the bucket's name, or make it",
    "NETWORK_CONNECTION": "check the network, and AWS_ENDPOINT_URL where the store is not Amazon's",
}
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
GO_ON = "what was labeled before is whole; run the same command again: it goes on from there"


def is_remote(address: str) -> bool:
    """Whether an address names an object store, not a path."""
    return "://" in address


def filesystem_of(address: str) -> tuple[FileSystem, str]:
    """Where an address leads: pyarrow's file system, and the path in it.

    Args:
        address: a path, or an address that pyarrow knows, such as "s3://bucket/folder".

    Raises:
        ValueError: pyarrow knows no such address.
        OSError: the store cannot be reached.
    """
    from pyarrow import fs

    if not is_remote(address):
        return fs.LocalFileSystem(), os.path.normpath(Path(address).absolute())
    scheme, _, path = address.partition("://")
    with told_failures(address):
        try:  # the bucket alone: names may hold what an address may not
            return fs.FileSystem.from_uri(f"{scheme}://{path.partition('/')[0]}")[0], path.rstrip("/")
        except ValueError as error:  # pyarrow.ArrowInvalid
            raise ValueError(
                f"{address} is no address of an object store ({error}); expected s3://bucket/..."
            ) from None


@contextmanager
def told_failures(address: str, end: str = "") -> Generator[None]:
    """An object store's errors, and a full disk's, say what to do.

    Args:
        address: what is read or written.
        end: what is said at the end.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        text = str(error.strerror or error).partition(" (Request ID")[0]
        hints = [hint for sign, hint in _HINTS.items() if sign in text][:1]
        hints += ["make room"] if error.errno in _FULL else []
        raise OSError(
            error.errno or errno.EIO, "; ".join([f"{address}: {text}", *hints, *([end] * bool(end))])
        ) from error


@final
@dataclass(frozen=True, kw_only=True)
class Place:
    """A folder.

    Attributes:
        address: as the user named it.
        filesystem: pyarrow's.
        path: within it.
    """

    address: str
    filesystem: FileSystem
    path: str

    @classmethod
    def of(cls, address: str | os.PathLike[str]) -> Place:
        """The folder of an address; errors as `filesystem_of`."""
        name = os.fspath(address)
        filesystem, path = filesystem_of(name)
        return cls(address=name, filesystem=filesystem, path=path)

    @property
    def is_remote(self) -> bool:
        """Whether it lies in an object store."""
        return is_remote(self.address)

    def full(self, name: str) -> str:
        """The path of a file, for pyarrow."""
        return f"{self.path}/{name}"

    def names(self, folder: str) -> list[str]:
        """The files in one of its folders, sorted; none where there is no such folder.

        Raises:
            OSError: the store cannot be read.
        """
        from pyarrow.fs import FileSelector, FileType

        with told_failures(self.address):
            found = self.filesystem.get_file_info(FileSelector(self.full(folder), allow_not_found=True))
        names = sorted(info.base_name for info in found if info.type == FileType.File)
        return [f"{folder}/{name}" for name in names if not name.startswith(".")]

    def read(self, name: str) -> bytes:
        """A file's content.

        Raises:
            FileNotFoundError: there is no such file.
            OSError: the store cannot be read.
        """
        with told_failures(self.address), self.filesystem.open_input_file(self.full(name)) as file:
            return file.read()

    def write(self, name: str, data: bytes) -> None:
        """Write a file, whole or not at all; its folder is made.

        Raises:
            OSError: it cannot be written, such as for a full disk.
        """
        with told_failures(self.address, GO_ON):
            if not self.is_remote:
                path = Path(self.full(name))
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, data)
                return
            with self.filesystem.open_output_stream(self.full(name)) as stream:
                stream.write(data)  # an object appears when it is closed

    def remove_drafts(self, *folders: str) -> None:
        """Take away what killed processes left half-written in some of its folders; stores have no such."""
        if not self.is_remote:
            for folder in folders:
                remove_drafts(Path(self.path, folder))

    def delete(self, name: str) -> None:
        """Delete a file, if it is there.

        Raises:
            OSError: it cannot be deleted.
        """
        with told_failures(self.address):
            try:
                self.filesystem.delete_file(self.full(name))
            except FileNotFoundError:  # another process was first
                return
