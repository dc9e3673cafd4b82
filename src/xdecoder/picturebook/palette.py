"""The eleven colors: where each lies in hue, saturation and value, too far apart for jitter to cross."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import Final

import numpy as np

Rgb = tuple[int, int, int]

INK: Final[Rgb] = (44, 42, 50)
CHARCOAL: Final[Rgb] = (66, 66, 74)
STEEL: Final[Rgb] = (172, 176, 182)
GLASS: Final[Rgb] = (196, 222, 232)
CREAM: Final[Rgb] = (247, 240, 222)
WOOD: Final[Rgb] = (128, 92, 62)
LEAF: Final[Rgb] = (84, 146, 72)
SKIN: Final[Rgb] = (238, 194, 158)
LIGHT: Final[Rgb] = (255, 226, 140)
"""Fixed shades of small details; the body carries the named color."""


@dataclass(frozen=True, kw_only=True)
class Tone:
    """One color's place: hue in degrees (it may start below 0), saturation and value in 0..1."""

    hue: tuple[float, float]
    saturation: tuple[float, float]
    value: tuple[float, float]


TONES: Final[dict[str, Tone]] = {
    "red": Tone(hue=(-7, 4), saturation=(0.78, 0.92), value=(0.78, 0.90)),
    "orange": Tone(hue=(23, 31), saturation=(0.84, 0.95), value=(0.94, 1.0)),
    "yellow": Tone(hue=(48, 55), saturation=(0.68, 0.88), value=(0.95, 1.0)),
    "green": Tone(hue=(115, 142), saturation=(0.55, 0.75), value=(0.52, 0.72)),
    "blue": Tone(hue=(212, 226), saturation=(0.70, 0.86), value=(0.72, 0.92)),
    "purple": Tone(hue=(271, 284), saturation=(0.55, 0.70), value=(0.54, 0.70)),
    "pink": Tone(hue=(330, 343), saturation=(0.32, 0.44), value=(0.96, 1.0)),
    "brown": Tone(hue=(20, 28), saturation=(0.56, 0.68), value=(0.38, 0.48)),
    "black": Tone(hue=(0, 360), saturation=(0.0, 0.12), value=(0.11, 0.17)),
    "white": Tone(hue=(0, 360), saturation=(0.0, 0.03), value=(0.96, 1.0)),
    "gray": Tone(hue=(0, 360), saturation=(0.0, 0.05), value=(0.50, 0.60)),
}


def tone_rgb(tone: Tone, hue: float, saturation: float, value: float) -> Rgb:
    """The color at three positions (each 0..1) inside a tone's ranges."""
    degrees = tone.hue[0] + hue * (tone.hue[1] - tone.hue[0])
    red, green, blue = colorsys.hsv_to_rgb(
        (degrees % 360) / 360,
        tone.saturation[0] + saturation * (tone.saturation[1] - tone.saturation[0]),
        tone.value[0] + value * (tone.value[1] - tone.value[0]),
    )
    return round(red * 255), round(green * 255), round(blue * 255)


def sample_rgb(color: str, rng: np.random.Generator) -> Rgb:
    """A shade of `color` (one of COLORS), jittered within its own ranges."""
    hue, saturation, value = rng.random(3).tolist()
    return tone_rgb(TONES[color], hue, saturation, value)


def mix(first: Rgb, second: Rgb, share: float) -> Rgb:
    """`first` with `share` (0..1) of `second` mixed in."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def darker(rgb: Rgb, share: float = 0.22) -> Rgb:
    """A darker shade of the same hue."""
    return mix(rgb, (0, 0, 0), share)


def lighter(rgb: Rgb, share: float = 0.25) -> Rgb:
    """A lighter shade of the same hue."""
    return mix(rgb, (255, 255, 255), share)


def is_dark(rgb: Rgb) -> bool:
    """Whether INK details would vanish on this color."""
    return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2] < 70
