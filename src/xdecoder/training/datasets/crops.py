"""A random look at a photograph: the published large-scale jitter and fixed-size crop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import cv2
import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor


@final
@dataclass(frozen=True, kw_only=True)
class View:
    """A random look at an image: resized, mirrored perhaps, and cut to a square's size.

    Attributes:
        size: side of the square.
        resized: (height, width) that the image gets first.
        top: first row that is kept.
        left: first column that is kept.
        mirrored: whether left and right change places.
    """

    size: int
    resized: tuple[int, int]
    top: int
    left: int
    mirrored: bool

    @classmethod
    def draw(
        cls,
        shape: tuple[int, ...],
        rng: np.random.Generator,
        *,
        size: int,
        scale: tuple[float, float],
        flip: float,
        sides: tuple[int, int] | None = None,
    ) -> View:
        """Choose one.

        Args:
            shape: the image's height and width.
            rng: what is random.
            size: side of the square.
            scale: the image's longer side becomes the square's, times a factor drawn from here.
            flip: share of images that are mirrored.
            sides: the short side and the most of the long one that inference brings images to; where given,
                that size is what the factor is of.
        """
        height, width = shape
        short, long = sides or (size, size)
        factor = min(short / min(height, width), long / max(height, width)) * float(rng.uniform(*scale))
        resized = (max(1, round(height * factor)), max(1, round(width * factor)))
        room = [max(0, side - size) for side in resized]
        top, left = (int(rng.integers(r + 1)) for r in room)
        return cls(size=size, resized=resized, top=top, left=left, mirrored=float(rng.random()) < flip)

    @classmethod
    def squeeze(cls, rng: np.random.Generator, *, size: int, flip: float) -> View:
        """The whole image squeezed into the square, whatever its shape, mirrored perhaps."""
        return cls(size=size, resized=(size, size), top=0, left=0, mirrored=float(rng.random()) < flip)

    def image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The part of an image that is seen, (at most size, at most size, 3)."""
        shrinks = self.resized[0] < image.shape[0]
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return self._cut(np.asarray(cv2.resize(image, self.resized[::-1], interpolation=method), np.uint8))

    def masks(self, stack: NDArray[np.bool_]) -> Bool[Tensor, "N S S"]:
        """Masks as they are seen, padded with nothing."""
        found = torch.zeros(len(stack), self.size, self.size, dtype=torch.bool)
        for row, mask in zip(found, stack, strict=True):
            resized = cv2.resize(mask.astype(np.uint8), self.resized[::-1], interpolation=cv2.INTER_NEAREST)
            seen = self._cut(np.asarray(resized, np.uint8))
            row[: seen.shape[0], : seen.shape[1]] = torch.from_numpy(seen.astype(bool))
        return found

    def _cut(self, x: NDArray[np.uint8]) -> NDArray[np.uint8]:
        x = x[self.top : self.top + self.size, self.left : self.left + self.size]
        return np.ascontiguousarray(x[:, ::-1]) if self.mirrored else x
