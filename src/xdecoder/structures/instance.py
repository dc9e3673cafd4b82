"""Instance segmentation: objects, which may overlap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from jaxtyping import Bool, UInt8

from xdecoder.drawing.regions import Region
from xdecoder.images import ImageSource
from xdecoder.structures.masks import (
    Box,
    box_from_xywh,
    box_to_xywh,
    decode_rle,
    encode_rle,
    mask_box,
)
from xdecoder.structures.result import (
    CategoryIds,
    SegmentationResult,
    check_kind,
    dataset_id,
    read_matching,
    read_size,
    region_to_dict,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Instance:
    """One object.

    Attributes:
        label: its class name, in raw form.
        category: place of the class in the vocabulary.
        score: class probability × mean mask probability inside the mask.
        mask: where it is.
        box: around its mask.
    """

    label: str
    category: int
    score: float
    mask: Bool[np.ndarray, "H W"]
    box: Box


@final
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class InstanceSegmentation(SegmentationResult):
    """Objects of a picture.

    Attributes:
        instances: the objects, in any order.
        vocabulary: the classes asked for, in raw form.
        height: of the picture, in pixels.
        width: of the picture, in pixels.
    """

    kind: ClassVar[str] = "instance"
    instances: tuple[Instance, ...]
    vocabulary: tuple[str, ...]
    height: int
    width: int

    @classmethod
    def from_masks(
        cls,
        *,
        image: UInt8[np.ndarray, "H W 3"] | None,
        masks: Bool[np.ndarray, "N H W"],
        categories: Sequence[int],
        scores: Sequence[float],
        vocabulary: Sequence[str],
    ) -> InstanceSegmentation:
        """The record of masks with their classes and scores: labels and boxes are looked up.

        Args:
            image: the picture that the masks belong to.
            masks: the objects.
            categories: class of each.
            scores: confidence of each object, 0 to 1.
            vocabulary: names of the classes, which `categories` are places in.
        """
        instances = tuple(
            Instance(
                label=vocabulary[category],
                category=int(category),
                score=float(score),
                mask=mask,
                box=mask_box(mask),
            )
            for mask, category, score in zip(masks, categories, scores, strict=True)
        )
        return cls(
            image=image,
            instances=instances,
            vocabulary=tuple(vocabulary),
            height=masks.shape[1],
            width=masks.shape[2],
        )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.height, self.width

    def regions(self) -> Iterator[Region]:
        """The objects one by one."""
        for i in self.instances:
            yield Region(label=i.label, category=i.category, score=i.score, mask=i.mask)

    def to_coco(
        self, *, image_id: int | str = 1, category_ids: CategoryIds | None = None
    ) -> list[dict[str, Any]]:
        """One COCO result for each object, as its evaluation of instances reads them.

        Args:
            image_id: the image's id in the data set.
            category_ids: the data set's id of each category; the categories themselves where None.

        Raises:
            ValueError: a category has no id.
        """
        return [
            {
                "image_id": image_id,
                "category_id": dataset_id(i.category, category_ids, i.label),
                "score": i.score,
                "bbox": box_to_xywh(i.box),
                "segmentation": encode_rle(i.mask),
            }
            for i in self.instances
        ]

    def contents(self) -> dict[str, Any]:
        return {
            "vocabulary": list(self.vocabulary),
            "instances": [region_to_dict(region) for region in self.regions()],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, image: ImageSource | None = None) -> InstanceSegmentation:
        """The inverse of `to_dict`; see `SegmentationResult.from_dict`."""
        check_kind(data, cls.kind, ("height", "width", "vocabulary", "instances"))
        size = read_size(data)
        instances = tuple(
            Instance(
                label=i["label"],
                category=i["category_id"],
                score=float(i["score"]),
                mask=decode_rle(i["segmentation"], size),
                box=box_from_xywh(i["bbox"]),
            )
            for i in data["instances"]
        )
        return cls(
            image=read_matching(image, size),
            instances=instances,
            vocabulary=tuple(data["vocabulary"]),
            height=size[0],
            width=size[1],
        )
