"""Results on disk as they come: append-only files of JSON lines, one for each process, which survive a kill.

The first line of a file says what its results were made with. A last line that a kill cut short is dropped;
the file goes on after the line before.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, final

from xdecoder.jobs.files import name_file
from xdecoder.jobs.fingerprint import Fingerprint, differences

if sys.platform != "win32":
    import fcntl
else:
    fcntl = None

Key = int | str
"""What a result is of: the id of an image."""

_SECONDS_BETWEEN_SYNCS = 5.0


@final
class Journal:
    """One process's file, open for appending, and held until it is closed or the process ends.

    Args:
        folder: of the benchmark's results.
        rank: number of the process that writes; each has lines of its own.
        fingerprint: what the results are made with.

    Raises:
        ValueError: another process is writing the file, or its results were made with something else.
    """

    def __init__(self, folder: Path, rank: int, fingerprint: Fingerprint) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"journal-{rank}.jsonl"
        self._path = path
        self._synced = 0.0
        self._file: BinaryIO = path.open("ab")
        try:
            _hold(self._file, path)
            whole = _whole_length(path)
            if whole:
                _check(path, fingerprint)
            self._file.truncate(whole)
        except BaseException:
            self._file.close()
            raise
        if not whole:
            self.add({"fingerprint": dict(fingerprint)})

    def add(self, entry: Mapping[str, Any]) -> None:
        """Append a line; what was appended is on the disk some seconds later at the latest.

        Raises:
            OSError: it cannot be written (disk full).
        """
        with name_file(self._path):
            self._file.write(json.dumps(entry).encode() + b"\n")
            self._file.flush()
            now = time.monotonic()
            if now - self._synced > _SECONDS_BETWEEN_SYNCS:
                os.fsync(self._file.fileno())
                self._synced = now

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        with name_file(self._path), self._file:
            self._file.flush()
            os.fsync(self._file.fileno())


@final
@dataclass(frozen=True, kw_only=True)
class Finished:
    """Where the results of a folder's journals lie.

    Attributes:
        places: image id -> file and offset of its result.
        failed: image id -> why it has none.
    """

    places: Mapping[Key, tuple[Path, int]]
    failed: Mapping[Key, str]

    @classmethod
    def read(cls, folder: Path, fingerprint: Fingerprint) -> Finished:
        """Look through a folder's journals, of whatever number of processes.

        Raises:
            ValueError: results were made with something else, or a line is damaged.
        """
        places: dict[Key, tuple[Path, int]] = {}
        failed: dict[Key, str] = {}
        for path in sorted(folder.glob("journal-*.jsonl")):
            if not _whole_length(path):
                continue
            _check(path, fingerprint)
            for offset, line in _lines(path):
                try:
                    entry = json.loads(line)
                except ValueError as error:
                    raise ValueError(
                        f"{path}: damaged at byte {offset} ({error}); delete the file to compute its "
                        "images again"
                    ) from error
                if not isinstance(entry, dict):
                    raise ValueError(
                        f"{path}: byte {offset} begins no result, but {str(entry)[:40]}; delete the file to "
                        "compute its images again"
                    )
                if "image_id" not in entry:
                    continue
                if "error" in entry:
                    failed[entry["image_id"]] = entry["error"]
                else:
                    places.setdefault(entry["image_id"], (path, offset))
        return cls(places=places, failed={i: why for i, why in failed.items() if i not in places})

    def entries(self, order: Iterator[Key]) -> Iterator[dict[str, Any]]:
        """The results of some images, in their order; images without one are passed over."""
        open_files: dict[Path, BinaryIO] = {}
        try:
            for image_id in order:
                if image_id not in self.places:
                    continue
                path, offset = self.places[image_id]
                if path not in open_files:
                    open_files[path] = path.open("rb")
                with name_file(path):
                    open_files[path].seek(offset)
                    line = open_files[path].readline()
                yield json.loads(line)
        finally:
            for file in open_files.values():
                file.close()


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Whole lines and where they begin."""
    offset = 0
    with name_file(path), path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield offset, line
            offset += len(line)


def _whole_length(path: Path) -> int:
    """Bytes up to the end of the last whole line."""
    if not path.is_file():
        return 0
    return max((offset + len(line) for offset, line in _lines(path)), default=0)


def _hold(file: BinaryIO, path: Path) -> None:
    """Keep other processes from writing the file, where the file system has locks."""
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ValueError(
            f"another process is writing results to {path.parent}: wait for its end, or give another --out; "
            "several processes share the work under torchrun"
        ) from error
    except OSError:  # a file system without locks
        return


def _check(path: Path, fingerprint: Fingerprint) -> None:
    _, first = next(_lines(path))
    try:
        stored = json.loads(first)["fingerprint"]
        known = dict(stored)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path} is no journal of results, its first line has no fingerprint: give another --out, or "
            "delete the file"
        ) from error
    if differing := differences(known, fingerprint):
        raise ValueError(
            f"{path.parent} holds results made otherwise ({differing}): give another --out, or "
            "delete the folder"
        )
