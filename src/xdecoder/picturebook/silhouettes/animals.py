"""Fish, dog, cat, bird, butterfly, snail, turtle and person, facing right."""

from __future__ import annotations

from xdecoder.picturebook.palette import CHARCOAL, CREAM, INK, SKIN, WOOD, darker, lighter
from xdecoder.picturebook.pen import Pen

_BEAK = (240, 170, 60)
_OLIVE = (150, 160, 110)


def _eye(pen: Pen, x: float, y: float, radius: float = 0.1) -> None:
    pen.ellipse(x, y, radius, radius, (255, 255, 255))
    pen.ellipse(x + radius * 0.2, y, radius * 0.6, radius * 0.6, INK)


def fish(pen: Pen) -> None:
    """A long fish."""
    pen.polygon(((-0.5, 0), (-1, -0.46), (-0.86, 0), (-1, 0.46)), pen.dark)
    pen.polygon(((-0.2, -0.36), (0.1, -0.66), (0.36, -0.34)), pen.dark)
    pen.polygon(((0.0, 0.36), (-0.1, 0.6), (0.26, 0.36)), pen.dark)
    pen.blob(
        (
            (1, 0.02),
            (0.62, -0.36),
            (0.1, -0.46),
            (-0.4, -0.2),
            (-0.64, 0),
            (-0.4, 0.2),
            (0.1, 0.44),
            (0.62, 0.34),
        ),
        pen.color,
    )
    pen.curve(((0.42, -0.32), (0.32, 0), (0.42, 0.32)), 0.06, pen.dark)
    pen.curve(((0.1, -0.12), (-0.06, 0.04), (0.14, 0.16)), 0.06, pen.dark)
    _eye(pen, 0.66, -0.1, 0.12)


def angelfish(pen: Pen) -> None:
    """A tall fish with long fins and two stripes."""
    pen.polygon(((-0.4, 0), (-0.9, -0.4), (-0.78, 0), (-0.9, 0.4)), pen.dark)
    pen.polygon(((0.2, -0.5), (-0.36, -1), (-0.36, -0.3)), pen.dark)
    pen.polygon(((0.2, 0.5), (-0.36, 1), (-0.36, 0.3)), pen.dark)
    pen.blob(
        ((0.86, 0.04), (0.5, -0.46), (0, -0.62), (-0.5, -0.16), (-0.5, 0.16), (0, 0.62), (0.5, 0.46)),
        pen.color,
    )
    pen.line(((0.28, -0.5), (0.22, 0), (0.28, 0.5)), 0.09, CREAM)
    pen.line(((-0.1, -0.5), (-0.16, 0), (-0.1, 0.5)), 0.09, CREAM)
    _eye(pen, 0.52, -0.1, 0.12)


def dog(pen: Pen) -> None:
    """A standing dog: long snout, hanging ear, tail up."""
    pen.line(((-0.62, 0.0), (-0.86, -0.28), (-0.84, -0.46)), 0.15, pen.color)
    for x in (-0.6, -0.34, 0.2, 0.44):
        pen.rectangle(x - 0.1, 0.2, x + 0.1, 0.82, pen.dark if x in (-0.34, 0.2) else pen.color)
    pen.rounded(-0.74, -0.18, 0.58, 0.42, 0.25, pen.color)
    pen.polygon(((0.2, 0.1), (0.3, -0.5), (0.66, -0.3), (0.58, 0.2)), pen.color)
    pen.ellipse(0.5, -0.5, 0.3, 0.26, pen.color)
    pen.rounded(0.5, -0.52, 1.0, -0.24, 0.13, pen.color)
    pen.ellipse(0.96, -0.44, 0.09, 0.08, pen.ink)
    pen.ellipse(0.32, -0.4, 0.13, 0.28, pen.dark, angle=12)
    _eye(pen, 0.6, -0.55, 0.08)
    pen.line(((0.24, -0.12), (0.6, -0.08)), 0.09, STRAP)


