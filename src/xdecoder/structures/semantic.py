"""Semantic segmentation: every pixel has a class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from jaxtyping import Bool, Int32

from xdecoder.drawing.regions import Region
from xdecoder.images import ImageSource
from xdecoder.structures.masks import decode_rle, encode_rle
from xdecoder.structures.result import (
    CategoryIds,
    SegmentationResult,
    check_kind,
    dataset_id,
    read_matching,
    read_size,
    region_to_dict,
)


@final
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SemanticSegmentation(SegmentationResult):
    """A class for every pixel.

    Attributes:
        categories: class of each pixel, its place in the vocabulary; -1 for none.
        vocabulary: the classes asked for, in raw form.
    """

    kind: ClassVar[str] = "semantic"
    categories: Int32[np.ndarray, "H W"]
    vocabulary: tuple[str, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.categories.shape[0], self.categories.shape[1]

    def mask(self, category: int) -> Bool[np.ndarray, "H W"]:
        """Where a class is."""
        return self.categories == category

    def regions(self) -> Iterator[Region]:
        """The classes that are there, one by one; they have no score."""
        for category in np.unique(self.categories).tolist():
            if category >= 0:
                yield Region(mask=self.mask(category), label=self.vocabulary[category], category=category)

    def to_coco(
        self, *, image_id: int | str = 1, category_ids: CategoryIds | None = None
    ) -> list[dict[str, Any]]:
        """One COCO result for each class that is there, with `segmentation` as run-length code.

        Args:
            image_id: the image's id in the data set.
            category_ids: the data set's id of each category; the categories themselves where None.

        Raises:
            ValueError: a category has no id.
        """
        return [
            {
                "image_id": image_id,
                "category_id": dataset_id(category, category_ids, self.vocabulary[category]),
                "segmentation": encode_rle(self.mask(category)),
            }
            for category in np.unique(self.categories).tolist()
            if category >= 0
        ]

    def contents(self) -> dict[str, Any]:
        return {
            "vocabulary": list(self.vocabulary),
            "regions": [region_to_dict(region) for region in self.regions()],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, image: ImageSource | None = None) -> SemanticSegmentation:
        """The inverse of `to_dict`; see `SegmentationResult.from_dict`."""
        check_kind(data, cls.kind, ("height", "width", "vocabulary", "regions"))
        size = read_size(data)
        categories = np.full(size, -1, np.int32)
        for region in data["regions"]:
            categories[decode_rle(region["segmentation"], size)] = region["category_id"]
        return cls(
            image=read_matching(image, size),
            categories=categories,
            vocabulary=tuple(data["vocabulary"]),
        )
