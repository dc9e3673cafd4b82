"""`torch.compile` for the encoders, where most of a step's time goes."""

from __future__ import annotations

from torch import nn

from xdecoder.networks.davit import DaViT
from xdecoder.networks.deformable import DeformablePixelDecoder
from xdecoder.networks.efficientnet import EfficientNet
from xdecoder.networks.focalnet import FocalNet
from xdecoder.networks.hybrid import Hybrid
from xdecoder.networks.pixel_decoder import FPNPixelDecoder
from xdecoder.networks.text_encoder import TextEncoder

PARTS: tuple[type[nn.Module], ...] = (
    FocalNet,
    DaViT,
    Hybrid,
    EfficientNet,
    FPNPixelDecoder,
    DeformablePixelDecoder,
    TextEncoder,
)
"""What is compiled. The decoder is not: its steps are many and small, with the matching between them."""


def compile_encoders(module: nn.Module) -> None:
    """Let the encoders inside a module be compiled when they are first called; their names stay."""
    for part in module.modules():
        if isinstance(part, PARTS):
            part.compile()
