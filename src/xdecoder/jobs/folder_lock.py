"""A folder of results belongs to one process at a time; the others wait."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

if sys.platform != "win32":  # which has no locks of folders
    import fcntl


@contextmanager
def hold_folder(folder: Path, on_wait: Callable[[], None]) -> Generator[None]:
    """Hold a folder until the block ends or the process does, however it ends.

    The folder itself is locked, so that nothing is left in it. Where there are no such locks (Windows, some
    network file systems), nothing is held.

    Args:
        folder: an existing folder.
        on_wait: called once where another process holds it, before waiting for that one's end.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(descriptor)
