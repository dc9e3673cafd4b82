"""The default pixel decoder: a transformer encoder on the stride-32 map, then a feature pyramid."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xdecoder.config import PixelDecoderConfig
from xdecoder.networks.attention import Attention
from xdecoder.networks.convolution import Conv3x3, GroupNormConv2d
from xdecoder.networks.features import PixelFeatures
from xdecoder.networks.linear import Linear
from xdecoder.networks.positions import sine_positions


class EncoderLayer(nn.Module):
    """A post-norm transformer layer: self-attention with positions on queries and keys, feed-forward."""

    def __init__(self, config: PixelDecoderConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config.width, config.heads)
        self.norm1 = nn.LayerNorm(config.width)
        self.linear1 = Linear(config.width, config.feedforward)
        self.linear2 = Linear(config.feedforward, config.width)
        self.norm2 = nn.LayerNorm(config.width)

    def forward(self, x: Float[Tensor, "B N C"], positions: Float[Tensor, "N C"]) -> Float[Tensor, "B N C"]:
        placed = x + positions
        attention = self.self_attn
        mixed = attention.attend(attention.queries(placed), attention.keys(placed), attention.values(x))
        x = self.norm1(x + mixed)
        return self.norm2(x + self.linear2(F.relu(self.linear1(x))))


class Encoder(nn.Module):
    """Transformer layers over one map."""

    def __init__(self, config: PixelDecoderConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.layers))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        height, width = x.shape[-2:]
        positions = sine_positions(height, width, x.shape[1], x.device, x.dtype).flatten(0, 1)
        y = x.flatten(2).transpose(1, 2)
        for layer in self.layers:
            y = layer(y, positions)
        return y.transpose(1, 2).unflatten(-1, (height, width))


class MaskDetails(nn.Module):
    """Mask features at stride 2: those at stride 4 interpolated, and details of the finest map.

    Nothing at first: a model with masks at stride 4 may go on with finer ones.

    Args:
        width: channels of the finest map.
        mask_width: channels of the mask features.
    """

    def __init__(self, width: int, mask_width: int) -> None:
        super().__init__()
        self.quarters = Linear(width, 4 * mask_width)
        nn.init.zeros_(self.quarters.weight)
        nn.init.zeros_(self.quarters.bias)

    def forward(
        self, masks: Float[Tensor, "B M H W"], finest: Float[Tensor, "B C H W"]
    ) -> Float[Tensor, "B M H2 W2"]:
        details = F.pixel_shuffle(self.quarters(finest.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), 2)
        return F.interpolate(masks, scale_factor=2, mode="bilinear", align_corners=False) + details


class FPNPixelDecoder(nn.Module):
    """Backbone maps to features at strides 32, 16, 8 and 4, and 2 for the masks where the config says so.

    Args:
        config: sizes; parameter names are those of the published checkpoints.
        backbone_widths: channels of res2..res5.
    """

    def __init__(self, config: PixelDecoderConfig, backbone_widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        width = config.width
        self.input_proj = nn.Conv2d(backbone_widths[3], width, 1)
        self.transformer = nn.ModuleDict({"encoder": Encoder(config)})
        self.adapter_1, self.adapter_2, self.adapter_3 = (
            GroupNormConv2d(channels, width, 1) for channels in backbone_widths[:3]
        )
        self.layer_1, self.layer_2, self.layer_3, self.layer_4 = (
            GroupNormConv2d(width, width, 3, relu=True) for _ in range(4)
        )
        self.mask_features = Conv3x3(width, config.mask_width)
        self.mask_details = MaskDetails(width, config.mask_width) if config.mask_stride == 2 else None

    def forward(self, maps: tuple[Tensor, Tensor, Tensor, Tensor]) -> PixelFeatures:
        """Features of the maps res2, res3, res4, res5."""
        y = self.transformer["encoder"](self.input_proj(maps[3]))
        y = self.layer_4(y)
        pyramid = [y]
        for adapter, layer, finer in (
            (self.adapter_3, self.layer_3, maps[2]),
            (self.adapter_2, self.layer_2, maps[1]),
            (self.adapter_1, self.layer_1, maps[0]),
        ):
            lateral = adapter(finer)
            y = layer(_add_upsampled(lateral, y))
            pyramid.append(y)
        masks = self.mask_features(y)
        if self.mask_details is not None:
            masks = self.mask_details(masks, y)
        return PixelFeatures(levels=(pyramid[0], pyramid[1], pyramid[2]), masks=masks)


def _add_upsampled(
    fine: Float[Tensor, "B C H2 W2"], coarse: Float[Tensor, "B C H W"]
) -> Float[Tensor, "B C H2 W2"]:
    """Add a map of half the size, each of its cells to four (nearest), without writing it out.

    Without gradients the sum takes the fine map's place.
    """
    fours, ones = fine.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)), coarse[:, :, :, None, :, None]
    if torch.is_grad_enabled():
        return (fours + ones).flatten(4, 5).flatten(2, 3)
    fours += ones
    return fine
