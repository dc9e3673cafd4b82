"""Backgrounds: seven settings, each a stack of textured stuff painted from the far to the near."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xdecoder.picturebook.opencv import cv2
from xdecoder.picturebook.palette import Rgb, darker, lighter, mix
from xdecoder.picturebook.shades import SHADES, SKIES, TINTS
from xdecoder.picturebook.vocabulary import STUFF_CATEGORIES, Setting, Time

Image = NDArray[np.uint8]
Outline = list[tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Backdrop:
    """A background before anything stands on it.

    Attributes:
        image: uint8 `H W 3`.
        labels: uint8 `H W`, indices into STUFF_CATEGORIES.
        setting: where it is.
        time: day, sunset or night; None indoors.
    """

    image: Image
    labels: NDArray[np.uint8]
    setting: Setting
    time: Time | None


def draw_backdrop(setting: Setting, time: Time | None, rng: np.random.Generator, *, size: int) -> Backdrop:
    """Paint one setting, `size` pixels a side; every choice comes from `rng`."""
    painter = _Painter(time=time, rng=rng, size=size)
    _LAYOUTS[setting](painter)
    return Backdrop(image=painter.image, labels=painter.labels, setting=setting, time=time)


class _Painter:
    """Paints layers over one another, in coordinates from 0 to 1."""

    def __init__(self, *, time: Time | None, rng: np.random.Generator, size: int) -> None:
        self.time: Time | None = time
        self.size = size
        self.rng = rng
        self.image: Image = np.zeros((size, size, 3), np.uint8)
        self.labels: NDArray[np.uint8] = np.zeros((size, size), np.uint8)
        self.pixel = max(1, round(size / 140))

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * float(self.rng.random())

    def chance(self, probability: float) -> bool:
        return float(self.rng.random()) < probability

    def pick(self, count: int) -> int:
        return int(self.rng.integers(count))

    def tint(self, rgb: Rgb) -> Rgb:
        if self.time is None:
            return rgb
        color, share = TINTS[self.time]
        return mix(rgb, color, share)

    def layer(self, stuff: str, outline: Outline, *, shades: tuple[Rgb, Rgb] | None = None) -> None:
        """Cover the inside of `outline` with `stuff`."""
        if shades is None:
            variants = SHADES[stuff]
            far, near = variants[self.pick(len(variants))]
            shades = self.tint(far), self.tint(near)
        points = np.rint(np.array(outline) * (self.size * 16)).astype(np.int32) - 8
        top = int(max(0, points[:, 1].min() // 16))
        bottom = int(min(self.size, points[:, 1].max() // 16 + 2))
        rows = bottom - top
        texture = self._ground(shades, rows)
        _TEXTURES[stuff](self, texture, shades, top)
        mask = np.zeros((self.size, self.size), np.uint8)
        cv2.fillPoly(mask, [points], (255,), cv2.LINE_8, 4)
        band = mask[top:bottom]
        cv2.copyTo(texture, band, self.image[top:bottom])
        self.labels[top:bottom][band > 0] = STUFF_CATEGORIES.index(stuff)
        if stuff != "sky":  # one soft line hides the staircase along the edge
            edge = lighter(shades[0], 0.18) if stuff in ("snow", "water", "sand") else darker(shades[0], 0.14)
            cv2.polylines(self.image, [points], True, edge, 1, cv2.LINE_AA, 4)

    def _ground(self, shades: tuple[Rgb, Rgb], rows: int) -> Image:
        ramp = np.array([[shades[0]], [shades[1]]], np.uint8)
        texture = cv2.resize(ramp, (self.size, rows), interpolation=cv2.INTER_LINEAR)
        blotches = self.rng.integers(0, 15, (5, 8), np.uint8)
        cloud = cv2.resize(blotches, (self.size, rows), interpolation=cv2.INTER_CUBIC)
        return np.asarray(cv2.subtract(texture, cv2.merge((cloud, cloud, cloud))), np.uint8)

    def scatter(self, count: int, rows: int) -> NDArray[np.int32]:
        """Random pixel positions, `count 2`, in a texture of `rows` rows."""
        spots = self.rng.random((count, 2)) * (self.size, rows)
        return spots.astype(np.int32)

    def strokes(self, texture: Image, steps: Outline, count: int, rgb: Rgb) -> None:
        """Draw the same small stroke (in pixels of a 140-pixel picture) at random places."""
        shape = np.rint(np.array(steps) * (self.size / 140)).astype(np.int32)
        spots = self.scatter(count, texture.shape[0])
        cv2.polylines(texture, list(spots[:, None, :] + shape), False, rgb, self.pixel, cv2.LINE_AA)

    def ridge(self, height: float, roughness: float, spans: int) -> Outline:
        """The area under a broken line that wanders about `height`."""
        lift = (self.rng.random(spans + 1) - 0.5) * (2 * roughness)
        top = [(k / spans * 1.02 - 0.01, height + float(lift[k])) for k in range(spans + 1)]
        return [*top, (1.02, 1.02), (-0.02, 1.02)]

    def hill(self, height: float, swing: float) -> Outline:
        """The area under a gentle wave."""
        phase, waves = self.between(0, 6.28), self.between(0.5, 1.4)
        top = [
            (x / 16 * 1.02 - 0.01, height + swing * math.sin(phase + waves * 6.28 * x / 16))
            for x in range(17)
        ]
        return [*top, (1.02, 1.02), (-0.02, 1.02)]

    def band(self, top: float, bottom: float, slope: float) -> Outline:
        """A strip from side to side."""
        return [(-0.02, top - slope), (1.02, top + slope), (1.02, bottom + slope), (-0.02, bottom - slope)]


_WHOLE: Final[Outline] = [(-0.02, -0.02), (1.02, -0.02), (1.02, 1.02), (-0.02, 1.02)]


def _mountain(painter: _Painter, texture: Image, shades: tuple[Rgb, Rgb], top: int) -> None:
    painter.strokes(texture, [(0, 0), (4, 7), (5, 14)], 16, darker(shades[1], 0.16))
    painter.strokes(texture, [(0, 0), (-4, 6), (-5, 12)], 12, lighter(shades[0], 0.2))


def _grass(painter: _Painter, texture: Image, shades: tuple[Rgb, Rgb], top: int) -> None:
    painter.strokes(texture, [(-2, -3), (0, 0), (2, -3)], 26, darker(shades[1], 0.2))
    painter.strokes(texture, [(-1, -3), (0, 0), (1, -3)], 20, lighter(shades[0], 0.2))


def _sand(painter: _Painter, texture: Image, shades: tuple[Rgb, Rgb], top: int) -> None:
    painter.strokes(texture, [(0, 0), (1, 0)], 60, darker(shades[1], 0.14))
    painter.strokes(texture, [(0, 0), (7, -1), (14, 0)], 7, lighter(shades[0], 0.25))


def _water(painter: _Painter, texture: Image, shades: tuple[Rgb, Rgb], top: int) -> None:
    painter.strokes(texture, [(0, 0), (3, -2), (6, 0), (9, -2), (12, 0)], 18, lighter(shades[0], 0.28))
    painter.strokes(texture, [(0, 0), (4, -1), (8, 0)], 14, darker(shades[1], 0.15))


def _road(painter: _Painter, texture: Image, shades: tuple[Rgb, Rgb], top: int) -> None:
    painter.strokes(texture, [(0, 0), (1, 0)], 50, darker(shades[1], 0.14))
    painter.strokes(texture, [(0, 0), (1, 0)], 30, lighter(shades[0], 0.14))


def _snow(painter: _Painter, texture: Image, shades: tuple[Rgb, Rgb], top: int) -> None:
    painter.strokes(texture, [(0, 0), (6, -2), (12, 0)], 8, darker(shades[0], 0.07))
    painter.strokes(texture, [(0, 0), (1, 0)], 30, (255, 255, 255))


def _wall(painter: _Painter, texture: Image, shades: tuple[Rgb, Rgb], top: int) -> None:
    pattern, light, size = painter.pick(4), lighter(shades[0], 0.3), painter.size
    rows = texture.shape[0]
    step = max(6, round(size * painter.between(0.07, 0.12)))
    if pattern == 0:
        for x in range(step // 2, size, 2 * step):
            texture[:, x : x + step] += 9  # no wall is lighter than 240
    elif pattern == 1:
        for row, y in enumerate(range(step // 2, rows, step)):
            for x in range(step // 2 + (row % 2) * step // 2, size, step):
                cv2.circle(texture, (x, y), max(1, size // 100), light, -1, cv2.LINE_AA)
    elif pattern == 2:
        shade = darker(shades[0], 0.07)
        for row, y in enumerate(range(0, rows, step)):
            cv2.line(texture, (0, y), (size, y), shade, painter.pixel)
            for x in range((row % 2) * step, size, 2 * step):
                cv2.line(texture, (x, y), (x, y + step), shade, painter.pixel)


def _floor(painter: _Painter, texture: Image, shades: tuple[Rgb, Rgb], top: int) -> None:
    rows, size = texture.shape[0], painter.size
    line = darker(shades[1], 0.2)
    boards = max(3, round(rows / size * 16))
    for k in range(boards):
        y = round(rows * (k / boards) ** 1.25)
        cv2.line(texture, (0, y), (size, y), line, painter.pixel)
        x = int(painter.between(0, size))
        cv2.line(texture, (x, y), (x, round(rows * ((k + 1) / boards) ** 1.25)), line, painter.pixel)


def _rug(painter: _Painter, texture: Image, shades: tuple[Rgb, Rgb], top: int) -> None:
    step = max(4, round(painter.size * 0.045))
    for y in range(step // 2, texture.shape[0], step):
        texture[y : y + max(1, step // 3)] = lighter(shades[0], 0.22)


def _fence(painter: _Painter, texture: Image, shades: tuple[Rgb, Rgb], top: int) -> None:
    step = max(5, round(painter.size * 0.055))
    for x in range(painter.pick(step), painter.size, step):
        cv2.line(texture, (x, 0), (x, texture.shape[0]), darker(shades[1], 0.32), painter.pixel)
    for share in (0.34, 0.74):
        y = round(texture.shape[0] * share)
        cv2.line(texture, (0, y), (painter.size, y), darker(shades[1], 0.2), 2 * painter.pixel)


def _sky(painter: _Painter, texture: Image, shades: tuple[Rgb, Rgb], top: int) -> None:
    size = painter.size
    if painter.time == "night":
        spots = painter.scatter(26, texture.shape[0])
        texture[spots[:, 1], spots[:, 0]] = (226, 228, 240)
    if painter.chance(0.55):
        center = (int(painter.between(0.1, 0.9) * size), int(painter.between(0.06, 0.2) * size))
        radius = round(size * painter.between(0.045, 0.065))
        if painter.time == "night":
            cv2.circle(texture, center, radius, (240, 238, 214), -1, cv2.LINE_AA)
            bite = (center[0] + radius // 2, center[1] - radius // 4)
            cv2.circle(texture, bite, radius, mix(shades[0], shades[1], 0.15), -1, cv2.LINE_AA)
        else:
            glow = (255, 240, 190) if painter.time == "day" else (255, 196, 130)
            cv2.circle(texture, center, round(radius * 1.5), mix(shades[0], glow, 0.4), -1, cv2.LINE_AA)
            cv2.circle(texture, center, radius, glow, -1, cv2.LINE_AA)
    if painter.time != "night" or painter.chance(0.3):
        puff = lighter(shades[1], 0.55) if painter.time == "day" else mix(shades[0], shades[1], 0.6)
        for _ in range(painter.pick(4)):
            x, y = painter.between(0, 1) * size, painter.between(0.05, 0.3) * size
            width = size * painter.between(0.06, 0.11)
            for dx, dy, scale in ((-0.8, 0.1, 0.6), (0, -0.1, 0.8), (0.8, 0.1, 0.62), (0.1, 0.22, 1.0)):
                axes = (round(width * scale), round(width * scale * 0.42))
                cv2.ellipse(
                    texture,
                    (round(x + dx * width), round(y + dy * width)),
                    axes,
                    0,
                    0,
                    360,
                    puff,
                    -1,
                    cv2.LINE_AA,
                )


_TEXTURES: Final = {
    "sky": _sky,
    "mountain": _mountain,
    "grass": _grass,
    "sand": _sand,
    "water": _water,
    "road": _road,
    "snow": _snow,
    "wall": _wall,
    "floor": _floor,
    "rug": _rug,
    "fence": _fence,
}


def _paint_far(painter: _Painter, horizon: float, *, mountain: float) -> None:
    """The sky, and with that chance mountains before it."""
    variants = SKIES["day" if painter.time is None else painter.time]
    # No horizon lies lower than this, so that the gradient ends near it.
    painter.layer("sky", painter.band(-0.02, 0.62, 0), shades=variants[painter.pick(len(variants))])
    if painter.chance(mountain):
        height = horizon - painter.between(0.1, 0.17)
        painter.layer("mountain", painter.ridge(height, 0.07, painter.pick(4) + 4))


def _ellipse(x: float, y: float, width: float, height: float) -> Outline:
    return [(x + width * math.cos(k * 0.2618), y + height * math.sin(k * 0.2618)) for k in range(24)]


def _paint_fence(painter: _Painter, ground: float) -> None:
    top = ground - painter.between(0.03, 0.06)
    painter.layer("fence", painter.band(top, top + painter.between(0.11, 0.14), 0))


def _meadow(painter: _Painter) -> None:
    horizon = painter.between(0.36, 0.52)
    _paint_far(painter, horizon, mountain=0.4)
    painter.layer("grass", painter.hill(horizon, painter.between(0.01, 0.05)))
    if painter.chance(0.3):
        _paint_fence(painter, horizon + 0.08)


def _lake(painter: _Painter) -> None:
    horizon = painter.between(0.3, 0.4)
    _paint_far(painter, horizon, mountain=0.55)
    painter.layer("grass", painter.hill(horizon, 0.02))
    if painter.chance(0.5):
        top = horizon + painter.between(0.06, 0.1)
        painter.layer(
            "water", painter.band(top, top + painter.between(0.22, 0.3), painter.between(-0.03, 0.03))
        )
    else:
        x, y = painter.between(0.35, 0.65), painter.between(0.64, 0.74)
        width, height = painter.between(0.34, 0.46), painter.between(0.15, 0.2)
        painter.layer("water", _ellipse(x, y, width, height))


def _sea(painter: _Painter) -> None:
    horizon = painter.between(0.28, 0.42)
    _paint_far(painter, horizon, mountain=0.25)
    painter.layer("water", painter.hill(horizon, 0))
    painter.layer("sand", painter.hill(painter.between(0.64, 0.74), painter.between(0.015, 0.05)))


def _desert(painter: _Painter) -> None:
    horizon = painter.between(0.36, 0.52)
    _paint_far(painter, horizon, mountain=0.4)
    painter.layer("sand", painter.hill(horizon, painter.between(0.02, 0.05)))


def _street(painter: _Painter) -> None:
    horizon = painter.between(0.3, 0.42)
    _paint_far(painter, horizon, mountain=0.25)
    painter.layer("grass", painter.hill(horizon, 0.015))
    if painter.chance(0.3):
        _paint_fence(painter, horizon + 0.05)
    top = horizon + painter.between(0.14, 0.2)
    bottom = min(top + painter.between(0.26, 0.36), 0.92) if painter.chance(0.7) else 1.1
    slope = painter.between(-0.02, 0.02)
    painter.layer("road", painter.band(top, bottom, slope))
    _road_marks(painter, (top + min(bottom, 1.0)) / 2, slope)


def _road_marks(painter: _Painter, y: float, slope: float) -> None:
    size, start = painter.size, painter.between(0, 0.15)
    color = painter.tint((236, 232, 220))
    for k in range(6):
        left = start + k * 0.18
        ends = [(round(x * size), round((y + slope * (2 * x - 1)) * size)) for x in (left, left + 0.09)]
        cv2.line(painter.image, ends[0], ends[1], color, max(1, round(size / 70)), cv2.LINE_AA)


def _winter(painter: _Painter) -> None:
    horizon = painter.between(0.36, 0.52)
    _paint_far(painter, horizon, mountain=0.5)
    painter.layer("snow", painter.hill(horizon, painter.between(0.01, 0.05)))
    if painter.chance(0.25):
        _paint_fence(painter, horizon + 0.08)
    if painter.chance(0.2):
        top = painter.between(0.66, 0.72)
        painter.layer("road", painter.band(top, top + painter.between(0.14, 0.18), 0.01))


def _room(painter: _Painter) -> None:
    skirting = painter.between(0.48, 0.62)
    painter.layer("wall", _WHOLE)
    painter.layer("floor", painter.band(skirting, 1.1, 0))
    cv2.line(
        painter.image, (0, round(skirting * painter.size)), (painter.size, round(skirting * painter.size)),
        (240, 234, 222), max(1, round(painter.size / 60)),
    )  # fmt: skip
    if painter.chance(0.6):
        x, y = painter.between(0.4, 0.6), (skirting + 1.0) / 2 + painter.between(0.0, 0.05)
        width, height = painter.between(0.3, 0.42), (1.0 - skirting) * painter.between(0.3, 0.38)
        if painter.chance(0.5):
            outline = _ellipse(x, y, width, height)
        else:
            outline = [
                (x - width * 0.85, y - height),
                (x + width * 0.85, y - height),
                (x + width, y + height),
                (x - width, y + height),
            ]
        painter.layer("rug", outline)


_LAYOUTS: Final = {
    "meadow": _meadow,
    "lake": _lake,
    "sea": _sea,
    "desert": _desert,
    "street": _street,
    "winter": _winter,
    "room": _room,
}
