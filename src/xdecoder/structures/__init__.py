"""What inference returns: typed records on numpy arrays, which save, draw and export themselves."""

from typing import TYPE_CHECKING

from xdecoder.lazy import lazy_names

if TYPE_CHECKING:
    from xdecoder.structures.grounding import Grounding
    from xdecoder.structures.instance import Instance, InstanceSegmentation
    from xdecoder.structures.masks import Box, Rle, decode_rle, encode_rle, mask_box
    from xdecoder.structures.panoptic import PanopticSegmentation, Segment
    from xdecoder.structures.result import SegmentationResult
    from xdecoder.structures.semantic import SemanticSegmentation
    from xdecoder.structures.text import Answer, Candidate, Caption

__all__ = [
    "Answer",
    "Box",
    "Candidate",
    "Caption",
    "Grounding",
    "Instance",
    "InstanceSegmentation",
    "PanopticSegmentation",
    "Rle",
    "Segment",
    "SegmentationResult",
    "SemanticSegmentation",
    "decode_rle",
    "encode_rle",
    "mask_box",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Answer": "text",
        "Box": "masks",
        "Candidate": "text",
        "Caption": "text",
        "Grounding": "grounding",
        "Instance": "instance",
        "InstanceSegmentation": "instance",
        "PanopticSegmentation": "panoptic",
        "Rle": "masks",
        "Segment": "panoptic",
        "SegmentationResult": "result",
        "SemanticSegmentation": "semantic",
        "decode_rle": "masks",
        "encode_rle": "masks",
        "mask_box": "masks",
    },
)
