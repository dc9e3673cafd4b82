"""What the kinds of benchmarks have in common: a sample becomes an entry, entries a file, a file scores.

A file is in the task's standard result format, so that the scores of `xdecoder evaluate` are, by
construction, those that `xdecoder score` and other tools give to its files.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
from jaxtyping import UInt8

from xdecoder.data.dataset import Dataset, Skip
from xdecoder.data.records import ImageId, Sample
from xdecoder.evaluation.benchmark import Benchmark
from xdecoder.evaluation.classes import BenchmarkClasses
from xdecoder.evaluation.resizing import Resizing
from xdecoder.evaluation.result_files import Entry
from xdecoder.metrics.semantic import AbsentRule
from xdecoder.vocabularies import Vocabulary

if TYPE_CHECKING:
    from xdecoder.predictor.encoding import EncodedImage
    from xdecoder.predictor.predictor import Predictor
else:
    EncodedImage = Predictor = Any  # torch is imported with a model: to score files takes none

Classes = Literal["global", "present"]
"""The words of an image: all classes of the vocabulary, or those that its truth has.

The second is a protocol of its own, some twenty points easier; its figures stand beside no published one.
"""

S = TypeVar("S", bound=Sample)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What came out.

    Attributes:
        figures: name -> percent, the best known first.
        images: how many images were scored.
        per_class: class -> percent; NaN for a class that does not occur.
        per_class_metric: what `per_class` holds: "IoU", "PQ" or "AP".
        precision_at_50: precision at recall 0, 0.01, ... 1 at mask IoU 0.5, where there is such a curve.
        skipped: what was left out of the figures, and why.
        missing: images without a prediction; the figures count all of their truth as missed.
    """

    figures: Mapping[str, float]
    images: int
    per_class: Mapping[str, float] = field(default_factory=dict[str, float])
    per_class_metric: str = ""
    precision_at_50: tuple[float, ...] = ()
    skipped: tuple[Skip, ...] = ()
    missing: tuple[ImageId, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BenchmarkRun:
    """One benchmark on one model, with what was changed for this run.

    Attributes:
        benchmark: what is done and scored, and with which sizes and thresholds.
        resizing: of the images in this run; None for the model's own size.
        classes: the words of an image.
        names: classes of segmentation tasks.
        folder: where the results go.
        absent: semantic: the classes that mIoU is the mean over.
    """

    benchmark: Benchmark
    resizing: Resizing | None
    classes: Classes
    names: BenchmarkClasses | None
    folder: Path
    absent: AbsentRule = "union"


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """An image, and what to ask it for.

    Attributes:
        pixels: of the image, at its own size.
        asked: the classes, for segmentation.
        places: their places among all classes that the benchmark asks for.
    """

    pixels: UInt8[np.ndarray, "H W 3"]
    asked: Vocabulary | None = None
    places: tuple[int, ...] = ()


class BenchmarkProtocol(ABC, Generic[S]):
    """One kind of benchmark, from samples to scores.

    Args:
        run: what to do.
        dataset: samples with their truth.
    """

    file: ClassVar[str]
    """The name of the result file."""

    def __init__(self, run: BenchmarkRun, dataset: Dataset[S]) -> None:
        self.run = run
        self.dataset = dataset

    @property
    def names(self) -> BenchmarkClasses:
        """The classes, which every segmentation benchmark has."""
        if self.run.names is None:
            raise ValueError(f"{self.run.benchmark.name} needs classes")
        return self.run.names

    @abstractmethod
    def read(self, sample: S) -> Picture:
        """A sample's image, after a look at its truth.

        Raises:
            ValueError: the image or its truth cannot be used; the sample is to be left out.
            FileNotFoundError: likewise.
        """

    @abstractmethod
    def predict(self, predictor: Predictor, sample: S, picture: Picture) -> Entry:
        """The prediction for a sample; pictures are written to the run's folder."""

    @abstractmethod
    def write(self, entries: Iterable[Entry], path: Path) -> None:
        """Write the result file, entry by entry."""

    @abstractmethod
    def score(self, path: Path, left_out: Collection[ImageId] = ()) -> Scores:
        """Score a result file against the data set.

        Args:
            path: a result file in the task's standard format.
            left_out: images that do not count.

        Raises:
            ValueError: the file does not fit the data set: unknown images or categories, other sizes.
            FileNotFoundError: the file, or one that it names, does not exist.
        """

    def picture(self, pixels: UInt8[np.ndarray, "H W 3"], present: Iterable[int]) -> Picture:
        """What `read` gives for segmentation: the image and the classes to ask it for.

        Args:
            pixels: of the image, at its own size.
            present: the categories that its truth has.

        Raises:
            ValueError: its classes alone are to be asked for, and it has none.
        """
        if self.run.classes == "global":
            return Picture(pixels=pixels, asked=self.names.asked, places=tuple(range(len(self.names.asked))))
        asked, places = self.names.present(frozenset(present))
        return Picture(pixels=pixels, asked=asked, places=places)

    def encode(self, predictor: Predictor, image: UInt8[np.ndarray, "H W 3"]) -> EncodedImage:
        """An image at the run's input size; its results are of the image's own size."""
        if self.run.resizing is None:
            return predictor.encode(image)
        resized = self.run.resizing(image)
        height, width = resized.shape[:2]
        encoded = predictor.encode(resized, short_side=min(height, width), long_side=max(height, width))
        return replace(encoded, image=image, geometry=replace(encoded.geometry, output=image.shape[:2]))
