"""What is written of an image, whatever the format; its classes; and what a format could not hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, final

from xdecoder.drawing.regions import Region

Shapes = Literal["masks", "polygons"]
"""How regions are written: pixel by pixel, or as outlines that can be edited point by point."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class LabeledPicture:
    """An image and its regions, as a labeling tool is given them.

    Attributes:
        name: of the image file, below the folder of images, with "/" between folders.
        size: height and width.
        regions: in the order of the result.
    """

    name: str
    size: tuple[int, int]
    regions: tuple[Region, ...]


@final
class ClassNumbers:
    """Class names, numbered from 0 as they come."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._places: dict[str, int] = {}
        for name in names:
            self.place(name)

    @property
    def names(self) -> list[str]:
        """In their order."""
        return list(self._places)

    def place(self, name: str) -> int:
        """The number of a class, which is new if the name is."""
        return self._places.setdefault(name, len(self._places))


@final
@dataclass(kw_only=True)
class Simplifications:
    """What a format could not hold, counted in objects.

    Attributes:
        filled: objects with holes, which polygons fill.
        split: objects in several parts, which became objects of their own.
    """

    filled: int = 0
    split: int = 0

    def describe(self) -> list[str]:
        """A sentence for each kind that there is."""
        sentences: list[str] = []
        if self.filled:
            sentences.append(f"polygons have no holes: they are filled in {_objects(self.filled)}")
        if self.split:
            sentences.append(
                f"a polygon has one part: each part of {_objects(self.split)} is an object of its own"
            )
        return sentences


def _objects(count: int) -> str:
    return f"{count} object{'' if count == 1 else 's'}"
