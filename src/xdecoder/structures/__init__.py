"""What inference returns: typed records on numpy arrays, which save, draw and export themselves."""

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
