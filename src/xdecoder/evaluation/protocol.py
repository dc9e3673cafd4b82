"""What the pipelines have in common: a sample becomes an entry, entries a file, a file scores.

A file is in the task's standard result format, so that the scores of `xdecoder evaluate` are, by
construction, those that `xdecoder score` and other tools give to its files.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from xdecoder.data.dataset import Dataset, Skip
from xdecoder.data.decoding import read_json
from xdecoder.data.records import ImageId, Sample
from xdecoder.evaluation.benchmarks import Benchmark
from xdecoder.evaluation.classes import BenchmarkClasses
from xdecoder.jobs.files import whole_file
from xdecoder.predictor.encoding import EncodedImage
from xdecoder.predictor.predictor import Predictor
from xdecoder.vocabularies import Vocabulary

_NO_LIMIT = 2**20

Entry = dict[str, Any]
"""One image's prediction, ready for JSON; `image_id` is among its fields."""

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
class Run:
    """One benchmark on one model, with what was changed for this run.

    Attributes:
        benchmark: the row.
        short_side: input size of this run.
        long_side: likewise.
        classes: the words of an image.
        names: classes of segmentation tasks.
        folder: where the results go.
    """

    benchmark: Benchmark
    short_side: int
    long_side: int | None
    classes: Classes
    names: BenchmarkClasses | None
    folder: Path


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """An image, and what to ask it for.

    Attributes:
        pixels: the image.
        asked: the classes, for segmentation.
        places: their places among all classes that the benchmark asks for.
    """

    pixels: UInt8[np.ndarray, "H W 3"]
    asked: Vocabulary | None = None
    places: tuple[int, ...] = ()


class Protocol(ABC, Generic[S]):
    """One kind of benchmark, from samples to scores.

    Args:
        job: what to do.
        dataset: the truth.
    """

    file: ClassVar[str]
    """The name of the result file."""

    def __init__(self, job: Run, dataset: Dataset[S]) -> None:
        self.job = job
        self.dataset = dataset

    @property
    def names(self) -> BenchmarkClasses:
        """The classes, which every segmentation benchmark has."""
        if self.job.names is None:
            raise ValueError(f"{self.job.benchmark.name} needs classes")
        return self.job.names

    @abstractmethod
    def read(self, sample: S) -> Picture:
        """A sample's image, after a look at its truth.

        Raises:
            ValueError: the image or its truth cannot be used; the sample is to be left out.
            FileNotFoundError: likewise.
        """

    @abstractmethod
    def predict(self, predictor: Predictor, sample: S, picture: Picture) -> Entry:
        """The prediction for a sample; pictures are written to the job's folder."""

    @abstractmethod
    def write(self, entries: Iterable[Entry], path: Path) -> None:
        """Write the result file, entry by entry."""

    @abstractmethod
    def score(self, path: Path, left_out: Collection[ImageId] = ()) -> Scores:
        """Score a result file against the data set.

        Args:
            path: the file.
            left_out: images that do not count.

        Raises:
            ValueError: the file does not fit the data set: unknown images or categories, other sizes.
            FileNotFoundError: the file, or one that it names, does not exist.
        """

    def picture(self, pixels: UInt8[np.ndarray, "H W 3"], present: Iterable[int]) -> Picture:
        """What `read` gives for segmentation: the image and the classes to ask it for.

        Args:
            pixels: the image.
            present: the categories that its truth has.

        Raises:
            ValueError: its classes alone are to be asked for, and it has none.
        """
        if self.job.classes == "global":
            return Picture(pixels=pixels, asked=self.names.asked, places=tuple(range(len(self.names.asked))))
        asked, places = self.names.present(frozenset(present))
        return Picture(pixels=pixels, asked=asked, places=places)

    def encode(self, predictor: Predictor, image: UInt8[np.ndarray, "H W 3"]) -> EncodedImage:
        """An image at the job's input size."""
        if self.job.benchmark.square:
            # The published caption and retrieval evaluation squeezes images, bilinearly.
            side = self.job.short_side
            image = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))
        long_side = self.job.long_side or _NO_LIMIT
        return predictor.encode(image, short_side=self.job.short_side, long_side=long_side)


def write_list(
    entries: Iterable[Any], path: Path, *, head: Mapping[str, Any] | None = None, key: str = ""
) -> None:
    """Write a JSON list entry by entry, or an object whose last field `key` is that list."""
    with whole_file(path) as file:
        start = (
            ""
            if head is None
            else json.dumps(dict(head))[:-1] + (", " if head else "") + json.dumps(key) + ": "
        )
        file.write(f"{start}[".encode())
        for number, entry in enumerate(entries):
            file.write(((",\n" if number else "\n") + json.dumps(entry)).encode())
        file.write(("\n]" + ("" if head is None else "}") + "\n").encode())


def write_lines(entries: Iterable[Entry], path: Path) -> None:
    """Write a line of JSON for each entry."""
    with whole_file(path) as file:
        for entry in entries:
            file.write(json.dumps(entry).encode() + b"\n")


def read_list(path: Path, fields: Collection[str], *, key: str | None = None) -> list[Entry]:
    """A JSON list of objects, or an object's field `key` that is one.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds something else, or an object lacks a field.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such result file")
    data = read_json(path)
    if key is not None:
        data = data.get(key) if isinstance(data, dict) else None
    where = "a list" if key is None else f'an object with a list "{key}"'
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise ValueError(f"{path}: expected {where} of objects with {', '.join(fields)}")
    _require(data, path, fields)
    return data


def read_lines(path: Path, fields: Collection[str]) -> list[Entry]:
    """Lines of JSON objects; errors as `read_list`."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such result file")
    rows: list[Entry] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{path}: line {number} is not valid JSON ({error})") from error
            if not isinstance(row, dict):
                raise ValueError(f"{path}: line {number}: expected an object with {', '.join(fields)}")
            rows.append(row)
    _require(rows, path, fields)
    return rows


def _require(rows: Sequence[Entry], path: Path, fields: Collection[str]) -> None:
    for number, row in enumerate(rows):
        if lacking := [name for name in fields if name not in row]:
            raise ValueError(f"{path}: entry {number} lacks {', '.join(lacking)}")


def by_id(
    rows: Iterable[Entry], path: Path, known: Collection[ImageId] | None = None, *, id_field: str = "image_id"
) -> dict[ImageId, Entry]:
    """Entries by their id; `known` are the truth's ids, where they are to be checked.

    Raises:
        ValueError: an id is there twice, or is none of the known ones.
    """
    found: dict[ImageId, Entry] = {}
    twice: list[ImageId] = []
    for row in rows:
        if row[id_field] in found:
            twice.append(row[id_field])
        found[row[id_field]] = row
    if twice:
        raise ValueError(f"{path}: {len(twice)} duplicate {id_field}(s): {twice[:5]}; give each one result")
    if known is not None:
        refuse_unknown(found, path, known, id_field=id_field)
    return found


def refuse_unknown(
    ids: Iterable[ImageId], path: Path, known: Collection[ImageId], *, id_field: str = "image_id"
) -> None:
    """Refuse results for what the truth does not have.

    Raises:
        ValueError: with the first unknown ids.
    """
    unknown = sorted({i for i in ids if i not in known}, key=str)
    if unknown:
        raise ValueError(
            f"{path}: {len(unknown)} {id_field}(s) that the truth lacks: {unknown[:5]}; score results "
            "against the split they were made for"
        )