def sitting_dog(pen: Pen) -> None:
    """A dog that sits and looks to the side."""
    pen.line(((-0.5, 0.78), (-0.86, 0.6), (-0.9, 0.36)), 0.15, pen.color)
    pen.blob(((0.1, -0.3), (0.36, 0.1), (0.38, 0.9), (-0.5, 0.92), (-0.58, 0.5), (-0.3, 0.0)), pen.color)
    pen.rounded(0.14, 0.2, 0.36, 0.94, 0.1, pen.color)
    pen.curve(((-0.1, 0.9), (-0.16, 0.6), (-0.36, 0.54)), 0.05, pen.dark)
    pen.ellipse(0.5, 0.88, 0.2, 0.09, pen.color)
    pen.ellipse(0.2, -0.5, 0.34, 0.32, pen.color)
    pen.rounded(0.26, -0.56, 0.82, -0.24, 0.14, pen.color)
    pen.ellipse(0.78, -0.48, 0.1, 0.09, pen.ink)
    pen.ellipse(-0.04, -0.38, 0.15, 0.33, pen.dark, angle=10)
    _eye(pen, 0.34, -0.58, 0.09)
    pen.line(((-0.06, -0.16), (0.36, -0.1)), 0.09, STRAP)


STRAP = (150, 150, 158)


def _whiskers(pen: Pen, x: float, y: float) -> None:
    for side in (-1, 1):
        for lift in (-0.05, 0.06):
            pen.line(((x + side * 0.12, y), (x + side * 0.44, y + lift)), 0.025, pen.ink)


def sitting_cat(pen: Pen) -> None:
    """A cat seen from the front: pointed ears, whiskers, curled tail."""
    pen.curve(((0.3, 0.86), (0.74, 0.8), (0.78, 0.4), (0.6, 0.26)), 0.16, pen.color)
    pen.blob(((0, -0.1), (0.34, 0.2), (0.46, 0.92), (0, 0.96), (-0.46, 0.92), (-0.34, 0.2)), pen.color)
    pen.polygon(((-0.48, -0.5), (-0.48, -1.0), (-0.08, -0.72)), pen.color)
    pen.polygon(((0.48, -0.5), (0.48, -1.0), (0.08, -0.72)), pen.color)
    pen.polygon(((-0.4, -0.66), (-0.4, -0.86), (-0.22, -0.72)), pen.light)
    pen.polygon(((0.4, -0.66), (0.4, -0.86), (0.22, -0.72)), pen.light)
    pen.ellipse(0, -0.4, 0.52, 0.42, pen.color)
    _eye(pen, -0.2, -0.46, 0.1)
    _eye(pen, 0.2, -0.46, 0.1)
    pen.polygon(((-0.07, -0.3), (0.07, -0.3), (0, -0.2)), pen.ink)
    _whiskers(pen, 0, -0.2)
    pen.line(((-0.12, 0.5), (-0.12, 0.92)), 0.04, pen.dark)
    pen.line(((0.12, 0.5), (0.12, 0.92)), 0.04, pen.dark)


def walking_cat(pen: Pen) -> None:
    """A cat that walks with its tail high."""
    pen.curve(((-0.6, 0.1), (-0.84, -0.3), (-0.7, -0.76), (-0.84, -0.92)), 0.13, pen.color)
    for x in (-0.6, -0.36, 0.1, 0.34):
        pen.rectangle(x - 0.08, 0.2, x + 0.08, 0.8, pen.dark if x in (-0.36, 0.1) else pen.color)
    pen.rounded(-0.74, -0.1, 0.48, 0.4, 0.24, pen.color)
    for x in (-0.4, -0.14, 0.12):
        pen.line(((x, -0.06), (x, 0.14)), 0.06, pen.dark)
    pen.polygon(((0.2, -0.4), (0.22, -0.84), (0.5, -0.6)), pen.color)
    pen.polygon(((0.86, -0.4), (0.84, -0.84), (0.56, -0.6)), pen.color)
    pen.ellipse(0.53, -0.3, 0.38, 0.34, pen.color)
    _eye(pen, 0.4, -0.36, 0.08)
    _eye(pen, 0.68, -0.36, 0.08)
    pen.polygon(((0.48, -0.22), (0.6, -0.22), (0.54, -0.14)), pen.ink)
    _whiskers(pen, 0.54, -0.14)


