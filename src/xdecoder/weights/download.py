"""Files of the Hugging Face hub, received by ranges, so that a killed download goes on where it stopped.

What was received lies in a `.part` beside the file's place, named by the content that the hub announces, and
becomes the file when all of it is there and its digest is right.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from xdecoder.jobs.files import name_file
from xdecoder.weights.documents import one_line

_BLOCK = 1 << 20
_ATTEMPTS = 5
"""Tries in a row that bring nothing before a transfer is given up."""

_TIMEOUT = 30  # seconds without a byte


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file of a repository on the hub, as it is in one commit.

    Attributes:
        repository: "owner/name".
        name: of the file within the repository.
        commit: of the repository that the file belongs to.
        etag: the content's name: its sha256, or what Git calls a small file.
        size: in bytes.
        location: where it can be had, for a while.
    """

    repository: str
    name: str
    commit: str
    etag: str
    size: int
    location: str


def endpoint() -> str:
    """The hub's address: `$HF_ENDPOINT`, or huggingface.co."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def find_file(repository: str, name: str, commit: str | None = None) -> RemoteFile:
    """Ask the hub for a file.

    Args:
        repository: "owner/name".
        name: of the file within the repository.
        commit: of the repository; None for the latest of its main branch.

    Raises:
        EntryNotFoundError: the repository has no such file.
        Exception: of huggingface_hub: no such repository, offline, no answer, ...
        ValueError: the answer does not say what the file is.
    """
    import huggingface_hub

    url = huggingface_hub.hf_hub_url(repository, name, revision=commit, endpoint=endpoint())
    found = huggingface_hub.get_hf_file_metadata(url, timeout=_TIMEOUT, endpoint=endpoint())
    if found.size is None or not found.etag or not found.commit_hash:
        raise ValueError(f"{url} does not say its size, its content's digest and its commit")
    return RemoteFile(
        repository=repository,
        name=name,
        commit=found.commit_hash,
        etag=found.etag,
        size=found.size,
        location=found.location,
    )


def receive(file: RemoteFile, path: Path) -> None:
    """Bring a file to `path`, going on with what an earlier try received; a bar on stderr says how far it is.

    Another process that does the same is waited for. A file that is at `path` already is left as it is.

    Args:
        file: from `find_file`.
        path: where it is to lie; its name must belong to this content alone.

    Raises:
        ConnectionError: the transfer ended too early, again and again; what came is kept.
        ValueError: what came is not what the hub announced; it was deleted.
        OSError: the disk has no room.
    """
    from filelock import FileLock
    from huggingface_hub.utils import tqdm

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        if path.is_file():
            return
        part = path.with_name(f"{path.name}.part")
        part.touch()
        have = part.stat().st_size
        _require_room(part.parent, file.size - have)
        with tqdm(
            desc=file.name, total=file.size, initial=have, unit="B", unit_scale=True, unit_divisor=1000
        ) as bar:
            _receive_all(file, part, bar.update)
        _verify(file, part)
        part.replace(path)


def _receive_all(file: RemoteFile, part: Path, advance: Callable[[int], object]) -> None:
    failures, location = 0, file.location
    while (have := part.stat().st_size) < file.size:
        cause: Exception | None = None
        try:
            for length in _receive_range(location, part, have, file.size):
                advance(length)
        except _DiskError as error:
            raise error.cause from error
        except Exception as error:  # whatever the client raises where a line or a server fails
            cause = error
        failures = 0 if part.stat().st_size > have else failures + 1
        if failures == _ATTEMPTS:
            why = "the server sent no more" if cause is None else f"{type(cause).__name__}: {one_line(cause)}"
            raise ConnectionError(
                f"{file.name} stopped at {part.stat().st_size / 1e6:.1f} of {file.size / 1e6:.1f} MB. What "
                f"came is kept: run the same again to go on. {why}"
            ) from cause
        if failures:
            time.sleep(min(2.0 ** (failures - 2), 8))
            location = _find_again(file) or location


def _find_again(file: RemoteFile) -> str | None:
    """Where the file can be had now: addresses expire."""
    try:
        found = find_file(file.repository, file.name, file.commit)
    except Exception:  # the next try says what is wrong
        return None
    return found.location if found.etag == file.etag else None


class _DiskError(Exception):
    """A block could not be written: no failure of the line, so not tried again."""

    def __init__(self, cause: OSError) -> None:
        self.cause = cause


def _receive_range(location: str, part: Path, start: int, size: int) -> Iterator[int]:
    """Append what the server sends from byte `start` on; yields the length of each block."""
    import huggingface_hub
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    own = location.startswith(f"{endpoint()}/")  # the token is for the hub, not for where it sends us
    headers = {
        **(build_hf_headers() if own else {}),
        "Accept-Encoding": "identity",
        "Range": f"bytes={start}-",
    }
    session = huggingface_hub.get_session()
    with session.stream("GET", location, headers=headers, timeout=_TIMEOUT) as response:
        hf_raise_for_status(response)
        whole = response.status_code != 206  # a server that knows no ranges sends all of it again
        if whole:
            os.truncate(part, 0)
            yield -start
        received = 0 if whole else start
        with part.open("ab") as out:
            for block in response.iter_raw():  # as it comes: blocks of a size would be lost with the line
                block = block[: size - received]
                try:
                    out.write(block)
                except OSError as error:
                    raise _DiskError(error) from error
                received += len(block)
                yield len(block)


def _verify(file: RemoteFile, part: Path) -> None:
    digest = hashlib.sha256() if len(file.etag) == 64 else hashlib.sha1(f"blob {file.size}\0".encode())
    with name_file(part), part.open("rb") as data:
        while block := data.read(_BLOCK):
            digest.update(block)
    if digest.hexdigest() != file.etag:
        part.unlink()
        raise ValueError(
            f"{file.name} arrived damaged: its digest is {digest.hexdigest()[:16]}..., the hub announced "
            f"{file.etag[:16]}.... It was deleted: run the same again"
        )


def _require_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(
            f"{folder} has {free / 1e9:.2f} GB free, the download needs {needed / 1e9:.2f} GB: make room, or "
            "set XDECODER_CACHE to a folder on another disk"
        )
