"""Focal modulation and the blocks made of it, on maps in channels-last order (B H W C)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xdecoder.config import FocalNetConfig
from xdecoder.networks.convolution import DepthwiseConv2d
from xdecoder.networks.linear import Linear, linear

LAYER_SCALE = 1e-4
_ROWS = 2048  # of a map that go through a feed-forward together


class FocalModulation(nn.Module):
    """Focal modulation: every position is modulated by contexts of growing size, gated per position."""

    def __init__(self, width: int, levels: int, window: int) -> None:
        super().__init__()
        self.width = width
        self.levels = levels
        self.f = Linear(width, 2 * width + levels + 1)
        self.h = nn.Conv2d(width, width, 1)
        self.proj = Linear(width, width)
        self.focal_layers = nn.ModuleList(
            nn.Sequential(DepthwiseConv2d(width, kernel), nn.GELU())
            for kernel in range(window, window + 2 * levels, 2)
        )

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H W C"]:
        C = self.width
        weight, bias = self.f.weight, self.f.bias
        query = linear(x, weight[:C], bias[:C])
        context = linear(x, weight[C : 2 * C], bias[C : 2 * C]).permute(0, 3, 1, 2)
        gates = linear(x, weight[2 * C :], bias[2 * C :])
        total: Tensor | None = None
        for level, layer in enumerate(self.focal_layers):
            context = layer(context)
            gate = gates[..., level : level + 1]
            here = context.permute(0, 2, 3, 1)
            total = here * gate if total is None else total.addcmul_(here, gate)
        assert total is not None
        whole = F.gelu(context.mean((2, 3)))[:, None, None]
        total = total.addcmul_(whole, gates[..., self.levels :]).div_(self.levels + 1)
        return self.proj(query * linear(total, self.h.weight.flatten(1), self.h.bias))


class GELUFeedForward(nn.Module):
    """Two linear layers with an exact GELU between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = Linear(width, hidden)
        self.fc2 = Linear(hidden, width)

    def forward(self, x: Float[Tensor, "*batch C"]) -> Float[Tensor, "*batch C"]:
        if torch.is_grad_enabled() or x.device.type != "cpu" or torch.compiler.is_compiling():
            return self._apply_to(x)
        # what the hidden layer of a part is, the cache holds; that of a large map would be new memory
        parts = [self._apply_to(part) for part in x.flatten(0, -2).split(_ROWS)]
        return torch.cat(parts).view_as(x) if len(parts) > 1 else parts[0].view_as(x)

    def _apply_to(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class PlainBlock(nn.Module):
    """Modulation and feed-forward, each normalized after and scaled per channel.

    Args:
        config: sizes.
        width: channels.
        drop_rate: in training, how often each half is left out of an image.
    """

    def __init__(self, config: FocalNetConfig, width: int, drop_rate: float = 0.0) -> None:
        super().__init__()
        self.drop_rate = drop_rate
        self.modulation = FocalModulation(width, config.focal_levels, config.focal_window)
        self.norm1 = nn.LayerNorm(width)
        self.mlp = GELUFeedForward(width, int(config.mlp_ratio * width))
        self.norm2 = nn.LayerNorm(width)
        self.gamma_1 = nn.Parameter(torch.full((width,), LAYER_SCALE))
        self.gamma_2 = nn.Parameter(torch.full((width,), LAYER_SCALE))

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H W C"]:
        x = x + self.drop_path(self.gamma_1 * self.norm1(self.modulation(x)))
        return x + self.drop_path(self.gamma_2 * self.norm2(self.mlp(x)))

    def drop_path(self, branch: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H W C"]:
        """In training, the branch of some images left out, that of the others scaled up to the same mean."""
        if not self.training or not self.drop_rate:
            return branch
        kept = 1 - self.drop_rate
        return branch * branch.new_empty(len(branch), 1, 1, 1).bernoulli_(kept).div_(kept)


class DepthwiseBlock(PlainBlock):
    """A block with a depth-wise 3x3 convolution before each half, normalized after the residual sum."""

    def __init__(self, config: FocalNetConfig, width: int, drop_rate: float = 0.0) -> None:
        super().__init__(config, width, drop_rate)
        self.dw1 = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.dw2 = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H W C"]:
        x = x + convolve(self.dw1, x)
        x = self.norm1(x + self.drop_path(self.gamma_1 * self.modulation(x)))
        x = x + convolve(self.dw2, x)
        return self.norm2(x + self.drop_path(self.gamma_2 * self.mlp(x)))


def convolve(convolution: nn.Module, x: Tensor) -> Tensor:
    """Apply a convolution to a map in B H W C order."""
    return convolution(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
