"""The bundled model, exported once for all tests that run it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def export(model: str | Path, out: Path, *options: str) -> str:
    """What the command prints; in a process of its own, where annotations are not checked."""
    command = [sys.executable, "-m", "xdecoder", "export", str(model), str(out), "--to", "onnx", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every graph of the bundled model, of images of any size, checked; not to be written to."""
    folder = tmp_path_factory.mktemp("exported") / "picturebook"
    export("picturebook", folder, "--check")
    return folder
