"""Things people make: house, cup, book, chair, lamp, umbrella, hat, balloon, kite, star, heart and ball."""

from __future__ import annotations

import math

from xdecoder.picturebook.palette import CHARCOAL, CREAM, GLASS, INK, LIGHT, STEEL, WOOD, Rgb, lighter
from xdecoder.picturebook.pen import Pen

_SLATE: Rgb = (98, 92, 104)


def _window(pen: Pen, x: float, y: float, half: float) -> None:
    pen.rectangle(x - half, y - half, x + half, y + half, CREAM)
    inner = half * 0.74
    pen.rectangle(x - inner, y - inner, x + inner, y + inner, GLASS)
    pen.line(((x, y - inner), (x, y + inner)), half * 0.25, CREAM)
    pen.line(((x - inner, y), (x + inner, y)), half * 0.25, CREAM)


def cottage(pen: Pen) -> None:
    """A house with a pointed roof, a door and two windows."""
    pen.rectangle(0.4, -0.8, 0.6, -0.36, _SLATE)
    pen.rectangle(-0.8, -0.28, 0.8, 0.9, pen.color)
    pen.polygon(((-1, -0.22), (0, -0.86), (1, -0.22)), _SLATE)
    pen.rectangle(-0.15, 0.34, 0.15, 0.9, WOOD)
    _window(pen, -0.47, 0.16, 0.18)
    _window(pen, 0.47, 0.16, 0.18)


def town_house(pen: Pen) -> None:
    """A tall house with six windows."""
    pen.rectangle(0.2, -1, 0.38, -0.6, _SLATE)
    pen.rectangle(-0.6, -0.56, 0.6, 0.98, pen.color)
    pen.polygon(((-0.68, -0.5), (-0.42, -0.82), (0.42, -0.82), (0.68, -0.5)), _SLATE)
    for y in (-0.2, 0.26):
        for x in (-0.3, 0.3):
            _window(pen, x, y, 0.145)
    pen.rectangle(-0.4, 0.58, -0.16, 0.98, WOOD)
    _window(pen, 0.28, 0.7, 0.14)


def barn(pen: Pen) -> None:
    """A broad house with a bent roof and a wide door."""
    pen.polygon(
        ((-0.84, 0.8), (-0.84, -0.1), (-0.5, -0.56), (0, -0.78), (0.5, -0.56), (0.84, -0.1), (0.84, 0.8)),
        pen.color,
    )
    pen.line(((-0.94, -0.02), (-0.54, -0.6), (0, -0.82), (0.54, -0.6), (0.94, -0.02)), 0.14, _SLATE)
    pen.rectangle(-0.3, 0.2, 0.3, 0.8, WOOD)
    pen.line(((0, 0.22), (0, 0.8)), 0.05, CREAM)
    _window(pen, 0, -0.3, 0.18)
    _window(pen, -0.58, 0.26, 0.14)
    _window(pen, 0.58, 0.26, 0.14)


def mug(pen: Pen) -> None:
    """A straight cup with a round handle."""
    pen.line(
        [
            (0.56 + 0.3 * math.cos(a), 0.06 + 0.36 * math.sin(a))
            for a in (-1.4, -0.9, -0.4, 0.1, 0.6, 1.1, 1.5)
        ],
        0.15,
        pen.dark,
    )
    pen.rounded(-0.7, -0.6, 0.6, 0.8, 0.14, pen.color)
    pen.ellipse(-0.05, -0.6, 0.65, 0.17, pen.color)
    pen.ellipse(-0.05, -0.6, 0.53, 0.11, (108, 80, 60))
    pen.line(((-0.66, 0.42), (0.56, 0.42)), 0.09, pen.light)


