"""From an image to the network's input and back: the sizes it goes through."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from xdecoder.config import ModelConfig
from xdecoder.networks.resampling import Axis, Tile, output_axis, resized_tiles
from xdecoder.tasks.sizes import ImageSizes, pad_length


@dataclass(frozen=True, kw_only=True)
class Geometry(ImageSizes):
    """The sizes one image goes through, and its maps on the way back."""

    def axes(self, cells: tuple[int, int]) -> tuple[Axis, Axis]:
        """The axes that take maps of `cells` through padded and resized to the output."""
        rows, columns = (
            output_axis(*sizes) for sizes in zip(cells, self.padded, self.resized, self.output, strict=True)
        )
        return rows, columns

    def tiles(self, masks: Float[Tensor, "Q h w"]) -> Iterator[Tile]:
        """Mask logits at the output's size, a tile at a time."""
        return resized_tiles(masks, *self.axes((masks.shape[1], masks.shape[2])))


def normalize_images(
    images: Shaped[Tensor, "*B 3 H W"], config: ModelConfig, *, padded: tuple[int, int] | None = None
) -> Float[Tensor, "*B 3 H2 W2"]:
    """RGB images on the 0-255 scale as the network takes them: normalized and THEN padded with zeros.

    Args:
        images: one or several of one size, of any dtype.
        config: whose mean and deviation are taken.
        padded: the height and width to pad to at the right and bottom; by default multiples of 32.
    """
    mean, std = (
        torch.tensor(x, device=images.device)[:, None, None] for x in (config.pixel_mean, config.pixel_std)
    )
    height, width = images.shape[-2:]
    full = padded or (pad_length(height), pad_length(width))
    return F.pad((images.float() - mean) / std, (0, full[1] - width, 0, full[0] - height))
