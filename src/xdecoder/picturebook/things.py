"""The thirty kinds of things: how large they are, where they belong, and the variants that draw them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xdecoder.picturebook.opencv import cv2
from xdecoder.picturebook.palette import Rgb, is_dark, sample_rgb
from xdecoder.picturebook.pen import Pen
from xdecoder.picturebook.silhouettes import animals, objects, plants, vehicles
from xdecoder.picturebook.vocabulary import Size

Drawing = Callable[[Pen], None]

SIZE_FACTORS: Final[dict[Size, tuple[float, float]]] = {
    "small": (0.62, 0.70),
    "medium": (0.92, 1.05),
    "large": (1.36, 1.52),
}
"""How many times its kind's norm a thing measures; the gaps keep "small" and "large" unambiguous."""


@dataclass(frozen=True, kw_only=True)
class ThingKind:
    """How one category is drawn and placed.

    Attributes:
        norm: the side of a medium thing's unit square, as a share of the picture's side.
        homes: the stuff it is usually found on; the rest of the time it is found anywhere.
        tilt: the largest turn, in degrees.
        drawings: the shape variants.
    """

    norm: float
    homes: tuple[str, ...]
    tilt: float
    drawings: tuple[Drawing, ...]


_GROUND: Final = ("grass", "sand", "snow", "road", "floor", "rug")
_GARDEN: Final = ("grass", "sand", "snow")
_INDOORS: Final = ("floor", "rug", "grass")
_AIR: Final = ("sky",)

