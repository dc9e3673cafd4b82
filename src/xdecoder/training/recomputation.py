"""Activation checkpointing: less memory for more arithmetic."""

from __future__ import annotations

import functools

from torch import nn
from torch.utils.checkpoint import checkpoint

from xdecoder.networks.focalnet import PlainBlock
from xdecoder.networks.pixel_decoder import EncoderLayer
from xdecoder.networks.text_encoder import TextBlock

BLOCKS: tuple[type[nn.Module], ...] = (PlainBlock, EncoderLayer, TextBlock)
"""What is computed again: FocalNet's blocks, the pixel encoder's and the text encoder's layers. None of them
would count twice what it sees, as a batch norm does."""


def recompute_blocks(module: nn.Module) -> None:
    """Let every block of the encoders inside a module forget its activations and compute them again."""
    for part in module.modules():
        if isinstance(part, BLOCKS):
            part.forward = functools.partial(checkpoint, part.forward, use_reentrant=False)
