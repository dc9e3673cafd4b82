"""A run's folder belongs to one run at a time.

A killed launcher leaves its workers behind, which go on writing checkpoints; a second run in their folder
would delete what they are writing, and they what it writes.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

if sys.platform != "win32":  # where nothing is held
    import fcntl

_LOCK = "run.lock"


@contextmanager
def lock_run(folder: Path) -> Generator[None]:
    """Hold a run's folder, made if need be, until the block ends or the process does, however it ends.

    On Windows nothing is held.

    Raises:
        ValueError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        yield
        return
    with (folder / _LOCK).open("a+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:  # POSIX allows either
            file.seek(0)
            raise ValueError(
                f"another run is going on in {folder}, of {file.read()}: wait for its end, stop it, or give "
                "this run another folder with --out"
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
