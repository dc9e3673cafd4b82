"""Activation checkpointing: less memory for more arithmetic."""

from __future__ import annotations

import functools

from torch import nn
from torch.utils.checkpoint import checkpoint

from xdecoder.networks.davit import BlockPair
from xdecoder.networks.decoder import DecoderLayer
from xdecoder.networks.deformable import DeformableEncoderLayer
from xdecoder.networks.focalnet import PlainBlock
from xdecoder.networks.pixel_decoder import EncoderLayer
from xdecoder.networks.text_encoder import TextBlock

STEPS: dict[type[nn.Module], tuple[str, ...]] = {
    PlainBlock: ("forward",),
    BlockPair: ("forward",),
    EncoderLayer: ("forward",),
    DeformableEncoderLayer: ("forward",),
    TextBlock: ("forward",),
    DecoderLayer: ("cross_attend", "self_attend"),
}
"""What is computed again: the blocks of FocalNet and DaViT, the layers of the pixel encoders, of the text
encoder and of the decoder. None of them would count twice what it sees, as a batch norm does."""


def checkpoint_activations(module: nn.Module) -> None:
    """Let every block inside a module forget its activations and compute them again on the way back."""
    for part in module.modules():
        for kind, methods in STEPS.items():
            if isinstance(part, kind):
                for name in methods:
                    again = functools.partial(checkpoint, getattr(part, name), use_reentrant=False)
                    setattr(part, name, again)
