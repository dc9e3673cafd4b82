"""Into how many cuts a step must go so that it fits the memory at hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from xdecoder.config import ModelConfig
from xdecoder.model import STRIDE, XDecoder
from xdecoder.weights.folder import build_model

_COPIES: Final = 5
"""Of every parameter, in float32: weights, gradients, two moments, their average."""

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


def cuts_that_fit(config: ModelConfig, *, images: int, size: int, free: int) -> int:
    """The fewest even cuts of a step whose memory fits; one image a cut where nothing does.

    Args:
        config: of the model.
        images: of a step, in one process.
        size: side of the squares.
        free: bytes that are free.
    """
    parameters = sum(p.numel() for p in build_model(config).parameters())
    room = _SHARE * free - _COPIES * 4 * parameters
    each = _MARGIN * activation_bytes(config, size)
    fitting = (cuts for cuts in range(1, images + 1) if images % cuts == 0 and images // cuts * each <= room)
    return next(fitting, images)


def activation_bytes(config: ModelConfig, size: int) -> int:
    """What the network keeps of one image for the way back, counted without computing anything.

    Args:
        config: of the model.
        size: side of the square image, in pixels.
    """
    model = build_model(config).train()
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
