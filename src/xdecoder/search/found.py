"""What a search gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xdecoder.predictor.options import HitKind
from xdecoder.structures import Box, Rle
from xdecoder.structures.masks import box_to_xywh


@dataclass(frozen=True, kw_only=True)
class FoundRegion:
    """A part of an image.

    Attributes:
        label: its class, or the phrase that was grounded.
        score: class probability; of a grounded phrase, the cosine of phrase and region.
        area: in pixels.
        box: around its pixels.
        mask: in COCO's run-length code.
    """

    label: str
    score: float
    area: int
    box: Box
    mask: Rle

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON, in COCO's words."""
        return {
            "label": self.label,
            "score": self.score,
            "area": self.area,
            "bbox": box_to_xywh(self.box),
            "segmentation": self.mask,
        }


@dataclass(frozen=True, kw_only=True)
class Hit:
    """An image, or a region of one, that fits the query.

    Attributes:
        path: the image's file.
        similarity: cosine with the query, -1 to 1.
        size: height and width of the image as it was indexed.
        region: what was found in it; None where the whole image was searched.
    """

    path: str
    similarity: float
    size: tuple[int, int]
    region: FoundRegion | None = None

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        height, width = self.size
        whole = {"file": self.path, "similarity": self.similarity, "height": height, "width": width}
        return whole if self.region is None else {**whole, "region": self.region.to_dict()}


@dataclass(frozen=True, kw_only=True)
class Found:
    """The hits of a search, best first.

    Attributes:
        query: what was searched, in words.
        kind: what was searched: images, regions, or images in which the query was then grounded.
        where: the filter; None for none.
        hits: what fits best.
        searched: images, or regions, in the index.
    """

    query: str
    kind: HitKind
    where: str | None
    hits: tuple[Hit, ...]
    searched: int

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "query": self.query,
            "kind": self.kind,
            "where": self.where,
            "searched": self.searched,
            "hits": [hit.to_dict() for hit in self.hits],
        }
