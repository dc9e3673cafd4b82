"""A pen that draws shapes, given in coordinates from -1 to 1, into a small tile with transparency."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xdecoder.picturebook.opencv import cv2
from xdecoder.picturebook.palette import INK, STEEL, Rgb, darker, is_dark, lighter

Points = Sequence[tuple[float, float]]

_REACH: Final = 1.42  # the tile holds the unit square however it is turned
_LARGE: Final = 20  # pixels of radius from which fewer samples do
_CIRCLE: Final = [(math.cos(2 * math.pi * k / 40), math.sin(2 * math.pi * k / 40)) for k in range(40)]
_SHIFT: Final = 4  # bits of OpenCV's fixed-point coordinates


class Pen:
    """Draws one thing, two or three times larger than it will be, in four channels whose last is coverage.

    Args:
        radius: half the unit square's side, in pixels of the finished picture.
        color: the thing's named color.
        angle: turn in degrees, clockwise.
        mirror: whether left and right change places.
        stretch: factors of the horizontal and vertical axis.
    """

    def __init__(
        self,
        *,
        radius: float,
        color: Rgb,
        angle: float = 0.0,
        mirror: bool = False,
        stretch: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        self.color = color
        # Shades for parts and patterns; black and white keep theirs closer, so as not to read as gray.
        self.dark = (
            lighter(color, 0.18) if is_dark(color) else darker(color, 0.14 if min(color) > 230 else 0.22)
        )
        self.light = lighter(color, 0.12 if is_dark(color) else 0.25)
        self.ink = STEEL if is_dark(color) else INK
        side = math.ceil(2 * radius * _REACH) + 2
        self.supersample = 3 if radius < _LARGE else 2
        self.tile: NDArray[np.uint8] = np.zeros(
            (side * self.supersample, side * self.supersample, 4), np.uint8
        )
        self._scale = radius * self.supersample
        turn = math.radians(angle)
        cos, sin = math.cos(turn) * self._scale, math.sin(turn) * self._scale
        flip = -stretch[0] if mirror else stretch[0]
        # Row vectors: point @ axes + center.
        self._axes = np.array([[cos * flip, sin * flip], [-sin * stretch[1], cos * stretch[1]]])
        self._center = side * self.supersample / 2 - 0.5

    def _place(self, points: Points | NDArray[np.float64]) -> NDArray[np.int32]:
        placed = np.asarray(points, np.float64) @ self._axes
        return np.rint((placed + self._center) * (1 << _SHIFT)).astype(np.int32)

    def polygon(self, points: Points, color: Rgb) -> None:
        """Fill a polygon."""
        cv2.fillPoly(self.tile, [self._place(points)], (*color, 255), cv2.LINE_8, _SHIFT)

    def rectangle(self, left: float, top: float, right: float, bottom: float, color: Rgb) -> None:
        """Fill a rectangle."""
        self.polygon(((left, top), (right, top), (right, bottom), (left, bottom)), color)

    def rounded(
        self, left: float, top: float, right: float, bottom: float, corner: float, color: Rgb
    ) -> None:
        """Fill a rectangle whose corners are rounded with radius `corner`."""
        centers = (
            (right - corner, bottom - corner),
            (left + corner, bottom - corner),
            (left + corner, top + corner),
            (right - corner, top + corner),
        )
        points = [
            (
                x + corner * _CIRCLE[(10 * quarter + k) % 40][0],
                y + corner * _CIRCLE[(10 * quarter + k) % 40][1],
            )
            for quarter, (x, y) in enumerate(centers)
            for k in (0, 3, 7, 10)
        ]
        self.polygon(points, color)

    def ellipse(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        color: Rgb,
        *,
        angle: float = 0.0,
        part: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        """Fill an ellipse of half-axes `width` and `height`, turned by `angle` degrees.

        `part` keeps a share of its outline, counted clockwise from the right: (0.5, 1) is the upper half.
        """
        self.polygon(arc(x, y, width, height, angle=angle, part=part), color)

    def blob(self, points: Points, color: Rgb) -> None:
        """Fill the smooth closed curve (Catmull-Rom) through the points."""
        self.polygon(smooth(points, closed=True), color)

    def line(self, points: Points, width: float, color: Rgb, *, closed: bool = False) -> None:
        """Draw a line of the given width with round corners and ends."""
        thickness = max(1, round(width * self._scale))
        placed = [self._place(points)]
        cv2.polylines(self.tile, placed, closed, (*color, 255), thickness, cv2.LINE_8, _SHIFT)

    def curve(self, points: Points, width: float, color: Rgb) -> None:
        """Draw the smooth open curve through the points."""
        self.line(smooth(points, closed=False), width, color)


def arc(
    x: float,
    y: float,
    width: float,
    height: float,
    *,
    angle: float = 0.0,
    part: tuple[float, float] = (0.0, 1.0),
) -> list[tuple[float, float]]:
    """Points along (part of) an ellipse; see `Pen.ellipse`."""
    first, last = round(part[0] * 40), round(part[1] * 40)
    if last - first == 40:
        last -= 1
    ring = [_CIRCLE[k % 40] for k in range(first, last + 1)]
    if angle == 0:
        return [(x + width * cos, y + height * sin) for cos, sin in ring]
    turn = math.radians(angle)
    c, s = math.cos(turn), math.sin(turn)
    return [
        (x + width * cos * c - height * sin * s, y + width * cos * s + height * sin * c) for cos, sin in ring
    ]


def smooth(points: Points, *, closed: bool) -> list[tuple[float, float]]:
    """Six points per span of the Catmull-Rom curve through `points`."""
    count = len(points)
    spans = count if closed else count - 1
    curve: list[tuple[float, float]] = []
    for span in range(spans):
        if closed:
            (ax, ay), (bx, by), (cx, cy), (dx, dy) = (points[(span + k) % count] for k in (-1, 0, 1, 2))
        else:
            (ax, ay), (bx, by), (cx, cy), (dx, dy) = (
                points[min(max(span + k, 0), count - 1)] for k in (-1, 0, 1, 2)
            )
        for step in range(6):
            t = step / 6
            wa, wb = -t + 2 * t * t - t**3, 2 - 5 * t * t + 3 * t**3
            wc, wd = t + 4 * t * t - 3 * t**3, -t * t + t**3
            curve.append(
                (
                    0.5 * (wa * ax + wb * bx + wc * cx + wd * dx),
                    0.5 * (wa * ay + wb * by + wc * cy + wd * dy),
                )
            )
    if not closed:
        curve.append(points[-1])
    return curve
