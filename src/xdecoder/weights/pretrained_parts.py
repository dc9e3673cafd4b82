"""Starting points for training: a backbone or a text encoder out of a checkpoint of its own.

FocalNet's and DaViT's classifiers, UniCL's pairs of image and text encoder, and whole X-Decoder checkpoints
call the same tensors by the same names, below prefixes of their own; EfficientNet-Lite's are renamed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from xdecoder.config import EfficientNetConfig
from xdecoder.model import XDecoder
from xdecoder.weights.checkpoint_files import read_checkpoint
from xdecoder.weights.efficientnet import MARK, rename_efficientnet
from xdecoder.weights.tensors import check_numbers, check_shapes, shapes_of

_PUBLISHED_TEXT = "sem_seg_head.predictor.lang_encoder."


@dataclass(frozen=True, kw_only=True)
class TakenPart:
    """What was taken out of a checkpoint.

    Attributes:
        taken: tensors of the model that have the checkpoint's numbers now.
        kept: tensors of the part that the checkpoint lacks, and that are as they were.
    """

    taken: tuple[str, ...]
    kept: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Part:
    """Where a part's tensors are, here and in checkpoints.

    Attributes:
        name: of the part, in the model and in errors.
        prefixes: below which its tensors may be, the first that has one of `marks` is taken.
        marks: tensors by which the part is found.
        besides: tensors outside of it that belong to it: our name, and the names that it may have.
        optional: our names of tensors that only X-Decoder's own checkpoints have.
        foreign: tensors below the prefix that are of no use: the classifier's.
    """

    name: str
    prefixes: tuple[str, ...]
    marks: tuple[str, ...]
    besides: dict[str, tuple[str, ...]]
    optional: str
    foreign: str


_BACKBONE = _Part(
    name="backbone",
    prefixes=("backbone.", "image_encoder.", ""),
    marks=("patch_embed.proj.weight", "convs.0.proj.weight", "stem.0.weight"),
    besides={"backbone_projection": ("backbone_proj", "image_projection")},
    optional=r"backbone\.norm\d\..*|backbone_projection",
    foreign=r"(head|norm|norms)\..*",
)
_TEXT_ENCODER = _Part(
    name="text_encoder",
    prefixes=(f"{_PUBLISHED_TEXT}lang_encoder.", "lang_encoder.", "text_encoder.", ""),
    marks=("token_embedding.weight",),
    besides={
        "text_encoder.projection": (f"{_PUBLISHED_TEXT}lang_proj", "lang_projection", "text_projection"),
        "logit_scale": (f"{_PUBLISHED_TEXT}logit_scale", "logit_scale"),
    },
    optional=r"text_encoder\.projection|logit_scale",
    foreign=r"",
)


def take_backbone(model: XDecoder, checkpoint: str | Path) -> TakenPart:
    """Give a model the backbone of a checkpoint: FocalNet, DaViT, EfficientNet-Lite, UniCL or X-Decoder.

    A classifier lacks the norms of the four maps and the projection to the shared space: these stay.

    Args:
        model: its backbone must have the checkpoint's sizes.
        checkpoint: `.pt` or `.safetensors`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, holds no such backbone, or one of other sizes; the tensors are named.
    """
    return _take(model, Path(checkpoint), _BACKBONE)


def take_text_encoder(model: XDecoder, checkpoint: str | Path) -> TakenPart:
    """As `take_backbone`, of the text encoder, its projection and the temperature: UniCL's or X-Decoder's."""
    return _take(model, Path(checkpoint), _TEXT_ENCODER)


def _take(model: XDecoder, checkpoint: Path, part: _Part) -> TakenPart:
    stored = read_checkpoint(checkpoint)
    backbone = model.config.backbone
    if MARK in stored and isinstance(backbone, EfficientNetConfig):
        stored = rename_efficientnet(stored, backbone)
    prefix = next((p for p in part.prefixes if any(p + mark in stored for mark in part.marks)), None)
    if prefix is None:
        raise ValueError(
            f"{checkpoint} holds no {part.name.replace('_', ' ')}: it has none of "
            f"{', '.join(p + mark for p in part.prefixes for mark in part.marks)}"
        )
    found = {
        f"{part.name}.{key.removeprefix(prefix)}": tensor
        for key, tensor in stored.items()
        if _belongs(key, prefix, part, stored)
    }
    for ours, names in part.besides.items():
        present = [stored[name] for name in names if name in stored]
        if present:
            found[ours] = present[0]
    own = model.state_dict()
    expected = {key: own[key] for key in own if key.startswith(f"{part.name}.") or key in part.besides}
    kept = tuple(key for key in expected if key not in found and re.fullmatch(part.optional, key))
    needed = {key: tensor for key, tensor in expected.items() if key not in kept}
    check_shapes(shapes_of(needed), shapes_of(found), where=f"{checkpoint}'s {part.name.replace('_', ' ')}")
    check_numbers(found, needed, where=checkpoint)
    with torch.no_grad():
        for key, tensor in found.items():
            own[key].copy_(tensor)
    return TakenPart(taken=tuple(found), kept=kept)


def _belongs(key: str, prefix: str, part: _Part, stored: Mapping[str, Tensor]) -> bool:
    """Whether a tensor is one of the part's: below its prefix, and no classifier's or projection."""
    if not key.startswith(prefix) or re.fullmatch(part.foreign, key.removeprefix(prefix)):
        return False
    elsewhere: Sequence[str] = [name for names in part.besides.values() for name in names if name in stored]
    return key not in elsewhere
