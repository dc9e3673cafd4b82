"""Semantic label maps beside images: one folder of pictures, one of PNGs or TIFFs with the same names."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from xdecoder.data.dataset import Dataset, ExistingFiles, Skip
from xdecoder.data.decoding import FileImage, LabelCoding, LabelFile
from xdecoder.data.info import DatasetInfo, DatasetSplit, Origin
from xdecoder.data.problems import refuse_duplicates
from xdecoder.data.records import SemanticSample
from xdecoder.data.selection import Selection
from xdecoder.images import IMAGE_SUFFIXES
from xdecoder.jobs.files import read_text
from xdecoder.vocabularies import Vocabulary, built_in


@final
@dataclass(frozen=True, kw_only=True)
class Folders:
    """A layout of two folders; patterns as in `Selection.path`.

    Attributes:
        images: pattern of the image folder.
        labels: pattern of the label folder.
        coding: how label files write categories; `classes` must be the vocabulary's number.
        vocabulary: gives the classes.
        background: gives the names of what the last class, a background, is made of (`Dataset.background`).
        listing: pattern of a text file with one stem a line; without it, the label folder decides.
        label_suffix: how label files end.
        by_number: match files by the number that ends their names (SUN RGB-D names the two differently).
        tells_unlabeled: record images without a label map as left out.
    """

    images: str
    labels: str
    coding: LabelCoding
    vocabulary: Callable[[Selection], Vocabulary]
    background: Callable[[Selection], tuple[str, ...]] | None = None
    listing: str = ""
    label_suffix: str = ".png"
    by_number: bool = False
    tells_unlabeled: bool = False

    def __call__(self, selection: Selection) -> Dataset[Any]:
        """Open one split.

        Raises:
            FileNotFoundError: a folder, or unless they may be skipped, images or label maps are missing.
            ValueError: nothing is there.
        """
        images, labels = selection.path(self.images), selection.path(self.labels)
        image_of = {self._key(name): name for name in _names(images, IMAGE_SUFFIXES)}
        label_names = _names(labels, (self.label_suffix,))
        label_of = {self._key(name): name for name in label_names}
        if self.by_number:
            refuse_duplicates((self._key(name) for name in label_names), what="file", where=labels)
        keys = sorted(label_of)
        if self.listing:
            listing = selection.path(self.listing)
            if not listing.is_file():
                raise FileNotFoundError(f"{listing}: no such list of the {selection.split} images")
            keys = [line.split()[0] for line in read_text(listing).splitlines() if line.strip()]
            refuse_duplicates(keys, what="image", where=listing)
        existing = ExistingFiles(selection.name, selection.missing)
        samples: list[SemanticSample] = []
        for key in keys:
            image = images / image_of.get(key, f"{key}.jpg")
            label = labels / label_of.get(key, f"{key}{self.label_suffix}")
            if selection.wants(key) and existing.has(str(image), str(label)):
                samples.append(
                    SemanticSample(
                        image_id=key,
                        source=FileImage(path=str(image)),
                        label_source=LabelFile(path=str(label), coding=self.coding),
                    )
                )
        return Dataset(
            samples,
            name=selection.name,
            task="semantic",
            split=selection.split,
            vocabulary=self.vocabulary(selection),
            background=self.background(selection) if self.background else (),
            skipped=(*existing.finish(), *self._unlabeled(images, image_of, label_of)),
        )

    def _unlabeled(
        self, images: Path, image_of: Mapping[str, str], label_of: Mapping[str, str]
    ) -> Iterator[Skip]:
        """The images without a label map, where they are told."""
        for key in sorted(image_of.keys() - label_of.keys()) if self.tells_unlabeled else ():
            image = images / image_of[key]
            yield Skip(item=str(image), reason=f"{image}: it has no label map {key}{self.label_suffix}")

    def _key(self, name: str) -> str:
        stem = Path(name).stem
        if not self.by_number:
            return stem
        number = re.search(r"(\d+)$", stem)
        if not number:
            raise ValueError(f"{name}: expected a file name that ends in a number")
        return number[1]


def _names(folder: Path, suffixes: tuple[str, ...]) -> list[str]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; `xdecoder datasets check` prints the layout")
    return sorted(e.name for e in os.scandir(folder) if e.name.lower().endswith(suffixes))


def folders_info(
    loader: Folders,
    *,
    title: str,
    splits: Mapping[str, DatasetSplit],
    origin: Origin,
    vocabulary: str,
    more: tuple[str, ...] = (),
) -> DatasetInfo:
    """The row of a data set that is a folder of images and one of label maps."""
    listing = (loader.listing,) if loader.listing else ()
    return DatasetInfo(
        title=title,
        files={"semantic": (*listing, loader.images, loader.labels, *more)},
        splits=splits,
        origin=origin,
        vocabulary=vocabulary,
        loader=loader,
    )


def named(name: str) -> Callable[[Selection], Vocabulary]:
    """The built-in vocabulary of that name."""
    return lambda _request: built_in(name)


COCO_STUFF_VALUES = tuple(
    i - 1 for i in range(1, 183) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)
)
"""What COCO-Stuff's label maps hold for its 171 classes: their ids less 1; eleven of 182 ids are not used."""


def coco_stuff_171(selection: Selection) -> Vocabulary:
    """The 171 classes from COCO-Stuff's own `labels.txt` ("1: person" and so on).

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it does not name them.
    """
    path = selection.path("coco/stuffthingmaps/labels.txt|coco/labels.txt")
    name_of = numbered_names(path, "COCO-Stuff")
    ids = [value + 1 for value in COCO_STUFF_VALUES]
    if lacking := [i for i in ids if i not in name_of]:
        raise ValueError(
            f"{path}: lacks the names of the class ids {lacking[:8]}, one per line as '1: person'"
        )
    things = frozenset(k for k, i in enumerate(ids) if i <= 91)
    return Vocabulary(classes=tuple(name_of[i] for i in ids), things=things, name="coco-stuff-171")


def numbered_names(path: Path, download: str) -> dict[int, str]:
    """Class names by number, from lines such as "1: accordion".

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: a line begins with no number.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; it names the classes in the {download} download")
    names: dict[int, str] = {}
    for line in read_text(path).splitlines():
        number, colon, name = line.partition(":")
        if not colon:
            continue
        if not number.strip().isdecimal():
            raise ValueError(f"{path}: a line is {line[:60]!r}; expected a number and a name, as '1: person'")
        names[int(number)] = name.strip()
    return names
