"""How large the images of a data set are, by their headers: nothing is decoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, final

from xdecoder.data.dataset import Dataset, spread
from xdecoder.data.records import ImageId, Sample
from xdecoder.images import TooLargeError

_MOST: Final = 10_000
"""Headers that are read, of samples spread over the data set."""


@final
@dataclass(frozen=True, kw_only=True)
class ImageSize:
    """An image's name, and its height and width as stored."""

    name: str
    height: int
    width: int

    @property
    def longer(self) -> int:
        """The longer side."""
        return max(self.height, self.width)

    def __str__(self) -> str:
        return f"{self.name}, {self.width} x {self.height} pixels"


@final
@dataclass(frozen=True, kw_only=True)
class DatasetImageSizes:
    """The sizes of images, each once.

    Attributes:
        readable: of those that can be read, by size.
        refused: why each of the others is too large to be read, a sentence that names it.
    """

    readable: tuple[ImageSize, ...]
    refused: tuple[str, ...]

    def smaller_than(self, longer: float) -> tuple[ImageSize, ...]:
        """Those whose longer side is below a number of pixels, the smallest first."""
        return tuple(size for size in self.readable if size.longer < longer)

    def larger_than(self, longer: float) -> tuple[ImageSize, ...]:
        """Those whose longer side is above a number of pixels, the largest first."""
        return tuple(size for size in reversed(self.readable) if size.longer > longer)


def image_sizes(data: Dataset[Sample]) -> DatasetImageSizes:
    """The sizes of a data set's images; files that are no images are passed over, who reads them tells."""
    readable: list[ImageSize] = []
    refused: list[str] = []
    for sample in _spread(data):
        name = sample.source.name
        with suppress(OSError, ValueError):
            try:
                header = sample.source.header()
                header.require_pixels(name)
            except TooLargeError as error:
                refused.append(str(error))
            else:
                readable.append(ImageSize(name=name, height=header.height, width=header.width))
    return DatasetImageSizes(readable=tuple(sorted(readable, key=lambda s: s.longer)), refused=tuple(refused))


def _spread(data: Dataset[Sample]) -> Iterator[Sample]:
    """At most `_MOST` samples, each image the first time that it comes."""
    seen = set[ImageId]()
    for sample in spread(data, _MOST):
        if sample.image_id not in seen:
            seen.add(sample.image_id)
            yield sample