def bird(pen: Pen) -> None:
    """A plump bird that stands on two legs."""
    for x in (-0.08, 0.18):
        pen.line(((x, 0.5), (x, 0.94), (x + 0.14, 0.94)), 0.06, _BEAK)
    pen.polygon(((-0.44, 0.2), (-1.0, -0.02), (-0.92, 0.3), (-0.4, 0.5)), pen.dark)
    pen.polygon(((0.72, -0.5), (1.06, -0.34), (0.7, -0.24)), _BEAK)
    pen.blob(
        (
            (0.5, -0.72),
            (0.76, -0.4),
            (0.62, 0.2),
            (0.2, 0.62),
            (-0.36, 0.5),
            (-0.56, 0.16),
            (0.0, -0.16),
            (0.2, -0.6),
        ),
        pen.color,
    )
    pen.blob(((0.2, -0.04), (0.22, 0.3), (-0.2, 0.42), (-0.62, 0.26), (-0.2, 0.1)), pen.dark)
    _eye(pen, 0.52, -0.44, 0.1)


def flying_bird(pen: Pen) -> None:
    """A bird with both wings raised."""
    pen.polygon(((0.1, -0.02), (0.3, -0.9), (-0.3, -0.16)), pen.dark)
    pen.polygon(((-0.5, 0.1), (-1, 0.0), (-0.94, 0.38), (-0.46, 0.32)), pen.dark)
    pen.polygon(((0.82, 0.02), (1.06, 0.14), (0.8, 0.22)), _BEAK)
    pen.blob(
        (
            (0.88, 0.1),
            (0.66, -0.14),
            (0.4, -0.04),
            (-0.1, -0.04),
            (-0.6, 0.16),
            (-0.3, 0.4),
            (0.3, 0.44),
            (0.7, 0.32),
        ),
        pen.color,
    )
    pen.blob(((0.24, 0.02), (-0.08, -0.5), (-0.5, -0.86), (-0.46, -0.3), (-0.26, 0.12)), pen.color)
    pen.line(((-0.4, -0.66), (-0.1, -0.06)), 0.05, pen.dark)
    _eye(pen, 0.66, 0.06, 0.09)


def _insect(pen: Pen) -> None:
    pen.ellipse(0, 0.06, 0.09, 0.52, CHARCOAL)
    pen.ellipse(0, -0.46, 0.12, 0.12, CHARCOAL)
    for side in (-1, 1):
        pen.curve(((0, -0.5), (side * 0.14, -0.76), (side * 0.32, -0.9)), 0.045, CHARCOAL)


def butterfly(pen: Pen) -> None:
    """Two pairs of round wings with spots."""
    for side in (-1, 1):
        pen.ellipse(side * 0.4, 0.4, 0.36, 0.4, pen.dark, angle=side * -30)
        pen.ellipse(side * 0.5, -0.26, 0.5, 0.44, pen.color, angle=side * -28)
        pen.ellipse(side * 0.6, -0.34, 0.16, 0.16, pen.light)
        pen.ellipse(side * 0.42, 0.44, 0.12, 0.12, pen.light)
    _insect(pen)


