"""FocalNet, the published X-Decoder's backbone (section 2 of the paper: "image encoder").

Maps stay in channels-last order (B H W C) between convolutions, so that linear layers and norms read them
as they are.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xdecoder.config import FocalNetConfig

LAYER_SCALE = 1e-4


class FocalModulation(nn.Module):
    """Focal modulation: every position is modulated by contexts of growing size, gated per position."""

    def __init__(self, width: int, levels: int, window: int) -> None:
        super().__init__()
        self.width = width
        self.levels = levels
        self.f = nn.Linear(width, 2 * width + levels + 1)
        self.h = nn.Conv2d(width, width, 1)
        self.proj = nn.Linear(width, width)
        self.focal_layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width, bias=False), nn.GELU()
            )
            for kernel in range(window, window + 2 * levels, 2)
        )

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H W C"]:
        C = self.width
        weight, bias = self.f.weight, self.f.bias
        query = F.linear(x, weight[:C], bias[:C])
        context = F.linear(x, weight[C : 2 * C], bias[C : 2 * C]).permute(0, 3, 1, 2)
        gates = F.linear(x, weight[2 * C :], bias[2 * C :])
        total = torch.zeros_like(query)
        for level, layer in enumerate(self.focal_layers):
            context = layer(context)
            total = torch.addcmul(total, context.permute(0, 2, 3, 1), gates[..., level : level + 1])
        whole = F.gelu(context.mean((2, 3)))[:, None, None]
        total = torch.addcmul(total, whole, gates[..., self.levels :]) / (self.levels + 1)
        return self.proj(query * F.linear(total, self.h.weight.flatten(1), self.h.bias))


class FeedForward(nn.Module):
    """Two linear layers with an exact GELU between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Float[Tensor, "*batch C"]) -> Float[Tensor, "*batch C"]:
        return self.fc2(F.gelu(self.fc1(x)))


class PlainBlock(nn.Module):
    """Modulation and feed-forward, each normalised after and scaled per channel."""

    def __init__(self, config: FocalNetConfig, width: int) -> None:
        super().__init__()
        self.modulation = FocalModulation(width, config.focal_levels, config.focal_window)
        self.norm1 = nn.LayerNorm(width)
        self.mlp = FeedForward(width, int(config.mlp_ratio * width))
        self.norm2 = nn.LayerNorm(width)
        self.gamma_1 = nn.Parameter(torch.full((width,), LAYER_SCALE))
        self.gamma_2 = nn.Parameter(torch.full((width,), LAYER_SCALE))

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H W C"]:
        x = x + self.gamma_1 * self.norm1(self.modulation(x))
        return x + self.gamma_2 * self.norm2(self.mlp(x))


class DepthwiseBlock(PlainBlock):
    """A block with a depth-wise 3x3 convolution before each half, normalised after the residual sum."""

    def __init__(self, config: FocalNetConfig, width: int) -> None:
        super().__init__(config, width)
        self.dw1 = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.dw2 = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H W C"]:
        x = x + _convolve(self.dw1, x)
        x = self.norm1(x + self.gamma_1 * self.modulation(x))
        x = x + _convolve(self.dw2, x)
        return self.norm2(x + self.gamma_2 * self.mlp(x))


class PatchEmbedding(nn.Module):
    """A strided convolution and a norm over channels: the stem, and the step between stages."""

    def __init__(self, channels: int, width: int, *, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.stride = stride
        self.proj = nn.Conv2d(channels, width, kernel, stride, padding)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H2 W2 C2"]:
        short_h, short_w = -x.shape[1] % self.stride, -x.shape[2] % self.stride
        return self.norm(_convolve(self.proj, F.pad(x, (0, 0, 0, short_w, 0, short_h))))


class Stage(nn.Module):
    """Blocks at one resolution and, but for the last stage, the step to the next."""

    def __init__(self, config: FocalNetConfig, index: int) -> None:
        super().__init__()
        width = config.widths[index]
        block = DepthwiseBlock if config.block == "depthwise" else PlainBlock
        self.blocks = nn.ModuleList(block(config, width) for _ in range(config.depths[index]))
        self.downsample = (
            PatchEmbedding(width, config.widths[index + 1], kernel=3, stride=2, padding=1)
            if index + 1 < len(config.widths)
            else nn.Identity()
        )

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H W C"]:
        for block in self.blocks:
            x = block(x)
        return x


class FocalNet(nn.Module):
    """Images to maps at strides 4, 8, 16 and 32.

    Args:
        config: sizes; parameter names are those of the published checkpoints.
    """

    def __init__(self, config: FocalNetConfig) -> None:
        super().__init__()
        padding = 3 if config.block == "depthwise" else 2
        self.patch_embed = PatchEmbedding(3, config.widths[0], kernel=7, stride=4, padding=padding)
        self.layers = nn.ModuleList(Stage(config, i) for i in range(len(config.widths)))
        self.norm0, self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(w) for w in config.widths)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Maps res2, res3, res4, res5 of shape B C H/s W/s for strides s = 4, 8, 16, 32."""
        x = self.patch_embed(images.permute(0, 2, 3, 1))
        maps: list[Tensor] = []
        stages = cast("list[Stage]", list(self.layers))
        for stage, norm in zip(stages, (self.norm0, self.norm1, self.norm2, self.norm3), strict=True):
            x = stage(x)
            maps.append(norm(x).permute(0, 3, 1, 2))
            x = stage.downsample(x)
        return maps[0], maps[1], maps[2], maps[3]


def _convolve(convolution: nn.Module, x: Tensor) -> Tensor:
    """Apply a convolution to a map in B H W C order."""
    return convolution(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
