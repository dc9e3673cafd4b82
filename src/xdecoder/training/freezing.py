"""Parts of a model that a training leaves as they are."""

from __future__ import annotations

from collections.abc import Sequence

from xdecoder.model import XDecoder
from xdecoder.training.config import ModelPart


def freeze_parts(model: XDecoder, parts: Sequence[ModelPart]) -> None:
    """Freeze parts of a model: their parameters get no gradient, and they compute as at inference.

    The statistics of their batch norms stay and they drop no paths until somebody calls `train` on the model,
    after which this is to be called again.
    """
    for name in parts:
        model.get_submodule(name).requires_grad_(False).eval()
