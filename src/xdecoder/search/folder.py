"""What of a folder is new, has changed or is gone since it was indexed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path

from xdecoder.images import find_images
from xdecoder.jobs.files import name_file

_BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """What tells one content of a file from another.

    Size and time are compared first; only where they differ, the file is read and its digest compared.

    Attributes:
        size: in bytes.
        time: of the last change, in nanoseconds.
        digest: of the content.
    """

    size: int
    time: int
    digest: str

    @classmethod
    def of(cls, path: Path) -> Fingerprint:
        """Read a file's fingerprint.

        The size and the time are taken before the content, so that a file which changes meanwhile is seen to
        have changed.

        Raises:
            OSError: it cannot be read.
        """
        status = path.stat()
        digest = hashlib.blake2b(digest_size=16)
        with name_file(path), path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        return cls(size=status.st_size, time=status.st_mtime_ns, digest=digest.hexdigest())

    def is_recent(self, path: Path) -> bool:
        """Whether a file is there and has this size and time."""
        try:
            status = path.stat()
        except OSError:
            return False
        return (status.st_size, status.st_mtime_ns) == (self.size, self.time)


@dataclass(frozen=True, kw_only=True)
class Changes:
    """A folder held against what an index knows of it; paths are absolute.

    Attributes:
        new: files that the index does not know, or with another content.
        touched: files with the content that the index knows, but another time.
        unchanged: how many files are as the index knows them.
        gone: files that the index knows and that are no longer there.
        known: all files below the folder that the index knows.
    """

    new: tuple[Path, ...]
    touched: Mapping[str, Fingerprint]
    unchanged: int
    gone: tuple[str, ...]
    known: Set[str]


def absolute(path: str | os.PathLike[str]) -> Path:
    """A path from the root, without ".." and through links as they are."""
    return Path(os.path.normpath(Path(path).absolute()))


def compare(folder: Path, known: Mapping[str, Fingerprint]) -> Changes:
    """Find out what has changed.

    Args:
        folder: searched for images, subfolders too.
        known: what the index knows of the files below it, by their absolute paths.

    Raises:
        FileNotFoundError: there is no such folder, or no image below it.
    """
    new: list[Path] = []
    touched: dict[str, Fingerprint] = {}
    paths = find_images(folder)
    for path in paths:
        before = known.get(str(path))
        now = None if before is None else _if_same_content(path, before)
        if now is None:
            new.append(path)
        elif now != before:
            touched[str(path)] = now
    return Changes(
        new=tuple(new),
        touched=touched,
        unchanged=len(paths) - len(new) - len(touched),
        gone=tuple(known.keys() - {str(path) for path in paths}),
        known=known.keys(),
    )


def _if_same_content(path: Path, before: Fingerprint) -> Fingerprint | None:
    """A file's fingerprint if its content is as before; else None."""
    if before.is_recent(path):
        return before
    try:
        now = Fingerprint.of(path)
    except OSError:  # told when it is read as an image
        return None
    return now if now.digest == before.digest else None
