"""Into how many cuts a step must go so that it fits the memory at hand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from xdecoder.config import ModelConfig
from xdecoder.model import STRIDE, XDecoder
from xdecoder.training.config import ModelPart
from xdecoder.training.freezing import freeze_parts
from xdecoder.weights.folder import build_model

_COPIES: Final = 5
"""Of every trained parameter, in float32: weights, gradients, two moments, their average."""

_FROZEN_COPIES: Final = 2
"""Of every frozen one: weights, their average."""

_MARGIN: Final = 1.5
"""What losses, matching and the allocator take besides what the network keeps."""

_FACTS: Final = Path("/proc/meminfo")

_SHARE: Final = 0.7
"""Of the free memory that a run may take."""


def free_bytes(device: torch.device) -> int | None:
    """Memory that is free where a run would go: the GPU's, else the machine's; None where nobody says."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        available = re.search(r"^MemAvailable:\s*(\d+) kB", _FACTS.read_text(), re.MULTILINE)
    except OSError:  # not Linux
        return None
    return None if available is None else 1024 * int(available[1])


def cuts_that_fit(
    config: ModelConfig, *, images: int, size: int, free: int, freeze: Sequence[ModelPart] = ()
) -> int:
    """The fewest even cuts of a step whose memory fits; one image a cut where nothing does.

    Args:
        config: of the model.
        images: of a step, in one process.
        size: side of the squares.
        free: bytes that are free.
        freeze: parts of the model that are not trained.
    """
    model = build_model(config)
    freeze_parts(model, freeze)
    copies = sum((_COPIES if p.requires_grad else _FROZEN_COPIES) * p.numel() for p in model.parameters())
    room = _SHARE * free - 4 * copies
    each = _MARGIN * activation_bytes(config, size, freeze)
    fitting = (cuts for cuts in range(1, images + 1) if images % cuts == 0 and images // cuts * each <= room)
    return next(fitting, images)


def activation_bytes(config: ModelConfig, size: int, freeze: Sequence[ModelPart] = ()) -> int:
    """What the network keeps of one image for the way back, counted without computing anything.

    Args:
        config: of the model.
        size: side of the square image, in pixels.
        freeze: parts of the model that are not trained.
    """
    model = build_model(config).train()
    freeze_parts(model, freeze)
    parameters = _kept_bytes(model, STRIDE)  # all that is kept of the smallest image
    return (_kept_bytes(model, size) - parameters) // 2


def _kept_bytes(model: XDecoder, size: int) -> int:
    """Of two images."""
    kept = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor), torch.device("meta"):
        features = model.encode_images(torch.empty(2, 3, size, size))  # batch norms want two
        model.decoder.decode_latents(features.memory)
    return kept