def swallowtail(pen: Pen) -> None:
    """A butterfly with pointed wings."""
    for side in (-1, 1):
        pen.polygon(((0, 0.1), (side * 0.4, 0.96), (side * 0.56, 0.5), (side * 0.74, 0.14)), pen.dark)
        pen.polygon(
            ((0, -0.3), (side * 0.94, -0.8), (side * 1.0, -0.3), (side * 0.7, 0.24), (0, 0.24)), pen.color
        )
        pen.line(((side * 0.2, -0.16), (side * 0.8, -0.5)), 0.06, pen.light)
        pen.line(((side * 0.2, 0.04), (side * 0.74, -0.16)), 0.06, pen.light)
    _insect(pen)


_SLUG = (214, 188, 150)


def _snail_foot(pen: Pen) -> None:
    pen.blob(
        (
            (-1.0, 0.66),
            (-0.4, 0.42),
            (0.4, 0.4),
            (0.56, -0.1),
            (0.84, -0.16),
            (0.96, 0.1),
            (0.82, 0.56),
            (0.4, 0.68),
        ),
        _SLUG,
    )
    for x in (0.66, 0.92):
        pen.line(((x, -0.06), (x + 0.04, -0.46)), 0.06, _SLUG)
        pen.ellipse(x + 0.04, -0.5, 0.08, 0.08, INK)


def snail(pen: Pen) -> None:
    """A round shell with a spiral."""
    _snail_foot(pen)
    pen.ellipse(-0.18, -0.02, 0.62, 0.58, pen.color)
    pen.curve(
        (
            (0.3, 0.2),
            (0.2, -0.3),
            (-0.3, -0.38),
            (-0.52, 0.02),
            (-0.24, 0.28),
            (0.04, 0.1),
            (-0.08, -0.12),
            (-0.22, -0.02),
        ),
        0.075,
        pen.dark,
    )


def tower_snail(pen: Pen) -> None:
    """A pointed shell with bands."""
    _snail_foot(pen)
    pen.blob(
        ((0.36, 0.4), (0.3, -0.1), (-0.2, -0.62), (-0.62, -0.74), (-0.78, -0.3), (-0.66, 0.3), (-0.2, 0.52)),
        pen.color,
    )
    for lift in (0, 1, 2):
        pen.curve(
            (
                (-0.72 + 0.12 * lift, 0.22 - 0.36 * lift + 0.2),
                (-0.3, 0.1 - 0.28 * lift),
                (0.26 - 0.24 * lift, 0.06 - 0.24 * lift),
            ),
            0.07,
            pen.dark,
        )


def turtle(pen: Pen) -> None:
    """A domed shell, seen from the side."""
    pen.polygon(((-0.8, 0.3), (-1.0, 0.44), (-0.7, 0.46)), _OLIVE)
    for x in (-0.52, 0.34):
        pen.rounded(x - 0.16, 0.2, x + 0.16, 0.66, 0.12, _OLIVE)
    pen.line(((0.5, 0.3), (0.76, 0.0)), 0.22, _OLIVE)
    pen.ellipse(0.82, -0.08, 0.2, 0.18, _OLIVE)
    pen.ellipse(0.88, -0.12, 0.05, 0.05, INK)
    pen.ellipse(-0.1, 0.3, 0.74, 0.76, pen.color, part=(0.5, 1))
    pen.rounded(-0.86, 0.24, 0.66, 0.4, 0.07, pen.dark)
    pen.line(((-0.46, 0.2), (-0.34, -0.14), (0.14, -0.14), (0.26, 0.2)), 0.06, pen.dark)
    pen.line(((-0.34, -0.14), (-0.46, -0.3)), 0.06, pen.dark)
    pen.line(((0.14, -0.14), (0.26, -0.3)), 0.06, pen.dark)


