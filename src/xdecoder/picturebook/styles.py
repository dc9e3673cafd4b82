"""Other ways to draw the same scenes, which no training shows: flat colors, and ink on tinted paper."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from jaxtyping import Bool, UInt8

from xdecoder.picturebook.opencv import cv2
from xdecoder.picturebook.palette import INK, Rgb, darker, mix
from xdecoder.picturebook.scene import Scene
from xdecoder.picturebook.vocabulary import STUFF_CATEGORIES

_PAPER: Final[Rgb] = (250, 246, 236)
_TINT: Final = 0.35
"""How much of a stuff's color its paper has."""


def draw_flat(scene: Scene) -> Scene:
    """The scene in flat colors: every segment in its median color alone, without light, shade or texture.

    Args:
        scene: as `draw_scene` gives it.
    """
    drawn = scene.image.copy()
    for segment in scene.segments:
        mask = scene.ids == segment.id
        drawn[mask] = _median(scene.image[mask])
    return replace(scene, image=drawn)


def draw_in_ink(scene: Scene) -> Scene:
    """The scene as a colored ink drawing: all that is true of it stays true.

    Things keep their colors, flat and outlined; stuff becomes paper tinted with its color and hatched, each
    category in a direction of its own.

    Args:
        scene: as `draw_scene` gives it.
    """
    flat = cv2.medianBlur(scene.image, 5)
    drawn = flat.copy()
    for segment in scene.stuff:
        mask = scene.ids == segment.id
        color = _median(flat[mask])
        drawn[mask] = mix(_PAPER, color, _TINT)
        drawn[mask & _hatching(scene.size, STUFF_CATEGORIES.index(segment.category))] = darker(color, 0.1)
    drawn[_outlines(scene)] = INK
    return replace(scene, image=drawn)


def _median(pixels: UInt8[np.ndarray, "N 3"]) -> Rgb:
    red, green, blue = (round(value) for value in np.median(pixels, axis=0).tolist())
    return red, green, blue


def _hatching(size: int, number: int) -> Bool[np.ndarray, "H W"]:
    """Parallel lines, their direction and distance by a category's number."""
    angle = np.pi * number / len(STUFF_CATEGORIES)
    distance = size / (20 + 4 * (number % 3))
    y, x = np.indices((size, size))
    return (np.cos(angle) * x + np.sin(angle) * y) % distance < 0.35 * distance


def _outlines(scene: Scene) -> Bool[np.ndarray, "H W"]:
    """The borders of the segments, at least a pixel wide."""
    border = np.zeros(scene.ids.shape, np.uint8)
    border[:, 1:] |= scene.ids[:, 1:] != scene.ids[:, :-1]
    border[1:] |= scene.ids[1:] != scene.ids[:-1]
    wide = max(1, round(scene.size / 96))
    return cv2.dilate(border, np.ones((wide, wide), np.uint8)).astype(bool)