def teacup(pen: Pen) -> None:
    """A round cup on a saucer."""
    pen.ellipse(-0.08, 0.62, 0.86, 0.16, pen.dark)
    pen.line(
        [(0.6 + 0.26 * math.cos(a), -0.1 + 0.24 * math.sin(a)) for a in (-1.5, -1.0, -0.4, 0.2, 0.8, 1.4)],
        0.12,
        pen.dark,
    )
    pen.blob(((-0.78, -0.44), (0.6, -0.44), (0.52, 0.2), (0.2, 0.58), (-0.38, 0.58), (-0.7, 0.2)), pen.color)
    pen.ellipse(-0.09, -0.44, 0.7, 0.15, pen.light)
    pen.ellipse(-0.09, -0.43, 0.58, 0.1, (108, 80, 60))


def closed_book(pen: Pen) -> None:
    """A book lying a little open to the viewer: cover, spine and pages."""
    pen.polygon(((-0.62, -0.86), (0.78, -0.86), (0.78, 0.9), (-0.62, 0.9)), CREAM)
    pen.polygon(((-0.78, -0.98), (0.66, -0.98), (0.66, 0.8), (-0.78, 0.8)), pen.color)
    pen.rectangle(-0.78, -0.98, -0.56, 0.8, pen.dark)
    pen.polygon(((-0.78, 0.8), (-0.56, 0.8), (-0.42, 0.98), (-0.62, 0.98)), pen.dark)
    pen.line(((-0.34, -0.6), (0.44, -0.6)), 0.12, CREAM)
    pen.line(((-0.24, -0.32), (0.34, -0.32)), 0.08, CREAM)


def open_book(pen: Pen) -> None:
    """A book standing open, its cover toward us."""
    pen.polygon(((-1, -0.7), (-0.94, 0.62), (0, 0.84), (0.94, 0.62), (1, -0.7), (0, -0.46)), CREAM)
    pen.polygon(((-1, -0.6), (-0.06, -0.38), (-0.06, 0.86), (-1, 0.7)), pen.color)
    pen.polygon(((1, -0.6), (0.06, -0.38), (0.06, 0.86), (1, 0.7)), pen.color)
    pen.rectangle(-0.08, -0.4, 0.08, 0.88, pen.dark)
    pen.line(((0.28, -0.22), (0.82, -0.34)), 0.11, CREAM)
    pen.line(((0.28, 0.04), (0.66, -0.04)), 0.08, CREAM)
    pen.line(((-0.8, -0.34), (-0.26, -0.22)), 0.06, pen.dark)


def wooden_chair(pen: Pen) -> None:
    """A kitchen chair from the side."""
    pen.line(((-0.46, -0.94), (-0.46, 0.94)), 0.17, pen.color)
    pen.line(((0.12, 0.3), (0.12, 0.8)), 0.11, pen.dark)
    pen.line(((-0.2, 0.3), (-0.2, 0.8)), 0.11, pen.dark)
    pen.line(((0.5, 0.14), (0.5, 0.94)), 0.16, pen.color)
    pen.rectangle(-0.56, 0.0, 0.62, 0.26, pen.color)
    pen.rounded(-0.58, -1.0, -0.26, -0.2, 0.08, pen.color)
    pen.line(((-0.42, -0.84), (-0.42, -0.36)), 0.05, pen.dark)


def front_chair(pen: Pen) -> None:
    """A chair from the front: bars in its back, four legs."""
    for x in (-0.28, 0.28):
        pen.line(((x, 0.34), (x, 0.78)), 0.1, pen.dark)
    for x in (-0.48, 0.48):
        pen.line(((x, -0.9), (x, 0.2)), 0.15, pen.color)
        pen.line(((x, 0.2), (x * 1.12, 0.96)), 0.15, pen.color)
    pen.rounded(-0.55, -0.98, 0.55, -0.68, 0.1, pen.color)
    for x in (-0.18, 0.18):
        pen.line(((x, -0.7), (x, 0.1)), 0.1, pen.dark)
    pen.polygon(((-0.54, 0.02), (0.54, 0.02), (0.66, 0.4), (-0.66, 0.4)), pen.color)
    pen.line(((-0.62, 0.38), (0.62, 0.38)), 0.06, pen.dark)


