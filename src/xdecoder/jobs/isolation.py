"""Work on several images in which one bad image does not spoil the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import UInt8

from xdecoder.images import read_image

Pixels = UInt8[np.ndarray, "_ _ 3"]  # those of one list have different sizes
_R = TypeVar("_R")


@dataclass(frozen=True, kw_only=True)
class FailedImage:
    """An image that could not be worked on.

    Attributes:
        path: its file.
        error: that reading or working on it raised.
    """

    path: Path
    error: Exception


def attempt(
    paths: Sequence[Path], verb: Callable[[list[Pixels]], Sequence[_R]], *, debug: bool = False
) -> list[_R | Exception]:
    """The result, or the error, of each image.

    Where the verb refuses the images together, it is given them one by one. A file whose name is not Unicode
    is refused, as no result could name it.

    Args:
        paths: image files.
        verb: images to as many results.
        debug: let the first error through.
    """
    return attempt_read([_read(path, debug=debug) for path in paths], verb, debug=debug)


def attempt_read(
    images: Sequence[Pixels | Exception],
    verb: Callable[[list[Pixels]], Sequence[_R]],
    *,
    debug: bool = False,
) -> list[_R | Exception]:
    """As `attempt`, of images that were read already; what could not be read stays the error that it is.

    Args:
        images: images, or why there is none.
        verb: images to as many results.
        debug: let the first error through.
    """
    results: dict[int, _R | Exception] = {}
    read: dict[int, Pixels] = {}
    for i, image in enumerate(images):
        if isinstance(image, Exception):
            results[i] = image
        else:
            read[i] = image
    try:
        if read:
            results.update(zip(read, verb(list(read.values())), strict=True))
    except (ValueError, MemoryError, RuntimeError):  # torch tells a full memory by a RuntimeError
        if debug:
            raise
        for i, image in read.items():
            try:
                results[i] = verb([image])[0]
            except (ValueError, MemoryError, RuntimeError) as error:
                results[i] = error
    return [results[i] for i in range(len(images))]


def check_name(path: Path) -> None:
    """Refuse a file whose name is not Unicode.

    Raises:
        ValueError: saying so.
    """
    if not is_unicode(path):
        raise ValueError(f"{path}: the name is not UTF-8, so that no result can name it; rename the file")


def _read(path: Path, *, debug: bool) -> Pixels | Exception:
    try:
        check_name(path)
        return read_image(path)
    except (ValueError, OSError, MemoryError) as error:
        if debug:
            raise
        return error


def is_unicode(path: Path) -> bool:
    """Whether a path can be written in JSON or a table: its bytes are UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
