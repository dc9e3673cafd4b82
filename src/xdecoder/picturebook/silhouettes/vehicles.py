"""Things that carry somebody: car, bus, truck, boat and rocket, facing right."""

from __future__ import annotations

from xdecoder.picturebook.palette import CHARCOAL, CREAM, GLASS, LIGHT, STEEL, WOOD
from xdecoder.picturebook.pen import Pen


def _wheel(pen: Pen, x: float, y: float, radius: float) -> None:
    pen.ellipse(x, y, radius, radius, CHARCOAL)
    pen.ellipse(x, y, radius * 0.45, radius * 0.45, STEEL)


def sedan(pen: Pen) -> None:
    """A car with a boot."""
    pen.polygon(
        (
            (-1, 0.32), (-1, 0.02), (-0.92, -0.08), (-0.6, -0.12), (-0.36, -0.5), (0.3, -0.5),
            (0.58, -0.12), (0.88, -0.04), (1, 0.08), (1, 0.32),
        ),
        pen.color,
    )  # fmt: skip
    pen.polygon(((-0.46, -0.12), (-0.28, -0.41), (-0.06, -0.41), (-0.06, -0.12)), GLASS)
    pen.polygon(((0.04, -0.12), (0.04, -0.41), (0.25, -0.41), (0.45, -0.12)), GLASS)
    pen.line(((-0.01, -0.1), (-0.01, 0.26)), 0.04, pen.dark)
    pen.ellipse(0.92, 0.08, 0.07, 0.07, LIGHT)
    _wheel(pen, -0.56, 0.32, 0.22)
    _wheel(pen, 0.58, 0.32, 0.22)


def beetle(pen: Pen) -> None:
    """A small round car."""
    pen.ellipse(-0.02, 0.05, 0.66, 0.62, pen.color, part=(0.5, 1))
    pen.rounded(-0.98, -0.08, 0.98, 0.38, 0.2, pen.color)
    pen.ellipse(-0.02, -0.04, 0.5, 0.44, GLASS, part=(0.5, 1))
    pen.line(((-0.02, -0.5), (-0.02, 0.3)), 0.07, pen.color)
    pen.ellipse(0.9, 0.08, 0.08, 0.09, LIGHT)
    _wheel(pen, -0.54, 0.36, 0.24)
    _wheel(pen, 0.54, 0.36, 0.24)


def van(pen: Pen) -> None:
    """A car with a steep back."""
    pen.polygon(
        (
            (-0.95, 0.34), (-0.98, -0.1), (-0.86, -0.48), (0.18, -0.5), (0.5, -0.1), (0.86, -0.02),
            (0.98, 0.12), (0.98, 0.34),
        ),
        pen.color,
    )  # fmt: skip
    pen.polygon(((-0.82, -0.1), (-0.74, -0.38), (-0.36, -0.39), (-0.36, -0.1)), GLASS)
    pen.polygon(((-0.26, -0.1), (-0.26, -0.4), (0.12, -0.4), (0.35, -0.1)), GLASS)
    pen.line(((-0.31, -0.08), (-0.31, 0.28)), 0.04, pen.dark)
    pen.ellipse(0.9, 0.12, 0.07, 0.08, LIGHT)
    _wheel(pen, -0.55, 0.34, 0.23)
    _wheel(pen, 0.55, 0.34, 0.23)


def bus(pen: Pen) -> None:
    """A long bus with one row of windows."""
    pen.rounded(-1, -0.46, 1, 0.38, 0.12, pen.color)
    for k in range(5):
        pen.rectangle(-0.89 + 0.32 * k, -0.32, -0.68 + 0.32 * k, -0.04, GLASS)
    pen.rectangle(0.72, -0.32, 0.9, 0.26, GLASS)
    pen.line(((-0.95, 0.14), (0.64, 0.14)), 0.06, CREAM)
    _wheel(pen, -0.58, 0.4, 0.17)
    _wheel(pen, 0.42, 0.4, 0.17)


def double_decker(pen: Pen) -> None:
    """A bus with two rows of windows."""
    pen.rounded(-0.92, -0.74, 0.92, 0.6, 0.12, pen.color)
    for k in range(5):
        pen.rectangle(-0.8 + 0.34 * k, -0.58, -0.58 + 0.34 * k, -0.32, GLASS)
    for k in range(4):
        pen.rectangle(-0.8 + 0.34 * k, -0.04, -0.58 + 0.34 * k, 0.22, GLASS)
    pen.rectangle(0.56, -0.06, 0.8, 0.52, GLASS)
    pen.line(((-0.86, -0.18), (0.86, -0.18)), 0.06, CREAM)
    _wheel(pen, -0.5, 0.62, 0.19)
    _wheel(pen, 0.32, 0.62, 0.19)