def standing_lamp(pen: Pen) -> None:
    """A shade on a tall pole."""
    pen.line(((0, -0.4), (0, 0.9)), 0.09, CHARCOAL)
    pen.ellipse(0, 0.92, 0.38, 0.09, CHARCOAL)
    pen.ellipse(0, -0.2, 0.14, 0.13, LIGHT)
    pen.polygon(((-0.3, -0.98), (0.3, -0.98), (0.6, -0.22), (-0.6, -0.22)), pen.color)
    pen.line(((-0.56, -0.28), (0.56, -0.28)), 0.07, pen.light)


def table_lamp(pen: Pen) -> None:
    """A wide shade on a round foot of the same color."""
    pen.ellipse(0, 0.48, 0.3, 0.36, pen.dark)
    pen.line(((0, -0.1), (0, 0.3)), 0.12, STEEL)
    pen.rounded(-0.36, 0.76, 0.36, 0.92, 0.06, CHARCOAL)
    pen.ellipse(0, 0.02, 0.15, 0.12, LIGHT)
    pen.polygon(((-0.42, -0.86), (0.42, -0.86), (0.8, 0.0), (-0.8, 0.0)), pen.color)
    for x in (-0.2, 0.2):
        pen.line(((x, -0.82), (x * 1.9, -0.04)), 0.05, pen.light)


def umbrella(pen: Pen) -> None:
    """An open umbrella with a hooked handle."""
    pen.line(((0, -0.98), (0, 0.66), (0.04, 0.82), (0.16, 0.9), (0.28, 0.84), (0.32, 0.7)), 0.09, WOOD)
    outline = [
        (math.cos(a), 0.12 + 0.94 * math.sin(a)) for a in [math.pi + math.pi * k / 16 for k in range(17)]
    ]
    for center in (0.75, 0.25, -0.25, -0.75):
        outline += [
            (center + 0.25 * math.cos(a), 0.12 - 0.16 * math.sin(a)) for a in (0.5, 1.2, 1.9, 2.6, 3.14)
        ]
    pen.polygon(outline, pen.color)
    pen.curve(((0, -0.82), (-0.4, -0.5), (-0.5, 0.08)), 0.05, pen.dark)
    pen.curve(((0, -0.82), (0.4, -0.5), (0.5, 0.08)), 0.05, pen.dark)
    pen.line(((0, -0.8), (0, 0.1)), 0.05, pen.dark)


def panelled_umbrella(pen: Pen) -> None:
    """An umbrella with alternating light panels and a straight stick."""
    pen.line(((0, -1), (0, 0.92)), 0.08, CHARCOAL)
    pen.line(((0, 0.76), (0, 0.95)), 0.15, WOOD)
    pen.ellipse(0, 0.06, 1.0, 0.92, pen.color, part=(0.5, 1))
    pen.ellipse(0, 0.06, 0.62, 0.92, pen.light, part=(0.5, 1))
    pen.ellipse(0, 0.06, 0.24, 0.92, pen.color, part=(0.5, 1))


def top_hat(pen: Pen) -> None:
    """A tall hat with a ribbon."""
    pen.ellipse(0, 0.56, 0.98, 0.22, pen.color)
    pen.polygon(((-0.6, -0.72), (0.6, -0.72), (0.52, 0.5), (-0.52, 0.5)), pen.color)
    pen.ellipse(0, -0.72, 0.6, 0.13, pen.light)
    pen.polygon(
        ((-0.54, 0.2), (0.54, 0.2), (0.52, 0.5), (-0.52, 0.5)), CREAM if max(pen.color) < 220 else CHARCOAL
    )


