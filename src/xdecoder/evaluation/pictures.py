"""Arrays to PNG files, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from xdecoder.jobs.files import write_whole
from xdecoder.structures.result import png_bytes


def write_png(path: Path, pixels: NDArray[Any]) -> None:
    """Write an array (H, W) of 8 or 16 bits or (H, W, 3) of 8 bits; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, png_bytes(Image.fromarray(pixels)))
