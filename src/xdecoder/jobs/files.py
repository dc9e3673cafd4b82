"""Files that are there whole or not at all, and names from data that stay in their folder.

What is being written is a draft, `.<random>.draft`, beside its place, and is renamed at the end. The writer
holds a lock on its draft, which ends with the process: `remove_drafts` takes away what a killed process left
and leaves alone what another one is writing.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import sys
import unicodedata
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import IO, Final

if sys.platform != "win32":  # where nobody can delete a file that is open
    import fcntl

_DRAFT: Final = ".draft"
_LONGEST: Final = 150
"""Bytes of a file name from data; file systems allow 255, and suffixes are added to it."""

_PLAIN: Final = re.compile(r"[\w ()+,;=@&%!'\[\]{}#$^-][\w ()+,;=@&%!'\[\]{}#$^.-]*")
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)


def read_file(path: Path) -> bytes:
    """A file's content.

    Raises:
        OSError: it cannot be read; unlike Python's own errors of reading, it names the file.
    """
    with name_file(path):
        return path.read_bytes()


def read_text(path: Path) -> str:
    """A text file's content: UTF-8, with or without a byte order mark.

    Raises:
        ValueError: it is not UTF-8.
        OSError: it cannot be read.
    """
    try:
        return read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: not UTF-8 (byte {error.start}), perhaps Latin-1 or another of Windows' encodings; save "
            "it as UTF-8"
        ) from error


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that, whatever happens, it is there whole or as it was before.

    Raises:
        FileNotFoundError: its folder does not exist.
        OSError: it cannot be written (disk full).
    """
    with whole_file(path) as file:
        file.write(data)


@contextmanager
def whole_file(path: Path) -> Generator[IO[bytes]]:
    """A file to write piece by piece; it is at `path` when the block ends, and untouched if it fails.

    Raises:
        FileNotFoundError: its folder does not exist.
        OSError: it cannot be written (disk full).
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no folder {path.parent} to write {path.name} to; make it first")
    draft, file = _open_draft(path.parent)
    try:
        with name_file(path), file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if sys.platform != "win32":  # renamed while locked, so that nobody takes it for a leftover
                draft.replace(path)
        if sys.platform == "win32":
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def name_file(path: Path) -> Generator[None]:
    """Errors of the system that name no file, as those of reading or writing an open one, name this one.

    Raises:
        OSError: what was raised inside, with the file's name.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        if type(error) is OSError and error.errno is None and str(path) not in str(error):  # a library's
            raise OSError(f"{path}: {error}") from error
        raise


@contextmanager
def draft_folder(parent: Path) -> Generator[Path]:
    """A folder in `parent` to write in; it and what is left in it are gone when the block ends.

    Raises:
        FileNotFoundError: there is no `parent`.
    """
    draft, descriptor = _make_draft(parent)
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def whole_folder(path: Path) -> Generator[Path]:
    """A folder to fill; it takes the place of `path` and of all in it when the block ends, if it succeeds.

    Raises:
        FileNotFoundError: the folder that `path` is to lie in does not exist.
    """
    with draft_folder(path.parent) as draft:
        with name_file(path):
            yield draft
        if path.exists():
            shutil.rmtree(path)  # a folder cannot be moved onto one that holds something
        draft.replace(path)


def remove_drafts(folder: Path) -> int:
    """Delete the drafts that killed processes left in a folder, not in those below; how many there were.

    Call it where a run begins to write into a folder. Drafts that are being written stay.
    """
    removed = 0
    for draft in folder.glob(f".*{_DRAFT}"):
        try:
            if sys.platform == "win32":
                if draft.is_file():
                    draft.unlink()  # refused while it is open
                    removed += 1
                continue
            descriptor = os.open(draft, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(draft) if draft.is_dir() else draft.unlink()
                removed += 1
            finally:
                os.close(descriptor)
        except OSError:  # being written, somebody else's, or gone already
            continue
    return removed


def safe_name(name: str) -> str:
    """The file name, without a suffix, for a name that comes from data.

    A plain name is itself. Any other (with separators, control characters, a leading or a closing dot, a
    closing space, "~", too long, reserved by Windows, not in Unicode's composed form) has those characters
    replaced and ends with "~" and a digest of the whole name, so that distinct names stay distinct and none
    leaves its folder.
    """
    composed = unicodedata.normalize("NFC", name)
    if (
        composed == name
        and _PLAIN.fullmatch(name)
        and not name.endswith((".", " "))
        and not name.startswith(" ")
        and not _RESERVED.fullmatch(name)
        and len(name.encode()) <= _LONGEST
    ):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    readable = re.sub(r"[^\w ()+,;=@&-]+", "_", composed).strip(" ")
    stem = readable.encode("utf-8", "ignore")[: _LONGEST - len(digest) - 1].decode("utf-8", "ignore")
    return f"{'_' if _RESERVED.fullmatch(stem) else ''}{stem}~{digest}"


def flat_name(path: PurePath, taken: set[str]) -> str:
    """A file name, without suffix, for a file that joins others of many folders in one.

    Args:
        path: where it lies: its own name is taken, with its folders' where another has that.
        taken: names that were given, without case; the new one is added.
    """
    name = safe_name(path.stem)
    if name.casefold() in taken:
        name = safe_name(path.as_posix())
    taken.add(name.casefold())
    return name


def _new_draft(parent: Path) -> Path:
    return parent / f".{secrets.token_hex(8)}{_DRAFT}"


def _open_draft(parent: Path) -> tuple[Path, IO[bytes]]:
    while True:
        draft = _new_draft(parent)
        file = draft.open("xb")
        if sys.platform == "win32":
            return draft, file
        if _hold(file.fileno()) and os.fstat(file.fileno()).st_nlink:
            return draft, file
        file.close()  # taken for a leftover between its making and its lock


def _make_draft(parent: Path) -> tuple[Path, int | None]:
    while True:
        draft = _new_draft(parent)
        draft.mkdir()
        if sys.platform == "win32":
            return draft, None
        try:
            descriptor = os.open(draft, os.O_RDONLY)
        except FileNotFoundError:  # taken for a leftover
            continue
        if _hold(descriptor) and draft.is_dir():
            return draft, descriptor
        os.close(descriptor)


def _hold(descriptor: int) -> bool:
    """Lock a draft, where the file system has locks; False where `remove_drafts` is at it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        pass
    return True
