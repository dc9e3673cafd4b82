"""The pixel decoder with multi-scale deformable attention (Deformable DETR, section 4; Mask2Former).

Attributes are named as in the published checkpoints. Everything is sampled with `grid_sample`: no operator
needs compiling.
"""

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xdecoder.config import PixelDecoderConfig
from xdecoder.networks.convolution import GroupNormConv2d
from xdecoder.networks.features import PixelFeatures
from xdecoder.networks.linear import Linear
from xdecoder.networks.positions import sine_positions

_LEVELS = 3
_POINTS = 4
_GROUPS = 32


class DeformablePixelDecoder(nn.Module):
    """Deformable attention over strides 32, 16 and 8, then one step of a feature pyramid to stride 4.

    It computes in float32 even under autocast, as published. Where its weights were cast to something else,
    sampling alone stays in float32.

    Args:
        config: sizes; `feedforward` is 1024 in every published model.
        backbone_widths: channels of res2 to res5.
    """

    def __init__(self, config: PixelDecoderConfig, backbone_widths: Sequence[int]) -> None:
        super().__init__()
        if config.width % _GROUPS:
            raise ValueError(f"PixelDecoderConfig.width must be a multiple of {_GROUPS}, got {config.width}")
        width2, *widths = backbone_widths
        self.input_proj = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, config.width, 1), nn.GroupNorm(_GROUPS, config.width))
            for width in reversed(widths)
        )
        self.transformer = _Transformer(config)
        self.adapter_1 = GroupNormConv2d(width2, config.width, 1)
        self.layer_1 = GroupNormConv2d(config.width, config.width, 3, relu=True)
        self.mask_features = nn.Conv2d(config.width, config.mask_width, 1)
        self._initialize()

    def forward(self, maps: tuple[Tensor, Tensor, Tensor, Tensor]) -> PixelFeatures:
        """Features for the queries and for the masks.

        Args:
            maps: res2 to res5, each (B, C, H, W) at its stride.

        """
        dtype = self.mask_features.weight.dtype
        with torch.autocast(device_type=maps[0].device.type, enabled=False):
            res2, *rest = (level.to(dtype) for level in maps)
            projected = [
                project(level) for project, level in zip(self.input_proj, reversed(rest), strict=True)
            ]
            stride32, stride16, stride8 = self.transformer(projected)
            lateral = self.adapter_1(res2)
            top_down = F.interpolate(stride8, lateral.shape[-2:], mode="bilinear", align_corners=False)
            masks = self.mask_features(self.layer_1(lateral + top_down))
        return PixelFeatures(levels=(stride32, stride16, stride8), masks=masks)

    def _initialize(self) -> None:
        for project in self.input_proj:
            conv = cast("nn.Conv2d", cast("nn.Sequential", project)[0])
            nn.init.xavier_uniform_(conv.weight)
            nn.init.zeros_(cast("Tensor", conv.bias))
        for conv in (self.adapter_1, self.layer_1, self.mask_features):
            nn.init.kaiming_uniform_(conv.weight, a=1)
        nn.init.zeros_(cast("Tensor", self.mask_features.bias))


class _Transformer(nn.Module):
    """The maps of all levels, flattened to one sequence of L tokens, through the encoder and back."""

    def __init__(self, config: PixelDecoderConfig) -> None:
        super().__init__()
        self.level_embed = nn.Parameter(torch.randn(_LEVELS, config.width))
        self.encoder = _Encoder(config)

    def forward(self, maps: list[Float[Tensor, "B C _H _W"]]) -> list[Float[Tensor, "B C _H _W"]]:
        sizes = [(level.shape[-2], level.shape[-1]) for level in maps]
        x, device = maps[0], maps[0].device
        tokens = torch.cat([level.flatten(2).transpose(1, 2) for level in maps], dim=1)
        positions = torch.cat(
            [
                sine_positions(*size, x.shape[1], device, x.dtype).flatten(0, 1) + embedding
                for size, embedding in zip(sizes, self.level_embed, strict=True)
            ]
        )
        centers = torch.cat([_cell_centers(*size, device) for size in sizes])
        tokens = self.encoder(tokens, positions, centers, sizes)
        lengths = [height * width for height, width in sizes]
        return [
            level.transpose(1, 2).unflatten(2, size)
            for level, size in zip(tokens.split(lengths, dim=1), sizes, strict=True)
        ]


