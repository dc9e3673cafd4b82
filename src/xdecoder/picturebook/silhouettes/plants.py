"""Things that grow: tree, flower, mushroom, cactus and apple."""

from __future__ import annotations

import math

from xdecoder.picturebook.palette import CREAM, LEAF, LIGHT, WOOD, darker, lighter
from xdecoder.picturebook.pen import Pen

_CLAY = (176, 122, 92)


def round_tree(pen: Pen) -> None:
    """A trunk and a crown of four clouds."""
    pen.polygon(((-0.12, 0.0), (0.12, 0.0), (0.18, 1.0), (-0.18, 1.0)), WOOD)
    pen.line(((0, 0.45), (0.26, 0.2)), 0.09, WOOD)
    for x, y, radius in ((-0.36, 0.02, 0.4), (0.36, 0.02, 0.4), (-0.2, -0.44, 0.42), (0.22, -0.48, 0.4)):
        pen.ellipse(x, y, radius, radius, pen.color)
    pen.ellipse(0, -0.2, 0.44, 0.44, pen.color)
    for x, y in ((-0.4, -0.2), (0.1, -0.5), (0.34, 0.06), (-0.14, 0.06)):
        pen.line(((x - 0.1, y), (x, y + 0.06), (x + 0.1, y)), 0.05, pen.dark)


def pine(pen: Pen) -> None:
    """Three tiers of needles on a short trunk."""
    pen.rectangle(-0.12, 0.6, 0.12, 1.0, WOOD)
    for top, bottom, width in ((-0.12, 0.72, 0.68), (-0.56, 0.26, 0.54), (-1.0, -0.2, 0.4)):
        pen.polygon(((0, top), (width, bottom), (-width, bottom)), pen.color)
        pen.line(((-width * 0.8, bottom - 0.04), (width * 0.8, bottom - 0.04)), 0.06, pen.dark)


def poplar(pen: Pen) -> None:
    """A tall oval crown."""
    pen.rectangle(-0.09, 0.3, 0.09, 1.0, WOOD)
    pen.blob(
        ((0, -1), (0.4, -0.5), (0.46, 0.1), (0.2, 0.56), (-0.2, 0.56), (-0.46, 0.1), (-0.4, -0.5)), pen.color
    )
    pen.line(((0, -0.3), (0, 0.56)), 0.05, pen.dark)
    for y in (-0.05, 0.25):
        pen.line(((-0.22, y - 0.2), (0, y), (0.22, y - 0.2)), 0.05, pen.dark)


def _stem(pen: Pen, top: float) -> None:
    pen.line(((0, top), (0.02, 1.0)), 0.1, LEAF)
    pen.ellipse(0.25, 0.62, 0.26, 0.1, LEAF, angle=-32)
    pen.ellipse(-0.23, 0.74, 0.24, 0.1, LEAF, angle=212)


def blossom(pen: Pen) -> None:
    """Six round petals about a light heart."""
    _stem(pen, -0.3)
    for k in range(6):
        turn = math.pi * k / 3
        pen.ellipse(0.36 * math.cos(turn), -0.38 + 0.36 * math.sin(turn), 0.25, 0.25, pen.color)
    pen.ellipse(0, -0.38, 0.22, 0.22, darker(LIGHT, 0.55) if pen.color[2] < 120 < pen.color[1] else LIGHT)


def daisy(pen: Pen) -> None:
    """Ten slim petals."""
    _stem(pen, -0.3)
    for k in range(10):
        degrees = 36 * k
        turn = math.radians(degrees)
        pen.ellipse(
            0.36 * math.cos(turn), -0.36 + 0.36 * math.sin(turn), 0.3, 0.115, pen.color, angle=degrees
        )
    pen.ellipse(0, -0.36, 0.2, 0.2, (120, 84, 48))


def tulip(pen: Pen) -> None:
    """A cup with three points."""
    _stem(pen, 0)
    pen.polygon(
        (
            (-0.44, -0.94), (-0.2, -0.62), (0, -1.0), (0.2, -0.62), (0.44, -0.94), (0.48, -0.4), (0.36, -0.1),
            (0.14, 0.06), (-0.14, 0.06), (-0.36, -0.1), (-0.48, -0.4),
        ),
        pen.color,
    )  # fmt: skip
    pen.line(((-0.2, -0.56), (-0.16, -0.1)), 0.05, pen.dark)
    pen.line(((0.2, -0.56), (0.16, -0.1)), 0.05, pen.dark)


def _dots(pen: Pen, dots: tuple[tuple[float, float, float], ...]) -> None:
    shade = CREAM if min(pen.color) < 200 else darker(CREAM, 0.28)
    for x, y, radius in dots:
        pen.ellipse(x, y, radius, radius * 0.85, shade)


