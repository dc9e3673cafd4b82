"""Where a cell of a map is, as a vector."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

_TEMPERATURE = 10000.0
_EPSILON = 1e-6


def sine_positions(
    height: int, width: int, width_channels: int, device: torch.device | str, dtype: torch.dtype
) -> Float[Tensor, "H W C"]:
    """The sine and cosine code of every cell (DETR, appendix A.4), as the published program has it.

    A cell's row and column, counted from 1 and scaled so that the last one is 2π, are each coded by half of
    the channels, rows first; sines and cosines alternate, over wavelengths up to 10000 · 2π.

    Args:
        height: rows of the map.
        width: columns of the map.
        width_channels: channels of the code, a multiple of 4.
        device: where the code is made.
        dtype: what the code is returned in; it is computed in float32.

    Raises:
        ValueError: the channels cannot be split into sines and cosines of rows and columns.
    """
    if width_channels % 4:
        raise ValueError(f"sine positions need a multiple of 4 channels, got {width_channels}")
    half = width_channels // 2
    exponents = torch.arange(0, half, 2, device=device, dtype=torch.float32) / half
    wavelengths = _TEMPERATURE**exponents

    def axis(length: int) -> Float[Tensor, "L C"]:
        places = torch.arange(1, length + 1, device=device, dtype=torch.float32)
        angles = (places / (length + _EPSILON) * (2 * math.pi))[:, None] / wavelengths
        return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)

    rows = axis(height)[:, None].expand(-1, width, -1)
    columns = axis(width)[None].expand(height, -1, -1)
    return torch.cat((rows, columns), dim=-1).to(dtype)