def sun_hat(pen: Pen) -> None:
    """A round crown on a wide brim."""
    pen.ellipse(0, 0.32, 1.0, 0.26, pen.color)
    pen.ellipse(0, 0.26, 0.54, 0.74, pen.color, part=(0.5, 1))
    pen.polygon(
        ((-0.54, 0.06), (0.54, 0.06), (0.54, 0.28), (-0.54, 0.28)),
        CREAM if max(pen.color) < 220 else CHARCOAL,
    )
    pen.ellipse(0, 0.28, 0.54, 0.08, CREAM if max(pen.color) < 220 else CHARCOAL)
    pen.curve(((-0.9, 0.36), (0, 0.5), (0.9, 0.36)), 0.04, pen.dark)


def balloon(pen: Pen) -> None:
    """A party balloon on a string."""
    pen.curve(
        ((0, 0.3), (0.1, 0.5), (-0.1, 0.7), (0.06, 1.0)), 0.06, pen.ink if pen.ink != STEEL else CHARCOAL
    )
    pen.polygon(((0, 0.2), (0.14, 0.42), (-0.14, 0.42)), pen.dark)
    pen.blob(
        (
            (0, -1),
            (0.46, -0.76),
            (0.54, -0.34),
            (0.28, 0.14),
            (0, 0.28),
            (-0.28, 0.14),
            (-0.54, -0.34),
            (-0.46, -0.76),
        ),
        pen.color,
    )
    pen.ellipse(-0.2, -0.6, 0.1, 0.2, lighter(pen.color, 0.6), angle=24)


def hot_air_balloon(pen: Pen) -> None:
    """A great balloon with a basket."""
    for x in (-0.2, 0.2):
        pen.line(((x * 1.6, 0.2), (x, 0.7)), 0.045, CHARCOAL)
    pen.rectangle(-0.24, 0.68, 0.24, 1.0, WOOD)
    pen.blob(
        (
            (0, -1),
            (0.54, -0.78),
            (0.74, -0.3),
            (0.5, 0.16),
            (0.22, 0.46),
            (-0.22, 0.46),
            (-0.5, 0.16),
            (-0.74, -0.3),
            (-0.54, -0.78),
        ),
        pen.color,
    )
    pen.ellipse(0, -0.28, 0.26, 0.7, pen.light)
    pen.line(((-0.24, 0.44), (0.24, 0.44)), 0.07, pen.dark)


def kite(pen: Pen) -> None:
    """A diamond with a tail of bows."""
    pen.curve(((0, 0.3), (0.2, 0.5), (-0.12, 0.72), (0.14, 1.0)), 0.05, CHARCOAL)
    for x, y in ((0.14, 0.52), (-0.04, 0.78)):
        pen.polygon(((x - 0.15, y - 0.09), (x, y), (x - 0.15, y + 0.09)), pen.color)
        pen.polygon(((x + 0.15, y - 0.09), (x, y), (x + 0.15, y + 0.09)), pen.color)
    pen.polygon(((0, -1), (0.58, -0.4), (0, 0.36), (-0.58, -0.4)), pen.color)
    pen.polygon(((0, -1), (0.58, -0.4), (0, -0.4)), pen.light)
    pen.polygon(((0, 0.36), (-0.58, -0.4), (0, -0.4)), pen.light)
    pen.line(((0, -1), (0, 0.36)), 0.05, pen.ink)
    pen.line(((-0.58, -0.4), (0.58, -0.4)), 0.05, pen.ink)


def delta_kite(pen: Pen) -> None:
    """A broad triangle with two streamers."""
    for side in (-1, 1):
        pen.curve(
            ((side * 0.2, 0.1), (side * 0.34, 0.44), (side * 0.16, 0.7), (side * 0.36, 1.0)), 0.07, pen.dark
        )
    pen.polygon(((0, -0.84), (1.0, 0.2), (0.3, 0.06), (0, 0.3), (-0.3, 0.06), (-1.0, 0.2)), pen.color)
    pen.polygon(((0, -0.84), (0.24, 0.08), (0, 0.3), (-0.24, 0.08)), pen.light)
    pen.line(((0, -0.84), (0, 0.3)), 0.05, pen.ink)


