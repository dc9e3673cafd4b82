"""OpenCV, or an error that says how to get it."""

from __future__ import annotations

try:
    import cv2
except ImportError as error:
    raise ImportError(
        "the picture-book world is drawn with OpenCV: pip install 'xdecoder[picturebook]'"
    ) from error

__all__ = ["cv2"]
