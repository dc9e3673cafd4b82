"""Images that two splits of a data set share: files of the same bytes, whatever they are called."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from xdecoder.data.dataset import Dataset, spread
from xdecoder.data.decoding import FileImage
from xdecoder.data.records import Sample

_MOST: Final = 1000
"""Images of the held-out split that are looked for."""


def shared_note(trained: Dataset[Any], held: Dataset[Any]) -> str | None:
    """A line on the images of a held-out split that are trained too; None where there is none.

    Files are compared by their sizes, those of equal size by their bytes. At most 1,000 images of the
    held-out split, spread over it, are looked for.
    """
    paths = dict.fromkeys(_paths(spread(held, _MOST)))
    shared = _found_in(_by_size(paths), _by_size(_paths(trained)))
    if not shared:
        return None
    return (
        f"{len(shared):,} of {len(paths):,} images of the {held.split} split are in the {trained.split} "
        "split too: scores on them tell what was learned by heart, not how well other images are read. Take "
        f"them out of one of the two. The first: {shared[0]}"
    )


def _paths(samples: Iterable[Sample]) -> Iterator[str]:
    """The files of images; what lies in a shard or a table is passed over."""
    return (sample.source.path for sample in samples if isinstance(sample.source, FileImage))


def _by_size(paths: Iterable[str]) -> dict[int, list[str]]:
    """Files by their bytes' number; absent ones are passed over, who reads them tells."""
    found: dict[int, list[str]] = {}
    for path in dict.fromkeys(paths):
        with suppress(OSError):
            found.setdefault(Path(path).stat().st_size, []).append(path)
    return found


def _found_in(held: dict[int, list[str]], trained: dict[int, list[str]]) -> list[str]:
    shared: list[str] = []
    for size in held.keys() & trained.keys():
        known = set(_digests(trained[size]).values())
        shared += [path for path, digest in _digests(held[size]).items() if digest in known]
    return sorted(shared)


def _digests(paths: Iterable[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for path in paths:
        with suppress(OSError), Path(path).open("rb") as file:
            found[path] = hashlib.file_digest(file, "sha256").digest()
    return found
