"""Panoptic segmentation: every pixel belongs to one segment at the most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from jaxtyping import Bool, Int32, UInt8

from xdecoder.drawing.regions import Region
from xdecoder.images import ImageSource, encode_ids
from xdecoder.jobs.files import safe_name
from xdecoder.structures.masks import (
    Box,
    Rle,
    box_from_xywh,
    box_to_xywh,
    decode_rle,
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
from xdecoder.vocabularies import Vocabulary


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One segment of a panoptic result.

    Attributes:
        id: its value in the id map, from 1.
        label: its class name, in raw form.
        category: place of the class in the vocabulary.
        is_thing: a countable object; otherwise stuff.
        score: class probability.
        area: in pixels.
        box: around its pixels.
    """

    id: int
    label: str
    category: int
    is_thing: bool
    score: float
    area: int
    box: Box

    def columns(self, mask: Rle) -> dict[str, Any]:
        """A row of a table: `label`, `category`, `is_thing`, `score`, `area`, the box's sides and `mask`.

        Args:
            mask: where it is; the column holds the text of the code, whose size is the image's.
        """
        left, top, right, bottom = self.box
        return {
            "label": self.label,
            "category": self.category,
            "is_thing": self.is_thing,
            "score": self.score,
            "area": self.area,
            "left": left,
            "top": top,
            "right": right,
            "bottom": bottom,
            "mask": mask["counts"],
        }


@final
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PanopticSegmentation(SegmentationResult):
    """Segments that do not overlap: a thing's each its own, a stuff class's all one.

    Attributes:
        ids: segment of each pixel; 0 for none.
        segments: what the ids mean.
        vocabulary: the classes asked for, in raw form.
    """

    kind: ClassVar[str] = "panoptic"
    ids: Int32[np.ndarray, "H W"]
    segments: tuple[Segment, ...]
    vocabulary: tuple[str, ...]

    @classmethod
    def from_ids(
        cls,
        *,
        image: UInt8[np.ndarray, "H W 3"] | None,
        ids: Int32[np.ndarray, "H W"],
        categories: Sequence[int],
        scores: Sequence[float],
        vocabulary: Vocabulary,
    ) -> PanopticSegmentation:
        """The record of an id map: areas, boxes, labels and kinds are looked up.

        Args:
            image: the picture that the ids belong to.
            ids: segment of each pixel, from 1; 0 for none.
            categories: class of segments 1, 2, ...
            scores: class probability of segments 1, 2, ...
            vocabulary: names of the classes, which the segments' categories are places in.
        """
        segments: list[Segment] = []
        for number, (category, score) in enumerate(zip(categories, scores, strict=True), start=1):
            mask = ids == number
            segments.append(
                Segment(
                    id=number,
                    label=vocabulary.classes[category],
                    category=int(category),
                    is_thing=vocabulary.is_thing(category),
                    score=float(score),
                    area=int(np.count_nonzero(mask)),
                    box=mask_box(mask),
                )
            )
        return cls(image=image, ids=ids, segments=tuple(segments), vocabulary=vocabulary.classes)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.ids.shape[0], self.ids.shape[1]

    def mask(self, segment: Segment) -> Bool[np.ndarray, "H W"]:
        """Where a segment is."""
        return self.ids == segment.id

    def regions(self) -> Iterator[Region]:
        """The segments one by one."""
        for s in self.segments:
            yield Region(label=s.label, category=s.category, score=s.score, mask=self.mask(s))

    def to_coco(
        self, *, image_id: int | str = 1, category_ids: CategoryIds | None = None
    ) -> tuple[dict[str, Any], UInt8[np.ndarray, "H W 3"]]:
        """The result as COCO's panoptic format has it.

        Args:
            image_id: the image's id in the data set; the PNG's file name is made of it.
            category_ids: the data set's id of each category; the categories themselves where None.

        Returns:
            The annotation (`image_id`, `file_name`, `segments_info`), and the picture to save under
            `file_name` as PNG: a segment's id is R + 256 G + 65536 B.

        Raises:
            ValueError: a category has no id.
        """
        name = f"{image_id:012d}" if isinstance(image_id, int) else safe_name(image_id)
        segments = [
            {
                "id": s.id,
                "category_id": dataset_id(s.category, category_ids, s.label),
                "isthing": int(s.is_thing),
                "score": s.score,
                "area": s.area,
                "bbox": box_to_xywh(s.box),
                "iscrowd": 0,
            }
            for s in self.segments
        ]
        row = {"image_id": image_id, "file_name": f"{name}.png", "segments_info": segments}
        return row, encode_ids(self.ids)

    def contents(self) -> dict[str, Any]:
        segments = [
            {"id": segment.id, "isthing": int(segment.is_thing), **region_to_dict(region)}
            for segment, region in zip(self.segments, self.regions(), strict=True)
        ]
        return {"vocabulary": list(self.vocabulary), "segments": segments}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, image: ImageSource | None = None) -> PanopticSegmentation:
        """The inverse of `to_dict`; see `SegmentationResult.from_dict`."""
        check_kind(data, cls.kind, ("height", "width", "vocabulary", "segments"))
        size = read_size(data)
        ids = np.zeros(size, np.int32)
        segments: list[Segment] = []
        for s in data["segments"]:
            ids[decode_rle(s["segmentation"], size)] = s["id"]
            segments.append(
                Segment(
                    id=s["id"],
                    label=s["label"],
                    category=s["category_id"],
                    is_thing=bool(s["isthing"]),
                    score=float(s["score"]),
                    area=s["area"],
                    box=box_from_xywh(s["bbox"]),
                )
            )
        return cls(
            image=read_matching(image, size),
            ids=ids,
            segments=tuple(segments),
            vocabulary=tuple(data["vocabulary"]),
        )
