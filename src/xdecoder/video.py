"""Videos and cameras a frame at a time, and videos written so: no more than a frame is held."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final, final

import numpy as np
from jaxtyping import UInt8

from xdecoder.bounds import check_whole_number
from xdecoder.images import MAX_PIXELS

VIDEO_SUFFIXES: Final = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")
"""The files that are taken for videos."""

_CAMERA: Final = re.compile(r"camera:(\d{1,3})")
_USUAL_RATE: Final = 25.0  # frames a second, where a camera does not say
_HIGHEST_RATE: Final = 1000.0
_FFMPEG_LEVEL: Final = "OPENCV_FFMPEG_LOGLEVEL"
_QUIET: Final = "-8"  # FFmpeg's AV_LOG_QUIET


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """A picture of a video.

    Attributes:
        number: from 0, counting all that the video has.
        seconds: since its beginning.
        pixels: RGB.
    """

    number: int
    seconds: float
    pixels: UInt8[np.ndarray, "H W 3"]


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Video:
    """What is known of an open video.

    Attributes:
        height: in pixels.
        width: in pixels.
        rate: frames a second.
        count: frames that it says it has; None for a camera, and where it does not say.
        frames: one after the other.
    """

    height: int
    width: int
    rate: float
    count: int | None
    frames: Iterator[Frame]


def is_video(source: str) -> bool:
    """Whether a name is that of a video file, or a camera's: "camera:0"."""
    return is_camera(source) or Path(source).suffix.lower() in VIDEO_SUFFIXES


def is_camera(source: str) -> bool:
    """Whether a name is a camera's."""
    return _CAMERA.fullmatch(source) is not None


@contextmanager
def open_video(source: str, *, every: int = 1, max_pixels: int = MAX_PIXELS) -> Generator[Video]:
    """A video file or a camera, open until the block ends.

    Args:
        source: a file, or "camera:0" for the first camera.
        every: of so many frames the first is given; the others are not decoded.
        max_pixels: the most pixels that a frame may have.

    Raises:
        ImportError: OpenCV is not installed.
        FileNotFoundError: there is no such file or camera.
        ValueError: it is no video that can be read, or its frames are too large.
    """
    check_whole_number("every", every)
    cv2 = opencv()
    camera = _CAMERA.fullmatch(source)
    if not camera and not Path(source).is_file():  # an address, say, which OpenCV would fetch
        raise FileNotFoundError(f"no such video: {source}")
    with _silent(cv2):
        if camera:
            capture = cv2.VideoCapture(int(camera[1]))
        else:
            capture = cv2.VideoCapture(str(Path(source).absolute()), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            if camera:
                raise FileNotFoundError(f"{source}: no such camera, or another program has it")
            raise ValueError(f"{source} is not a video that can be read; convert it to MP4 (H.264)")
        height, width = (
            int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
            int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
        )
        if not 0 < height * width <= max_pixels:
            raise ValueError(
                f"{source} has frames of {width} x {height} pixels, over the limit of {max_pixels:,}"
            )
        rate = capture.get(cv2.CAP_PROP_FPS)
        rate = rate if 0 < rate <= _HIGHEST_RATE else _USUAL_RATE
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        yield Video(
            height=height,
            width=width,
            rate=rate / every,
            count=None if camera or count < 1 else -(-count // every),
            frames=_frames(capture, every, rate, live=camera is not None),
        )
    finally:
        capture.release()


def _frames(capture: Any, every: int, rate: float, *, live: bool) -> Iterator[Frame]:
    cv2 = opencv()
    began = time.monotonic()
    number = 0
    while capture.grab():
        if number % every == 0:
            seconds = time.monotonic() - began if live else capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            read, stored = capture.retrieve()
            if not read:
                return
            if not live and seconds <= 0:
                seconds = number / rate
            pixels = np.ascontiguousarray(stored[..., ::-1])
            yield Frame(number=number, seconds=seconds, pixels=pixels)
        number += 1


@final
class VideoWriter:
    """An MP4 file that is written a picture at a time.

    Args:
        path: the file.
        rate: pictures a second.
        size: height and width.

    Raises:
        ImportError: OpenCV is not installed.
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path, *, rate: float, size: tuple[int, int]) -> None:
        cv2 = opencv()
        height, width = size
        self._path = path
        self._rate = rate
        self._size = size
        self._written = 0
        with _silent(cv2):
            self._writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), rate, (width, height))
        if not self._writer.isOpened():
            raise OSError(f"{path}: OpenCV cannot write a video there")

    def write(self, picture: UInt8[np.ndarray, "H W 3"], seconds: float) -> None:
        """Add a picture; it is shown until the next one, however late that comes.

        Args:
            picture: RGB.
            seconds: since the beginning, when it is shown.

        Raises:
            ValueError: it is of another size.
        """
        if picture.shape[:2] != self._size:
            raise ValueError(
                f"{self._path.name}: a frame of {picture.shape[1]} x {picture.shape[0]} pixels in a video of "
                f"{self._size[1]} x {self._size[0]}; convert the video to one size"
            )
        stored = np.ascontiguousarray(picture[..., ::-1])
        for _ in range(max(1, round(seconds * self._rate) + 1 - self._written)):
            self._writer.write(stored)
            self._written += 1

    def close(self) -> None:
        """Finish the file."""
        self._writer.release()


@contextmanager
def _silent(cv2: Any) -> Generator[None]:
    """Opens a video without OpenCV's and FFmpeg's own lines on stderr; errors say what is wrong.

    OpenCV reads FFmpeg's level where it first uses it, and it holds for decoding too. Who sets OpenCV's
    variables for the environment, OPENCV_FFMPEG_LOGLEVEL and OPENCV_LOG_LEVEL, sees what they ask for.
    """
    chosen = _FFMPEG_LEVEL in os.environ
    logging = cv2.utils.logging
    level = logging.getLogLevel()
    os.environ.setdefault(_FFMPEG_LEVEL, _QUIET)
    if "OPENCV_LOG_LEVEL" not in os.environ:
        logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logging.setLogLevel(level)
        if not chosen:
            del os.environ[_FFMPEG_LEVEL]


def opencv() -> Any:
    """OpenCV.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return import_module("cv2")
    except ImportError as error:
        raise ImportError("videos are read with OpenCV: pip install 'xdecoder[video]'") from error
