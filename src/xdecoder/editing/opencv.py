"""OpenCV, or an error that says how to get it."""

from __future__ import annotations

try:
    import cv2
except ImportError as error:
    raise ImportError("pictures are edited with OpenCV: pip install 'xdecoder[edit]'") from error

__all__ = ["cv2"]