def box_truck(pen: Pen) -> None:
    """A cab that pulls a tall box."""
    pen.rectangle(-0.98, 0.22, 0.95, 0.36, CHARCOAL)
    pen.rectangle(-1, -0.56, 0.36, 0.26, pen.color)
    pen.line(((-0.9, -0.42), (0.26, -0.42)), 0.05, pen.light)
    pen.line(((-0.9, 0.12), (0.26, 0.12)), 0.05, pen.dark)
    pen.polygon(((0.46, 0.32), (0.46, -0.28), (0.76, -0.28), (0.98, 0.06), (0.98, 0.32)), pen.dark)
    pen.polygon(((0.55, 0.04), (0.55, -0.18), (0.72, -0.18), (0.86, 0.04)), GLASS)
    for x in (-0.72, -0.24, 0.7):
        _wheel(pen, x, 0.38, 0.19)


def tipper(pen: Pen) -> None:
    """A truck with an open load bed full of sand."""
    pen.rectangle(-0.9, 0.2, 0.95, 0.36, CHARCOAL)
    pen.ellipse(-0.36, -0.26, 0.5, 0.3, (214, 190, 140), part=(0.5, 1))
    pen.polygon(((-1.0, -0.32), (0.34, -0.32), (0.24, 0.24), (-0.8, 0.24)), pen.color)
    for x in (-0.62, -0.3, 0.02):
        pen.line(((x, -0.24), (x + 0.02, 0.16)), 0.05, pen.dark)
    pen.polygon(((0.4, 0.32), (0.4, -0.46), (0.78, -0.46), (0.9, -0.06), (1, 0), (1, 0.32)), pen.color)
    pen.polygon(((0.5, -0.06), (0.5, -0.36), (0.72, -0.36), (0.8, -0.06)), GLASS)
    for x in (-0.58, -0.16, 0.68):
        _wheel(pen, x, 0.4, 0.2)


def sailing_boat(pen: Pen) -> None:
    """A hull, a mast and two sails."""
    pen.line(((-0.02, -0.95), (-0.02, 0.5)), 0.07, WOOD)
    pen.polygon(((0.08, -0.9), (0.08, 0.34), (0.78, 0.34)), pen.color)
    pen.polygon(((-0.12, -0.66), (-0.12, 0.34), (-0.66, 0.34)), CREAM)
    pen.polygon(((-0.95, 0.48), (0.95, 0.48), (0.66, 0.92), (-0.62, 0.92)), pen.color)
    pen.line(((-0.84, 0.6), (0.84, 0.6)), 0.06, CREAM)


def steamer(pen: Pen) -> None:
    """A boat with a cabin and a funnel."""
    pen.rectangle(0.0, -0.62, 0.3, -0.1, pen.color)
    pen.rectangle(0.0, -0.62, 0.3, -0.5, CHARCOAL)
    pen.rounded(-0.52, -0.16, 0.56, 0.2, 0.06, CREAM)
    for x in (-0.32, 0.02, 0.36):
        pen.ellipse(x, 0.02, 0.1, 0.1, CHARCOAL)
    pen.polygon(((-1, 0.08), (-0.72, 0.16), (0.72, 0.16), (1, 0.06), (0.74, 0.66), (-0.7, 0.66)), pen.color)
    pen.line(((-0.8, 0.3), (0.8, 0.3)), 0.06, pen.light)


def rocket(pen: Pen) -> None:
    """A round-bellied rocket that flies upwards."""
    pen.polygon(((-0.2, 0.6), (0, 1.0), (0.2, 0.6)), (250, 190, 80))
    pen.polygon(((-0.3, 0.14), (-0.66, 0.74), (-0.24, 0.58)), pen.dark)
    pen.polygon(((0.3, 0.14), (0.66, 0.74), (0.24, 0.58)), pen.dark)
    pen.blob(
        (
            (0, -1),
            (0.3, -0.52),
            (0.38, 0.0),
            (0.27, 0.62),
            (0, 0.66),
            (-0.27, 0.62),
            (-0.38, 0.0),
            (-0.3, -0.52),
        ),
        pen.color,
    )
    pen.ellipse(0, -0.2, 0.21, 0.21, CREAM)
    pen.ellipse(0, -0.2, 0.14, 0.14, GLASS)
    pen.line(((-0.28, 0.36), (0.28, 0.36)), 0.06, pen.dark)


def slim_rocket(pen: Pen) -> None:
    """A straight rocket with a pointed nose."""
    pen.polygon(((-0.22, 0.62), (-0.1, 0.98), (0, 0.74), (0.1, 0.98), (0.22, 0.62)), (250, 190, 80))
    pen.polygon(((-0.28, 0.05), (-0.7, 0.5), (-0.7, 0.78), (-0.28, 0.56)), pen.color)
    pen.polygon(((0.28, 0.05), (0.7, 0.5), (0.7, 0.78), (0.28, 0.56)), pen.color)
    pen.rectangle(-0.3, -0.44, 0.3, 0.64, pen.color)
    pen.polygon(((-0.34, -0.42), (0, -1), (0.34, -0.42)), CREAM)
    for y in (-0.16, 0.2):
        pen.ellipse(0, y, 0.13, 0.13, GLASS)
        pen.ellipse(0, y, 0.06, 0.06, CHARCOAL)