class _Encoder(nn.Module):
    def __init__(self, config: PixelDecoderConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DeformableEncoderLayer(config) for _ in range(config.layers))

    def forward(
        self,
        tokens: Float[Tensor, "B L C"],
        positions: Float[Tensor, "L C"],
        centers: Float[Tensor, "L 2"],
        sizes: list[tuple[int, int]],
    ) -> Float[Tensor, "B L C"]:
        for layer in self.layers:
            tokens = layer(tokens, positions, centers, sizes)
        return tokens


class DeformableEncoderLayer(nn.Module):
    """Deformable attention and a feed-forward, each with a residual and then a norm."""

    def __init__(self, config: PixelDecoderConfig) -> None:
        super().__init__()
        self.self_attn = _DeformableAttention(config.width, config.heads)
        self.norm1 = nn.LayerNorm(config.width)
        self.linear1 = Linear(config.width, config.feedforward)
        self.linear2 = Linear(config.feedforward, config.width)
        self.norm2 = nn.LayerNorm(config.width)
        for linear in (self.linear1, self.linear2):
            nn.init.xavier_uniform_(linear.weight)

    def forward(
        self,
        tokens: Float[Tensor, "B L C"],
        positions: Float[Tensor, "L C"],
        centers: Float[Tensor, "L 2"],
        sizes: list[tuple[int, int]],
    ) -> Float[Tensor, "B L C"]:
        tokens = self.norm1(tokens + self.self_attn(tokens + positions, tokens, centers, sizes))
        return self.norm2(tokens + self.linear2(F.relu(self.linear1(tokens))))


class _DeformableAttention(nn.Module):
    """Every query looks at a few places of every level, near its own cell; it says where and how much."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.sampling_offsets = Linear(width, heads * _LEVELS * _POINTS * 2)
        self.attention_weights = Linear(width, heads * _LEVELS * _POINTS)
        self.value_proj = Linear(width, width)
        self.output_proj = Linear(width, width)
        self._initialize()

    def forward(
        self,
        queries: Float[Tensor, "B L C"],
        values: Float[Tensor, "B L C"],
        centers: Float[Tensor, "L 2"],
        sizes: list[tuple[int, int]],
    ) -> Float[Tensor, "B L C"]:
        B, L, C = queries.shape
        M = self.heads
        offsets = self.sampling_offsets(queries).float().view(B, L, M, _LEVELS, _POINTS, 2)
        weights = self.attention_weights(queries).float().view(B, L, M, _LEVELS * _POINTS).softmax(dim=-1)
        weights = weights.view(B, L, M, _LEVELS, _POINTS)
        value_levels = self.value_proj(values).split([height * width for height, width in sizes], dim=1)

        attended = queries.new_zeros((B * M, C // M, L), dtype=torch.float32)
        for level, (value, (height, width)) in enumerate(zip(value_levels, sizes, strict=True)):
            # An offset of 1 is one cell of the level; grid_sample counts the whole map as 2, from -1 to 1.
            right, down = offsets[:, :, :, level].unbind(-1)
            shifts = torch.stack((right / width, down / height), dim=-1)
            places = 2 * (centers[:, None, None] + shifts) - 1
            sampled = F.grid_sample(
                value.float().transpose(1, 2).reshape(B * M, C // M, height, width),
                places.transpose(1, 2).flatten(0, 1),
                mode="bilinear",
                padding_mode="zeros",
                align_corners=False,
            )
            shares = weights[:, :, :, level].transpose(1, 2).reshape(B * M, 1, L, _POINTS)
            attended = attended + (sampled * shares).sum(dim=-1)
        attended = attended.view(B, C, L).transpose(1, 2).to(queries.dtype)
        return self.output_proj(attended)

    def _initialize(self) -> None:
        """Heads start out looking in directions around the cell, point i at a distance of i cells."""
        angles = torch.arange(self.heads, dtype=torch.float32) * (2 * math.pi / self.heads)
        directions = torch.stack((angles.cos(), angles.sin()), dim=-1)
        directions = directions / directions.abs().amax(dim=-1, keepdim=True)
        distances = torch.arange(1, _POINTS + 1, dtype=torch.float32)
        offsets = directions[:, None, None] * distances[None, None, :, None]
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(offsets.expand(-1, _LEVELS, -1, -1).flatten())
        nn.init.zeros_(self.sampling_offsets.weight)
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for linear in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)


def _cell_centers(height: int, width: int, device: torch.device) -> Float[Tensor, "L 2"]:
    """Centers (x, y) of a map's cells, as shares of its sides, row by row."""
    ys = (torch.arange(height, device=device, dtype=torch.float32) + 0.5) / height
    xs = (torch.arange(width, device=device, dtype=torch.float32) + 0.5) / width
    return torch.stack((xs.expand(height, -1), ys[:, None].expand(-1, width)), dim=-1).flatten(0, 1)