def _star(inner: float) -> list[tuple[float, float]]:
    points: list[tuple[float, float]] = []
    for k in range(10):
        radius = inner if k % 2 else 1.0
        turn = math.pi * k / 5 - math.pi / 2
        points.append((radius * math.cos(turn), radius * math.sin(turn)))
    return points


def star(pen: Pen) -> None:
    """Five sharp points, a smaller star inside."""
    pen.polygon(_star(0.42), pen.color)
    pen.polygon([(x * 0.5, y * 0.5) for x, y in _star(0.42)], pen.light)


def smiling_star(pen: Pen) -> None:
    """Five blunt points and a face."""
    outline = _star(0.54)
    pen.polygon(outline, pen.color)
    pen.line(outline, 0.12, pen.color, closed=True)
    for x in (-0.18, 0.18):
        pen.ellipse(x, -0.1, 0.07, 0.1, pen.ink)
    pen.curve(((-0.22, 0.16), (0, 0.3), (0.22, 0.16)), 0.07, pen.ink)


def _heart(width: float) -> list[tuple[float, float]]:
    points: list[tuple[float, float]] = []
    for k in range(40):
        t = 2 * math.pi * k / 40
        across = 16 * math.sin(t) ** 3
        up = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((width * across / 17, -up / 17))
    return points


def heart(pen: Pen) -> None:
    """A heart with a highlight."""
    pen.polygon(_heart(1.0), pen.color)
    pen.ellipse(-0.46, -0.36, 0.13, 0.22, lighter(pen.color, 0.55), angle=36)


def stitched_heart(pen: Pen) -> None:
    """A broad heart with an inner line."""
    pen.polygon(_heart(1.08), pen.color)
    pen.line([(x * 0.68, y * 0.68 - 0.03) for x, y in _heart(1.08)], 0.07, pen.light, closed=True)


def beach_ball(pen: Pen) -> None:
    """A ball with pale stripes."""
    pen.ellipse(0, 0, 1, 1, pen.color)
    pale = CREAM if min(pen.color) < 190 else STEEL
    pen.ellipse(0, 0, 0.62, 1, pale)
    pen.ellipse(0, 0, 0.3, 1, pen.color)
    pen.ellipse(0, -0.92, 0.2, 0.1, pale)


def basket_ball(pen: Pen) -> None:
    """A ball with four seams."""
    pen.ellipse(0, 0, 1, 1, pen.color)
    pen.line(((0, -0.97), (0, 0.97)), 0.075, pen.ink)
    pen.line(((-0.97, 0), (0.97, 0)), 0.075, pen.ink)
    pen.curve(((-0.66, -0.72), (-0.36, 0), (-0.66, 0.72)), 0.075, pen.ink)
    pen.curve(((0.66, -0.72), (0.36, 0), (0.66, 0.72)), 0.075, pen.ink)


def foot_ball(pen: Pen) -> None:
    """A ball with five-cornered patches."""
    pen.ellipse(0, 0, 1, 1, pen.color)
    shade = INK if pen.ink == INK else STEEL
    ring = [(math.sin(2 * math.pi * k / 5), -math.cos(2 * math.pi * k / 5)) for k in range(5)]
    pen.polygon([(0.34 * x, 0.34 * y) for x, y in ring], shade)
    for x, y in ring:
        pen.line(((0.34 * x, 0.34 * y), (0.7 * x, 0.7 * y)), 0.06, shade)
        pen.polygon(
            (
                (0.96 * x, 0.96 * y),
                (0.78 * x - 0.24 * y, 0.78 * y + 0.24 * x),
                (0.66 * x, 0.66 * y),
                (0.78 * x + 0.24 * y, 0.78 * y - 0.24 * x),
            ),
            shade,
        )