def toadstool(pen: Pen) -> None:
    """A wide dotted cap on a stout stalk."""
    pen.blob(((-0.22, 0.0), (0.22, 0.0), (0.26, 0.5), (0.34, 0.84), (-0.34, 0.84), (-0.26, 0.5)), CREAM)
    pen.ellipse(0, 0.12, 0.96, 0.94, pen.color, part=(0.5, 1))
    pen.ellipse(0, 0.12, 0.96, 0.1, pen.dark)
    _dots(pen, ((-0.5, -0.2, 0.15), (0.02, -0.5, 0.17), (0.5, -0.16, 0.14), (0.0, -0.08, 0.1)))


def tall_mushroom(pen: Pen) -> None:
    """A bell-shaped cap on a slim stalk."""
    pen.blob(((-0.16, -0.1), (0.16, -0.1), (0.2, 0.9), (-0.2, 0.9)), CREAM)
    pen.blob(
        ((0, -0.98), (0.44, -0.6), (0.66, 0.1), (0.3, 0.2), (-0.3, 0.2), (-0.66, 0.1), (-0.44, -0.6)),
        pen.color,
    )
    _dots(pen, ((-0.24, -0.3, 0.12), (0.18, -0.54, 0.1), (0.3, -0.08, 0.12), (-0.1, 0.0, 0.08)))


def _spines(pen: Pen, places: tuple[tuple[float, float], ...]) -> None:
    for x, y in places:
        pen.line(((x - 0.05, y - 0.05), (x + 0.05, y + 0.05)), 0.03, pen.ink)
        pen.line(((x - 0.05, y + 0.05), (x + 0.05, y - 0.05)), 0.03, pen.ink)


def saguaro(pen: Pen) -> None:
    """A column with two arms."""
    pen.rounded(-0.24, -1, 0.24, 1, 0.23, pen.color)
    pen.line(((-0.1, 0.3), (-0.56, 0.28), (-0.58, -0.22)), 0.26, pen.color)
    pen.line(((0.1, 0.02), (0.56, 0.0), (0.58, -0.52)), 0.26, pen.color)
    pen.line(((-0.08, -0.8), (-0.08, 0.9)), 0.04, pen.dark)
    pen.line(((0.1, -0.8), (0.1, 0.9)), 0.04, pen.dark)
    _spines(pen, ((0, -0.6), (0, -0.1), (0, 0.4), (-0.58, 0.0), (0.58, -0.3)))


def potted_cactus(pen: Pen) -> None:
    """A stout cactus with one arm, in a clay pot."""
    pen.polygon(((-0.42, 0.46), (0.42, 0.46), (0.3, 1.0), (-0.3, 1.0)), _CLAY)
    pen.rectangle(-0.5, 0.4, 0.5, 0.58, lighter(_CLAY, 0.15))
    pen.rounded(-0.32, -0.94, 0.32, 0.42, 0.31, pen.color)
    pen.line(((0.2, 0.06), (0.62, 0.02), (0.62, -0.36)), 0.24, pen.color)
    pen.line(((0, -0.8), (0, 0.36)), 0.04, pen.dark)
    _spines(pen, ((-0.16, -0.5), (0.16, -0.34), (-0.16, -0.04), (0.14, 0.18)))


def _apple_body(pen: Pen) -> None:
    pen.line(((0, -0.42), (0.06, -0.92)), 0.1, WOOD)
    pen.blob(
        (
            (0, -0.5), (0.42, -0.66), (0.86, -0.34), (0.86, 0.24), (0.52, 0.82), (0.18, 0.9), (0, 0.82),
            (-0.18, 0.9), (-0.52, 0.82), (-0.86, 0.24), (-0.86, -0.34), (-0.42, -0.66),
        ),
        pen.color,
    )  # fmt: skip
    pen.ellipse(0.34, -0.8, 0.3, 0.13, LEAF, angle=-22)
    pen.ellipse(-0.48, -0.2, 0.12, 0.24, lighter(pen.color, 0.5), angle=20)


def apple(pen: Pen) -> None:
    """An apple with its leaf."""
    _apple_body(pen)
    pen.line(((-0.16, -0.46), (0, -0.38), (0.16, -0.46)), 0.05, pen.dark)


def halved_apple(pen: Pen) -> None:
    """An apple cut open: pips in a small pale heart."""
    _apple_body(pen)
    pen.ellipse(0.08, 0.14, 0.34, 0.42, CREAM)
    pen.ellipse(0.0, 0.14, 0.06, 0.13, WOOD, angle=12)
    pen.ellipse(0.17, 0.14, 0.06, 0.13, WOOD, angle=-12)
