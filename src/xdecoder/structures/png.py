"""Pictures as PNG files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from xdecoder.jobs.files import write_whole


def png_bytes(picture: Image.Image | NDArray[Any]) -> bytes:
    """A picture as the content of a PNG file.

    Args:
        picture: or an array (H, W) of 8 or 16 bits, or (H, W, 3) of 8 bits.
    """
    stream = io.BytesIO()
    shown = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    shown.save(stream, "PNG")
    return stream.getvalue()


def write_png(path: Path, picture: Image.Image | NDArray[Any]) -> None:
    """Write a picture to a file, whole or not at all; folders are made.

    Args:
        path: with its folders, which are made.
        picture: as for `png_bytes`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, png_bytes(picture))