KINDS: Final[dict[str, ThingKind]] = {
    "car": ThingKind(
        norm=0.32,
        homes=("road", "road", "sand", "grass"),
        tilt=4,
        drawings=(vehicles.sedan, vehicles.beetle, vehicles.van),
    ),
    "bus": ThingKind(
        norm=0.36, homes=("road", "road", "grass"), tilt=4, drawings=(vehicles.bus, vehicles.double_decker)
    ),
    "truck": ThingKind(
        norm=0.36, homes=("road", "road", "sand"), tilt=4, drawings=(vehicles.box_truck, vehicles.tipper)
    ),
    "boat": ThingKind(
        norm=0.32, homes=("water",), tilt=7, drawings=(vehicles.sailing_boat, vehicles.steamer)
    ),
    "rocket": ThingKind(
        norm=0.34, homes=(*_AIR, "sand"), tilt=22, drawings=(vehicles.rocket, vehicles.slim_rocket)
    ),
    "house": ThingKind(
        norm=0.34, homes=_GARDEN, tilt=0, drawings=(objects.cottage, objects.town_house, objects.barn)
    ),
    "tree": ThingKind(
        norm=0.38,
        homes=("grass", "grass", "snow", "mountain"),
        tilt=4,
        drawings=(plants.round_tree, plants.pine, plants.poplar),
    ),
    "flower": ThingKind(
        norm=0.28,
        homes=("grass", "grass", "floor"),
        tilt=10,
        drawings=(plants.blossom, plants.daisy, plants.tulip),
    ),
    "mushroom": ThingKind(
        norm=0.24, homes=("grass", "grass", "snow"), tilt=9, drawings=(plants.toadstool, plants.tall_mushroom)
    ),
    "cactus": ThingKind(
        norm=0.30, homes=("sand", "sand", "floor"), tilt=4, drawings=(plants.saguaro, plants.potted_cactus)
    ),
    "fish": ThingKind(norm=0.26, homes=("water",), tilt=14, drawings=(animals.fish, animals.angelfish)),
    "dog": ThingKind(norm=0.28, homes=_GROUND, tilt=5, drawings=(animals.dog, animals.sitting_dog)),
    "cat": ThingKind(norm=0.27, homes=_GROUND, tilt=5, drawings=(animals.sitting_cat, animals.walking_cat)),
    "bird": ThingKind(
        norm=0.24,
        homes=(*_AIR, *_AIR, "grass", "snow"),
        tilt=10,
        drawings=(animals.bird, animals.flying_bird),
    ),
    "butterfly": ThingKind(
        norm=0.24,
        homes=(*_AIR, *_AIR, "grass", "wall"),
        tilt=28,
        drawings=(animals.butterfly, animals.swallowtail),
    ),
    "snail": ThingKind(norm=0.24, homes=_GARDEN, tilt=6, drawings=(animals.snail, animals.tower_snail)),
    "turtle": ThingKind(
        norm=0.27,
        homes=("water", "sand", "grass"),
        tilt=8,
        drawings=(animals.turtle, animals.swimming_turtle),
    ),
    "person": ThingKind(
        norm=0.34,
        homes=_GROUND,
        tilt=3,
        drawings=(animals.person_in_trousers, animals.person_in_dress, animals.person_in_coat),
    ),
    "apple": ThingKind(norm=0.20, homes=_INDOORS, tilt=14, drawings=(plants.apple, plants.halved_apple)),
    "cup": ThingKind(norm=0.22, homes=_INDOORS, tilt=5, drawings=(objects.mug, objects.teacup)),
    "book": ThingKind(norm=0.23, homes=_INDOORS, tilt=12, drawings=(objects.closed_book, objects.open_book)),
    "chair": ThingKind(
        norm=0.30, homes=_INDOORS, tilt=3, drawings=(objects.wooden_chair, objects.front_chair)
    ),
    "lamp": ThingKind(
        norm=0.30,
        homes=("floor", "floor", "rug"),
        tilt=3,
        drawings=(objects.standing_lamp, objects.table_lamp),
    ),
    "umbrella": ThingKind(
        norm=0.30,
        homes=("sand", "sand", "floor", "grass"),
        tilt=16,
        drawings=(objects.umbrella, objects.panelled_umbrella),
    ),
    "hat": ThingKind(
        norm=0.24,
        homes=(*_INDOORS, "wall", "sand", "snow"),
        tilt=10,
        drawings=(objects.top_hat, objects.sun_hat),
    ),
    "balloon": ThingKind(
        norm=0.30, homes=(*_AIR, *_AIR, "wall"), tilt=10, drawings=(objects.balloon, objects.hot_air_balloon)
    ),
    "kite": ThingKind(norm=0.30, homes=_AIR, tilt=26, drawings=(objects.kite, objects.delta_kite)),
    "star": ThingKind(
        norm=0.21, homes=(*_AIR, *_AIR, "wall"), tilt=20, drawings=(objects.star, objects.smiling_star)
    ),
    "heart": ThingKind(
        norm=0.20, homes=(*_AIR, "wall", "wall"), tilt=18, drawings=(objects.heart, objects.stitched_heart)
    ),
    "ball": ThingKind(
        norm=0.19,
        homes=_GROUND,
        tilt=40,
        drawings=(objects.beach_ball, objects.basket_ball, objects.foot_ball),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Sprite:
    """A drawn thing, cropped: premultiplied color and coverage, both 0..255."""

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8]


_SHADING: Final = np.array([[1.0, 0.97], [0.93, 0.84]], np.float32)


def draw_thing(
    category: str,
    color: str,
    rng: np.random.Generator,
    *,
    size: Size,
    picture: int,
    light: float = 1.0,
) -> Sprite:
    """Draw one thing for a picture of `picture` pixels a side; every choice comes from `rng`.

    Args:
        category: one of THING_CATEGORIES.
        color: one of COLORS.
        rng: where the shade, variant, tilt and proportions come from.
        size: a key of SIZE_FACTORS.
        picture: side of the picture in pixels.
        light: brightness of the scene's light (1 by day, a little less at night).
    """
    kind = KINDS[category]
    rgb = sample_rgb(color, rng)
    chance = rng.random(6).tolist()
    low, high = SIZE_FACTORS[size]
    factor = low + (high - low) * chance[0]
    drawing = kind.drawings[int(chance[1] * len(kind.drawings))]
    return _draw(
        drawing,
        rgb,
        radius=kind.norm * factor * picture / 2,
        angle=kind.tilt * (2 * chance[2] - 1),
        mirror=chance[3] < 0.5,
        stretch=(0.94 + 0.12 * chance[4], 0.94 + 0.12 * chance[5]),
        light=light,
    )


def _draw(
    drawing: Drawing,
    rgb: Rgb,
    *,
    radius: float,
    angle: float,
    mirror: bool,
    stretch: tuple[float, float],
    light: float,
) -> Sprite:
    pen = Pen(radius=radius, color=rgb, angle=angle, mirror=mirror, stretch=stretch)
    drawing(pen)
    side = pen.tile.shape[0] // pen.supersample
    tile = cv2.resize(pen.tile, (side, side), interpolation=cv2.INTER_AREA)
    x, y, width, height = cv2.boundingRect(tile[:, :, 3])
    tile = tile[y : y + height, x : x + width]
    alpha = np.ascontiguousarray(tile[:, :, 3])
    # A soft outline just inside the silhouette sets it off from a background of its own color.
    rim = cv2.subtract(alpha, cv2.erode(alpha, _CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=(0.0,)))
    shading = cv2.resize(_SHADING, (width, height), interpolation=cv2.INTER_LINEAR)
    shading *= light
    colors = tile[:, :, :3] * shading[:, :, None]
    if is_dark(rgb):  # black things: a gray outline, or they would be lost at night
        colors = np.minimum(colors + (rim * np.float32(0.22))[:, :, None], 255)
    else:
        colors *= (1 - rim * np.float32(0.0015))[:, :, None]
    colors = colors.astype(np.uint8)
    return Sprite(rgb=colors, alpha=np.asarray(alpha, np.uint8))


_CROSS: Final[NDArray[np.uint8]] = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
