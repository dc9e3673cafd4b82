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

_STRIDE = 32


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """The sizes one image goes through, each (height, width) in pixels.

    Attributes:
        output: the result, as a rule the original image.
        resized: the network's input before padding.
        padded: the network's input, padded at the right and bottom.
    """

    output: tuple[int, int]
    resized: tuple[int, int]
    padded: tuple[int, int]

    @classmethod
    def of(cls, size: tuple[int, int], *, short_side: int, long_side: int) -> Geometry:
        """The sizes of an image whose short side becomes `short_side`, its long one at most `long_side`."""
        scale = min(short_side / min(size), long_side / max(size))
        resized = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
        return cls(output=size, resized=resized, padded=(_pad(resized[0]), _pad(resized[1])))

    def axes(self, cells: tuple[int, int]) -> tuple[Axis, Axis]:
        """The axes that take maps of `cells` through padded and resized to the output."""
        rows, columns = (
            output_axis(*sizes) for sizes in zip(cells, self.padded, self.resized, self.output, strict=True)
        )
        return rows, columns

    def tiles(self, masks: Float[Tensor, "Q h w"]) -> Iterator[Tile]:
        """Mask logits at the output's size, a tile at a time."""
        return resized_tiles(masks, *self.axes((masks.shape[1], masks.shape[2])))


def _pad(length: int) -> int:
    return -(-length // _STRIDE) * _STRIDE


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
    full = padded or (_pad(height), _pad(width))
    return F.pad((images.float() - mean) / std, (0, full[1] - width, 0, full[0] - height))
