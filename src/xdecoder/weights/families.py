"""Whose checkpoint it is, by tensors that one family alone has: relatives of X-Decoder share most names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_PREDICTOR = "sem_seg_head.predictor."
_COCO_CLASSES = (134,)  # COCO's 133 panoptic classes and the background
XDECODER = "X-Decoder"


def family_of(shapes: Mapping[str, Sequence[int]]) -> str | None:
    """The family of models that a checkpoint is of; None where no family is recognized.

    Args:
        shapes: shape of every tensor, by its published name.
    """
    if _has(shapes, "mask_sptial_embed", "spatial_embed", "spatial_featured"):  # points, strokes and boxes
        # BiomedParse is SEEM's network for medical images; its classes are others than COCO's.
        classes = tuple(shapes.get("criterion.empty_weight", _COCO_CLASSES))
        return "SEEM" if classes == _COCO_CLASSES else "BiomedParse"
    if _has(shapes, "lang_mapper", "enc_output", "_bbox_embed"):  # boxes, refined layer by layer
        return "OpenSeeD"
    words = f"{_PREDICTOR}lang_encoder."
    if any(key.startswith(words) for key in shapes):
        return XDECODER
    if f"{_PREDICTOR}class_embed.weight" in shapes:  # a classifier in place of text embeddings
        return "Mask2Former"
    if any(key.startswith(("pixel_level_module.", "transformer_module.")) for key in shapes):
        return "Mask2Former"  # as transformers names its parts
    return None


def _has(shapes: Mapping[str, Sequence[int]], *names: str) -> bool:
    return any(key.startswith(tuple(f"{_PREDICTOR}{name}" for name in names)) for key in shapes)
