"""The sizes an image goes through, in whole numbers: what can be known of them without tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

STRIDE = 32
"""Images are padded to multiples of this many pixels."""

_S = TypeVar("_S", bound="ImageSizes")


@dataclass(frozen=True, kw_only=True)
class ImageSizes:
    """The sizes one image goes through, each (height, width) in pixels.

    Attributes:
        output: the result, as a rule the original image.
        resized: the network's input before padding.
        padded: the network's input, padded at the right and bottom.
    """

    output: tuple[int, int]
    resized: tuple[int, int]
    padded: tuple[int, int]

    @classmethod
    def of(cls: type[_S], size: tuple[int, int], *, short_side: int, long_side: int) -> _S:
        """The sizes of an image whose short side becomes `short_side`, its long one at most `long_side`."""
        resized = _scaled(size, min(short_side / min(size), long_side / max(size)))
        return cls(output=size, resized=resized, padded=(pad_length(resized[0]), pad_length(resized[1])))

    @classmethod
    def within(cls: type[_S], size: tuple[int, int], padded: tuple[int, int]) -> _S:
        """The sizes of an image that becomes as large as an input of a fixed size holds."""
        return cls(
            output=size,
            resized=_scaled(size, min(padded[0] / size[0], padded[1] / size[1])),
            padded=padded,
        )


def pad_length(length: int) -> int:
    """The next multiple of the stride."""
    return -(-length // STRIDE) * STRIDE


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
