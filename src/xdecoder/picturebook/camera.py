"""The last steps of a picture: shadows, things pasted in, and what a camera does to it all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xdecoder.picturebook.opencv import cv2
from xdecoder.picturebook.things import Sprite


def shadow(image: NDArray[np.uint8], sprite: Sprite, *, left: int, top: int) -> None:
    """Darken, in place, the ground below a thing whose corner lies at (left, top)."""
    size = image.shape[0]
    height, width = sprite.alpha.shape
    foot = top + height
    high = max(2, round(width * 0.11))
    rows = slice(max(0, foot - high), min(size, foot + high))
    columns = slice(max(0, left - 2), min(size, left + width + 2))
    mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    middle = (left + width // 2 - columns.start, foot - 1 - rows.start)
    cv2.ellipse(mask, middle, (round(width * 0.46), high - 1), 0, 0, 360, (80,), -1, cv2.LINE_AA)
    ground = image[rows, columns]
    shade = cv2.multiply(ground, cv2.merge((mask, mask, mask)), scale=1 / 255)
    cv2.subtract(ground, shade, ground)


def blend(image: NDArray[np.uint8], sprite: Sprite, *, left: int, top: int) -> None:
    """Paste a thing, in place, its corner at (left, top)."""
    height, width = sprite.alpha.shape
    window = image[top : top + height, left : left + width]
    free = cv2.bitwise_not(sprite.alpha)
    behind = cv2.multiply(window, cv2.merge((free, free, free)), scale=1 / 255)
    cv2.add(behind, sprite.rgb, window)


def photograph(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Brightness, blur, noise and compression, each in moderation."""
    chance = rng.random(8).tolist()
    picture = cv2.convertScaleAbs(image, alpha=0.94 + 0.1 * chance[0], beta=3 * chance[1])
    if chance[2] < 0.3:
        picture = cv2.GaussianBlur(picture, (3, 3), 0.35 + 0.25 * chance[3])
    if chance[4] < 0.75:
        # Random bytes spread evenly over 0..255: their deviation is 74 before scaling.
        grain = np.frombuffer(rng.bytes(image.size), np.uint8).reshape(image.shape)
        share = (0.5 + 3.5 * chance[5]) / 74
        picture = cv2.addWeighted(picture, 1.0, grain, share, -127.5 * share)
    if chance[6] < 0.4:
        quality = 60 + int(35 * chance[7])
        bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        _, coded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR)
        assert decoded is not None
        picture = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
    return np.asarray(picture, np.uint8)