def swimming_turtle(pen: Pen) -> None:
    """A turtle seen from above, its four flippers spread."""
    for x, y, turn in ((0.4, -0.62, -50), (0.4, 0.62, 50), (-0.5, -0.52, 40), (-0.5, 0.52, -40)):
        pen.ellipse(x, y, 0.34, 0.14, _OLIVE, angle=turn)
    pen.ellipse(0.8, 0, 0.24, 0.19, _OLIVE)
    for y in (-0.09, 0.09):
        pen.ellipse(0.9, y, 0.04, 0.04, INK)
    pen.ellipse(-0.06, 0, 0.7, 0.56, pen.color)
    pen.line(
        ((-0.34, -0.2), (-0.02, -0.3), (0.26, -0.16), (0.26, 0.16), (-0.02, 0.3), (-0.34, 0.2)),
        0.06,
        pen.dark,
        closed=True,
    )
    for ax, ay, bx, by in (
        (-0.34, -0.2, -0.54, -0.34),
        (-0.34, 0.2, -0.54, 0.34),
        (0.26, -0.16, 0.46, -0.3),
        (0.26, 0.16, 0.46, 0.3),
    ):
        pen.line(((ax, ay), (bx, by)), 0.06, pen.dark)


def _head(pen: Pen, hair: tuple[int, int, int]) -> None:
    pen.ellipse(0, -0.72, 0.26, 0.28, hair)
    pen.ellipse(0, -0.67, 0.21, 0.23, SKIN)
    pen.ellipse(-0.08, -0.68, 0.035, 0.04, INK)
    pen.ellipse(0.08, -0.68, 0.035, 0.04, INK)


def person_in_trousers(pen: Pen) -> None:
    """A person in a jumper and trousers of one color."""
    for side in (-1, 1):
        pen.polygon(((0, 0.2), (side * 0.27, 0.2), (side * 0.3, 0.92), (side * 0.08, 0.92)), pen.dark)
        pen.ellipse(side * 0.22, 0.94, 0.17, 0.07, CHARCOAL)
        pen.line(((side * 0.22, -0.32), (side * 0.48, 0.16)), 0.17, pen.color)
        pen.ellipse(side * 0.5, 0.24, 0.09, 0.09, SKIN)
    pen.rounded(-0.32, -0.44, 0.32, 0.34, 0.12, pen.color)
    _head(pen, WOOD)


def person_in_dress(pen: Pen) -> None:
    """A person in a wide dress, one arm raised."""
    for side in (-1, 1):
        pen.line(((side * 0.13, 0.5), (side * 0.13, 0.92)), 0.12, SKIN)
        pen.ellipse(side * 0.17, 0.95, 0.13, 0.06, CHARCOAL)
    pen.line(((-0.18, -0.32), (-0.52, 0.1)), 0.13, SKIN)
    pen.line(((0.18, -0.32), (0.56, -0.62)), 0.13, SKIN)
    pen.polygon(
        ((-0.22, -0.44), (0.22, -0.44), (0.26, -0.06), (0.52, 0.62), (-0.52, 0.62), (-0.26, -0.06)),
        pen.color,
    )
    pen.line(((-0.24, -0.06), (0.24, -0.06)), 0.06, pen.dark)
    pen.ellipse(-0.24, -0.62, 0.1, 0.22, darker(WOOD, 0.3))
    pen.ellipse(0.24, -0.62, 0.1, 0.22, darker(WOOD, 0.3))
    _head(pen, darker(WOOD, 0.3))


def person_in_coat(pen: Pen) -> None:
    """A person in a long coat with buttons."""
    for side in (-1, 1):
        pen.rectangle(side * 0.16 - 0.09, 0.6, side * 0.16 + 0.09, 0.94, CHARCOAL)
        pen.line(((side * 0.26, -0.3), (side * 0.4, 0.2)), 0.18, pen.dark)
        pen.ellipse(side * 0.41, 0.28, 0.09, 0.09, SKIN)
    pen.polygon(((-0.28, -0.42), (0.28, -0.42), (0.38, 0.68), (-0.38, 0.68)), pen.color)
    for y in (-0.24, 0.0, 0.24):
        pen.ellipse(0, y, 0.045, 0.045, lighter(pen.ink, 0.1))
    _head(pen, (206, 168, 96))
