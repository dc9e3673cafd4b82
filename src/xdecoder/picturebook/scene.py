"""The record of a drawn scene: its picture, its segments and everything that is true of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xdecoder.picturebook.vocabulary import Setting, Size, Split, Time
from xdecoder.structures import Box


@dataclass(frozen=True, kw_only=True)
class SceneSegment:
    """One visible thing, or all of one stuff.

    Attributes:
        id: its number in `Scene.ids`, from 1; a thing with a larger number was painted later (nearer).
        category: one of THING_CATEGORIES or STUFF_CATEGORIES.
        is_thing: which of the two.
        color: one of COLORS; None for stuff.
        size: relative to its kind's norm; None for stuff.
        on: the stuff a thing stands on or hangs in; None for stuff.
        box: of its visible pixels.
        area: its visible pixels.
        center: the middle of `box` (x, y), as shares of the picture's side.
    """

    id: int
    category: str
    is_thing: bool
    color: str | None = None
    size: Size | None = None
    on: str | None = None
    box: Box
    area: int
    center: tuple[float, float]


class Occlusion(NamedTuple):
    """`front` hides `share` (0..1) of the smaller of the two things."""

    front: int
    back: int
    share: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """A picture and everything that is true of it.

    Attributes:
        image: uint8 `H W 3`, RGB.
        ids: int32 `H W`, the segment of every pixel; none is 0.
        segments: stuff first, then things from far to near; `segments[k].id == k + 1`.
        occlusions: which thing hides part of which.
        setting: where the scene plays; it follows from the stuff that is present.
        time: day, sunset or night; None indoors.
        seed: with `split` and the arguments of `draw_scene`, what it was drawn from.
        split: "train" or "val".
    """

    image: NDArray[np.uint8]
    ids: NDArray[np.int32]
    segments: tuple[SceneSegment, ...]
    occlusions: tuple[Occlusion, ...]
    setting: Setting
    time: Time | None
    seed: int
    split: Split

    @property
    def size(self) -> int:
        """The picture's side in pixels."""
        return self.image.shape[0]

    @cached_property
    def things(self) -> tuple[SceneSegment, ...]:
        """The segments that are things."""
        return tuple(segment for segment in self.segments if segment.is_thing)

    @cached_property
    def stuff(self) -> tuple[SceneSegment, ...]:
        """The segments that are stuff."""
        return tuple(segment for segment in self.segments if not segment.is_thing)

    def segment(self, segment_id: int) -> SceneSegment:
        """The segment of that id."""
        return self.segments[segment_id - 1]

    def has_stuff(self, category: str) -> bool:
        """Whether that stuff is to be seen."""
        return any(segment.category == category for segment in self.stuff)

    def hidden(self, *, front: int, back: int) -> float:
        """How much `front` hides of `back`, as `Occlusion.share`; 0 where it does not."""
        pair = (front, back)
        return next((share for *found, share in self.occlusions if tuple(found) == pair), 0.0)
