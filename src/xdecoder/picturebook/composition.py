"""`draw_scene` and `draw_patch`: who plays, where they stand, and the ground truth that follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, get_args

import numpy as np
from numpy.typing import NDArray

from xdecoder.picturebook.camera import blend, photograph, shadow
from xdecoder.picturebook.opencv import cv2
from xdecoder.picturebook.scene import Occlusion, Scene, SceneSegment
from xdecoder.picturebook.shades import LIGHT
from xdecoder.picturebook.stuff import Backdrop, draw_backdrop
from xdecoder.picturebook.things import KINDS, Sprite, draw_thing
from xdecoder.picturebook.vocabulary import (
    COLORS,
    HELD_OUT_PAIRS,
    SETTINGS,
    STUFF_CATEGORIES,
    THING_CATEGORIES,
    Size,
    Split,
    Time,
)
from xdecoder.structures import Box

MIN_VISIBLE_SHARE: Final = 0.5
"""A thing of which less would remain to be seen makes the one that hides it stay away."""

MIN_AREA: Final = 0.004
"""The least visible area of a thing, as a share of the picture."""

MIN_STUFF_AREA: Final = 0.015
"""The least visible area of a stuff, as a share of the picture."""

_COUNTS: Final = (0.05, 0.11, 0.17, 0.19, 0.18, 0.14, 0.10, 0.06)
_SIZES: Final[tuple[Size, ...]] = get_args(Size)
_SIZE_ODDS: Final = (0.27, 0.50, 0.23)
_FLOATING: Final = frozenset({"sky", "wall"})
_UNSTANDABLE: Final = frozenset({"fence"})


def draw_scene(seed: int, *, split: Split, size: int = 160, held_out: bool = False) -> Scene:
    """Draw the scene of a seed: the same bytes in every process.

    The same seed at another size gives nearly the same scene (a thing may come or go at the limits).

    Args:
        seed: 0 or more; train and val have different scenes for the same seed.
        split: "train" never shows a pair of HELD_OUT_PAIRS; "val" shows all pairs alike.
        size: side of the square picture in pixels, 64 to 1024.
        held_out: show at least one thing of HELD_OUT_PAIRS (val only).

    Raises:
        ValueError: for an argument outside these.
    """
    if split not in get_args(Split):
        raise ValueError(f'split must be "train" or "val", got {split!r}')
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, got {seed}")
    if not 64 <= size <= 1024:
        raise ValueError(f"size must be between 64 and 1024 pixels, got {size}")
    if held_out and split == "train":
        raise ValueError('held-out pairs are never in the train split; use split="val"')
    key = (get_args(Split).index(split), int(held_out), seed)
    for attempt in range(64):
        rng = _generator(*key, attempt)
        scene = _compose(rng, seed=seed, split=split, size=size, held_out=held_out)
        if scene is None:
            continue
        shown = {(thing.color, thing.category) for thing in scene.things}
        if shown and (not held_out or shown & HELD_OUT_PAIRS):
            return scene
    raise RuntimeError(f"no scene for seed {seed}: 64 attempts placed no wanted thing")  # never seen


def draw_patch(seed: int, size: int = 64, *, split: Split = "train") -> tuple[NDArray[np.uint8], str, str]:
    """A single thing on a piece of background, for learning categories and colors first.

    Args:
        seed: 0 or more; the patch follows from it, `split` and `size`.
        size: side of the square patch in pixels, at least 32.
        split: "train" never shows a pair of HELD_OUT_PAIRS.

    Returns:
        The uint8 `size size 3` image, the category and the color.
    """
    if split not in get_args(Split):
        raise ValueError(f'split must be "train" or "val", got {split!r}')
    if seed < 0 or size < 32:
        raise ValueError(f"seed must be 0 or more and size at least 32, got {seed} and {size}")
    rng = _generator(2 + get_args(Split).index(split), 0, seed, 0)
    backdrop = _random_backdrop(rng, round(size * 1.6))
    category, color = _pair(rng, split=split, held_out=False)
    # About as large as in a scene, then up to filling the patch.
    picture = size * (0.5 + 0.45 * float(rng.random())) / KINDS[category].norm
    sprite = draw_thing(
        category, color, rng, size="medium", picture=round(picture), light=LIGHT[backdrop.time or "day"]
    )
    x, y, slack_x, slack_y = (float(v) for v in rng.random(4))
    left, top = (round(v * (backdrop.image.shape[0] - size)) for v in (x, y))
    image = np.ascontiguousarray(backdrop.image[top : top + size, left : left + size])
    height, width = (min(side, size) for side in sprite.alpha.shape)
    blend(
        image,
        Sprite(rgb=sprite.rgb[:height, :width], alpha=sprite.alpha[:height, :width]),
        left=round((size - width) * slack_x),
        top=round((size - height) * slack_y),
    )
    return photograph(image, rng), category, color


def _generator(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


def _choose(rng: np.random.Generator, odds: tuple[float, ...]) -> int:
    point = float(rng.random())
    for index, share in enumerate(odds):
        point -= share
        if point < 0:
            return index
    return len(odds) - 1


def _random_backdrop(rng: np.random.Generator, size: int) -> Backdrop:
    setting = SETTINGS[int(rng.integers(len(SETTINGS)))]
    times: tuple[Time, ...] = ("day", "day", "sunset", "night")
    time = None if setting == "room" else times[int(rng.integers(4))]
    return draw_backdrop(setting, time, rng, size=size)


def _pair(
    rng: np.random.Generator, *, split: Split, held_out: bool, category: str | None = None
) -> tuple[str, str]:
    """A category (or the given one) and a color that may go together in this split."""
    if held_out:
        pairs = sorted(HELD_OUT_PAIRS)
        color, chosen = pairs[int(rng.integers(len(pairs)))]
        return chosen, color
    chosen = category or THING_CATEGORIES[int(rng.integers(len(THING_CATEGORIES)))]
    while True:
        color = COLORS[int(rng.integers(len(COLORS)))]
        if split == "val" or (color, chosen) not in HELD_OUT_PAIRS:
            return chosen, color


@dataclass(frozen=True, kw_only=True)
class _Placed:
    category: str
    color: str
    size: Size
    on: str
    sprite: Sprite
    left: int
    top: int

    @property
    def bottom(self) -> int:
        return self.top + self.sprite.alpha.shape[0]

    @property
    def right(self) -> int:
        return self.left + self.sprite.alpha.shape[1]


def _compose(rng: np.random.Generator, *, seed: int, split: Split, size: int, held_out: bool) -> Scene | None:
    backdrop = _random_backdrop(rng, size)
    areas: list[int] = np.bincount(backdrop.labels.ravel(), minlength=len(STUFF_CATEGORIES)).tolist()
    if any(0 < area < 2 * MIN_STUFF_AREA * size * size for area in areas):
        return None
    present = [label for label, area in enumerate(areas) if area]
    placed: list[_Placed] = []
    for category, color in _cast(rng, present, split=split, held_out=held_out):
        thing = _place(rng, backdrop, placed, category=category, color=color)
        if thing is not None:
            placed.append(thing)
    # Far to near: what floats first, then by where it touches the ground.
    placed.sort(key=lambda thing: (thing.on not in _FLOATING, thing.bottom))
    return _paint(rng, backdrop, placed, areas, seed=seed, split=split)


def _cast(
    rng: np.random.Generator, present: list[int], *, split: Split, held_out: bool
) -> list[tuple[str, str]]:
    """Who plays: often several of one kind, mostly kinds that belong in the setting."""
    count = 1 + _choose(rng, _COUNTS)
    stuff = {STUFF_CATEGORIES[label] for label in present}
    fitting = [name for name in THING_CATEGORIES if stuff & set(KINDS[name].homes)]
    cast: list[tuple[str, str]] = []
    repeat = float(rng.random()) < 0.6
    same_color = float(rng.random()) < 0.3
    for index in range(count):
        if held_out and (index == 0 or float(rng.random()) < 0.3):
            cast.append(_pair(rng, split=split, held_out=True))
            continue
        category = fitting[int(rng.integers(len(fitting)))] if float(rng.random()) < 0.4 else None
        if cast and repeat and float(rng.random()) < 0.55:
            first = cast[int(rng.integers(min(2, len(cast))))]
            if same_color and float(rng.random()) < 0.7:
                cast.append(first)
                continue
            category = first[0]
        cast.append(_pair(rng, split=split, held_out=False, category=category))
    return cast


def _place(
    rng: np.random.Generator, backdrop: Backdrop, placed: list[_Placed], *, category: str, color: str
) -> _Placed | None:
    """Find room for a thing: its base on one stuff, or all of it in the sky or on the wall."""
    labels = backdrop.labels
    picture = labels.shape[0]
    size = _SIZES[_choose(rng, _SIZE_ODDS)]
    sprite = draw_thing(category, color, rng, size=size, picture=picture, light=LIGHT[backdrop.time or "day"])
    height, width = sprite.alpha.shape
    if height > picture or width > picture:
        return None
    homes = [STUFF_CATEGORIES.index(name) for name in KINDS[category].homes]
    at_home = float(rng.random()) < 0.85
    crowding = 0.5 if float(rng.random()) < 0.3 else 0.12
    spots = rng.random((60, 2)).tolist()
    for attempt, (across, down) in enumerate(spots):
        left, top = int(across * (picture - width + 1)), int(down * (picture - height + 1))
        foot = top + height - 1
        label = int(labels[foot, left + width // 2])
        name = STUFF_CATEGORIES[label]
        if name in _UNSTANDABLE or (at_home and attempt < 45 and label not in homes):
            continue
        touched = (labels[foot, left + width // 5], labels[foot, left + width - 1 - width // 5])
        if any(other != label for other in touched):
            continue
        if name in _FLOATING:
            corners = (labels[top, left], labels[top, left + width - 1], labels[top, left + width // 2])
            if any(other != label for other in corners):
                continue
        thing = _Placed(category=category, color=color, size=size, on=name, sprite=sprite, left=left, top=top)
        if all(_overlap(thing, other) <= crowding for other in placed):
            return thing
    return None


def _overlap(first: _Placed, second: _Placed) -> float:
    """Shared area of two boxes, as a share of the smaller."""
    width = min(first.right, second.right) - max(first.left, second.left)
    height = min(first.bottom, second.bottom) - max(first.top, second.top)
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min(first.sprite.alpha.size, second.sprite.alpha.size)


def _paint(
    rng: np.random.Generator,
    backdrop: Backdrop,
    placed: list[_Placed],
    areas: list[int],
    *,
    seed: int,
    split: Split,
) -> Scene:
    """Paint the things over the backdrop, `areas` being the pixels of each label, and keep count of all."""
    image, labels = backdrop.image, backdrop.labels
    size = image.shape[0]
    present = [label for label, area in enumerate(areas) if area]
    renumber = np.zeros(len(STUFF_CATEGORIES), np.int32)
    renumber[present] = np.arange(1, len(present) + 1)
    ids = renumber[labels]
    whole = [0, *(areas[label] for label in present)]
    visible = list(whole)
    kept: list[_Placed] = []
    occlusions: list[Occlusion] = []
    stuff = len(present)
    for thing in placed:
        window = ids[thing.top : thing.bottom, thing.left : thing.right]
        inside = thing.sprite.alpha > 127
        area = int(np.count_nonzero(inside))
        taken = np.bincount(window[inside], minlength=len(visible)).tolist()
        if area < MIN_AREA * size * size or not _leaves_enough(taken, visible, whole, stuff=stuff, size=size):
            continue
        number = len(visible)
        occlusions += [
            Occlusion(front=number, back=back, share=taken[back] / min(area, whole[back]))
            for back in range(stuff + 1, number)
            if taken[back]
        ]
        visible = [have - lost for have, lost in zip(visible, taken, strict=True)] + [area]
        whole.append(area)
        kept.append(thing)
        if thing.on not in _FLOATING and thing.on != "water":
            shadow(image, thing.sprite, left=thing.left, top=thing.top)
        blend(image, thing.sprite, left=thing.left, top=thing.top)
        window[inside] = number
    segments: list[SceneSegment] = []
    for k, label in enumerate(present):
        box, center = _extent(ids == k + 1, 0, 0, size)
        segments.append(
            SceneSegment(
                id=k + 1,
                category=STUFF_CATEGORIES[label],
                is_thing=False,
                box=box,
                area=visible[k + 1],
                center=center,
            )
        )
    for number, thing in enumerate(kept, start=stuff + 1):
        window = ids[thing.top : thing.bottom, thing.left : thing.right]
        box, center = _extent(window == number, thing.left, thing.top, size)
        segments.append(
            SceneSegment(
                id=number,
                category=thing.category,
                is_thing=True,
                color=thing.color,
                size=thing.size,
                on=thing.on,
                box=box,
                area=visible[number],
                center=center,
            )
        )
    return Scene(
        image=photograph(image, rng),
        ids=ids,
        segments=tuple(segments),
        occlusions=tuple(occlusions),
        setting=backdrop.setting,
        time=backdrop.time,
        seed=seed,
        split=split,
    )


def _extent(mask: NDArray[np.bool_], left: int, top: int, size: int) -> tuple[Box, tuple[float, float]]:
    """The box of a mask whose corner lies at (left, top), and its middle."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    left, top = left + x, top + y
    return (left, top, left + width, top + height), (
        (2 * left + width) / (2 * size),
        (2 * top + height) / (2 * size),
    )


def _leaves_enough(taken: list[int], visible: list[int], whole: list[int], *, stuff: int, size: int) -> bool:
    """Whether everything painted so far stays visible enough when `taken` pixels of each are covered."""
    for number in range(1, len(taken)):
        left = visible[number] - taken[number]
        if not taken[number]:
            continue
        if number <= stuff:
            if left < MIN_STUFF_AREA * size * size:
                return False
        elif left < MIN_VISIBLE_SHARE * whole[number] or left < MIN_AREA * size * size:
            return False
    return True
