"""Text files that describe a model, read with a bound on their size and one clear line of what is wrong."""

from __future__ import annotations

import json
import reprlib
from pathlib import Path
from typing import NoReturn

from xdecoder.jobs.files import name_file

_LFS = b"version https://git-lfs.github.com/spec/"


def refuse_pointer(path: Path) -> None:
    """Refuse what Git leaves in a clone in place of a large file.

    Raises:
        ValueError: the file is a pointer of Git LFS.
        OSError: it cannot be read.
    """
    with name_file(path), path.open("rb") as file:
        head = file.read(len(_LFS))
    if head == _LFS:
        raise ValueError(f"{path} is a Git LFS pointer, not the file itself: run `git lfs pull` there")


def read_bytes(path: Path, *, most: int) -> bytes:
    """A small file's contents.

    Args:
        path: a file that is there.
        most: bytes that it may have.

    Raises:
        ValueError: it is larger, or a pointer of Git LFS.
        OSError: it cannot be read.
    """
    refuse_pointer(path)
    with name_file(path), path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"{path} is larger than {most / 1e6:g} MB, which no such file of a model is")
    return data


def read_json(path: Path, *, most: int) -> object:
    """What a JSON file holds; NaN and Infinity are no JSON.

    Args:
        path: a file that is there.
        most: bytes that it may have.

    Raises:
        ValueError: it is damaged, or too large.
        OSError: it cannot be read.
    """
    data = read_bytes(path, most=most)
    try:
        return json.loads(data.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged, or no JSON: {one_line(error)}") from error


def shown(value: object) -> str:
    """A value from a file, which may be of any size, as a message shows it."""
    brief = reprlib.Repr()
    brief.maxlevel, brief.maxlist, brief.maxdict = 2, 4, 4
    return brief.repr(value)


def one_line(error: BaseException) -> str:
    """An error's message on one line, cut where it is long."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]}..."


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
