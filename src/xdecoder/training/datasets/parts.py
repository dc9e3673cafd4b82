"""The settings of each kind of data that a step consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from xdecoder.bounds import require, require_at_least, require_positive, require_shares
from xdecoder.data.records import Task


@final
@dataclass(frozen=True, kw_only=True)
class Mixed:
    """Further data of the same kind.

    Attributes:
        dataset: as `TaskConfig.dataset`.
        weight: how often a sample is taken from here, the first source having the weight 1.
    """

    dataset: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        require_positive(self, "weight")


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """One kind of data in every step.

    Attributes:
        dataset: its name in `xdecoder.data.catalog`; for captions also where pairs lie on disk, see
            `xdecoder.data.pair_files.open_pairs`.
        task: what its samples carry.
        split: which of its splits, or several joined by "+"; empty for the first.
        images: images a step, over all processes.
        size: side of the square that the network sees, a multiple of 32.
        scale: the image's longer side becomes the square's, times a factor drawn from here.
        sides: the short side and the most of the long one that inference brings images to; where set, the
            factor is of that size, so that things look as large in training as they will.
        flip: share of images that are mirrored.
        squeeze: the image is squeezed into the square instead; scale then does not count.
        captions: a data set of the same images, named as `dataset`, whose captions are learned from too:
            objects that are no segment are aligned with the nouns; empty for none.
        phrases: data sets of the same images, named as `dataset`, whose phrases are learned from too, 1 to 4
            an image; of each its train split.
        names: classes that an image without phrases is referred to by, at the most; 0 for none.
        repeat_threshold: images of a class that is in a smaller share of the images than this come more often
            in an epoch (`repeat_rare`); 0 for each image once.
        mix: further data, from which samples are taken as often as they weigh.
        buffer: samples of tar shards or tables that are shuffled together.
    """

    dataset: str
    task: Task
    split: str = ""
    images: int = 32
    size: int = 1024
    scale: tuple[float, float] = (0.1, 2.0)
    sides: tuple[int, int] | None = None
    flip: float = 0.5
    squeeze: bool = False
    captions: str = ""
    phrases: tuple[str, ...] = ()
    names: int = 5
    repeat_threshold: float = 0.0
    mix: tuple[Mixed, ...] = ()
    buffer: int = 10_000

    def __post_init__(self) -> None:
        require_shares(self, "flip", "repeat_threshold")
        require_at_least(1, self, "images", "buffer")
        require_at_least(0, self, "names")
        require_positive(self, "size", "scale")
        if self.sides is not None:
            require_positive(self, "sides")
        require(self.size % 32 == 0, f"TaskConfig.size must be a multiple of 32, got {self.size}")
        require(self.scale[0] <= self.scale[1], f"TaskConfig.scale must rise, got {self.scale}")

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of all data that it takes samples from."""
        return (self.dataset, *(mixed.dataset for mixed in self.mix))
