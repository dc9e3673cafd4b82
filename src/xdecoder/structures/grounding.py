"""Referring segmentation: a mask for each phrase."""

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
    decode_rle,
    mask_box,
)
from xdecoder.structures.result import (
    SegmentationResult,
    check_kind,
    read_matching,
    read_size,
    region_to_dict,
)


@final
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Grounding(SegmentationResult):
    """What phrases refer to, in their order.

    Attributes:
        phrases: as they were asked.
        masks: where each is.
        scores: how well each phrase and its mask fit, as the cosine of their embeddings.
        boxes: around each mask.
    """

    kind: ClassVar[str] = "grounding"
    phrases: tuple[str, ...]
    masks: Bool[np.ndarray, "N H W"]
    scores: tuple[float, ...]
    boxes: tuple[Box, ...]

    @classmethod
    def from_masks(
        cls,
        *,
        image: UInt8[np.ndarray, "H W 3"] | None,
        phrases: Sequence[str],
        masks: Bool[np.ndarray, "N H W"],
        scores: Sequence[float],
    ) -> Grounding:
        """The record of masks with their phrases and scores; the boxes are the masks'."""
        return cls(
            image=image,
            phrases=tuple(phrases),
            masks=masks,
            scores=tuple(float(score) for score in scores),
            boxes=tuple(mask_box(mask) for mask in masks),
        )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.masks.shape[1], self.masks.shape[2]

    def regions(self) -> Iterator[Region]:
        """The phrases one by one; a phrase's category is its place among them."""
        rows = zip(self.phrases, self.scores, self.masks, strict=True)
        for category, (phrase, score, mask) in enumerate(rows):
            yield Region(label=phrase, category=category, score=score, mask=mask)

    def to_coco(self, *, image_id: int | str = 1) -> list[dict[str, Any]]:
        """One COCO result for each phrase, which stands in `phrase`; `category_id` is its place."""
        return [{"image_id": image_id, **row} for row in self._rows()]

    def contents(self) -> dict[str, Any]:
        return {"groundings": self._rows()}

    def _rows(self) -> list[dict[str, Any]]:
        rows = [region_to_dict(region) for region in self.regions()]
        return [{"phrase": row.pop("label"), **row} for row in rows]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, image: ImageSource | None = None) -> Grounding:
        """The inverse of `to_dict`; see `SegmentationResult.from_dict`."""
        check_kind(data, cls.kind, ("height", "width", "groundings"))
        size = read_size(data)
        rows = data["groundings"]
        masks = [decode_rle(row["segmentation"], size) for row in rows]
        return cls(
            image=read_matching(image, size),
            phrases=tuple(row["phrase"] for row in rows),
            masks=np.stack(masks) if masks else np.zeros((0, *size), np.bool_),
            scores=tuple(float(row["score"]) for row in rows),
            boxes=tuple(box_from_xywh(row["bbox"]) for row in rows),
        )
