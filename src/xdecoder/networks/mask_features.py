"""Mask features, plain or folded: two ways to the same mask logits.

Mask logits are products of mask embeddings and mask features, which are a convolution of the pixel decoder's
stride-4 map. Training needs every query's mask after every layer, so the features are computed (`Plain`).
Inference needs few masks, and both steps are linear: the convolution is folded into the wanted queries' own
kernels, and the resized features of the attention masks are convolved from resized shifted copies of the map,
at the level's resolution (`Folded`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xdecoder.networks.resampling import bands, resize, resize_matrix
from xdecoder.networks.winograd import conv3x3

_TILE = 32


class MaskFeatures(ABC):
    """The features that mask embeddings are multiplied with, of a batch of images."""

    @abstractmethod
    def resized(self, size: tuple[int, int]) -> Float[Tensor, "B M H W"]:
        """The features, resized (bicubic, antialiased) to a level."""

    @abstractmethod
    def logits(self, embeddings: Float[Tensor, "B Q M"]) -> Float[Tensor, "B Q H W"]:
        """Mask logits at stride 4."""

    @abstractmethod
    def logits_of(self, image: int, embeddings: Float[Tensor, "N M"]) -> Float[Tensor, "N H W"]:
        """Mask logits at stride 4 on one image of the batch."""


@final
class Plain(MaskFeatures):
    """Mask features as such.

    Args:
        stride4: the pixel decoder's stride-4 map, (B, C, H/4, W/4).
        convolution: its mask-feature convolution, C to M channels.
    """

    def __init__(self, stride4: Tensor, convolution: nn.Conv2d) -> None:
        self.features = convolution(stride4)

    def resized(self, size: tuple[int, int]) -> Float[Tensor, "B M H W"]:
        return resize(self.features, size)

    def logits(self, embeddings: Float[Tensor, "B Q M"]) -> Float[Tensor, "B Q H W"]:
        return torch.einsum("bqm,bmhw->bqhw", embeddings, self.features)

    def logits_of(self, image: int, embeddings: Float[Tensor, "N M"]) -> Float[Tensor, "N H W"]:
        return torch.einsum("nm,mhw->nhw", embeddings, self.features[image])


@final
class Folded(MaskFeatures):
    """Mask features never computed.

    Args:
        stride4: the pixel decoder's stride-4 map, (B, C, H/4, W/4).
        convolution: its mask-feature convolution, C to M channels.
    """

    def __init__(self, stride4: Tensor, convolution: nn.Conv2d) -> None:
        self.stride4 = stride4
        self.convolution = convolution

    def resized(self, size: tuple[int, int]) -> Float[Tensor, "B M H W"]:
        weight, bias = self.convolution.weight, self.convolution.bias
        assert bias is not None
        x = self.stride4.permute(0, 2, 3, 1)
        B, H, W, C = x.shape
        kernel = weight.shape[-1]
        row_bands = bands(_shifted(H, size[0], kernel), _TILE, dtype=x.dtype, device=x.device)
        column_bands = [
            bands(matrix, _TILE, dtype=x.dtype, device=x.device) for matrix in _shifted(W, size[1], kernel)
        ]
        parts = weight.permute(2, 3, 1, 0)
        result = x.new_empty(B, *size, weight.shape[0])
        for row in row_bands:
            # the copies moved up or down, resized over rows: (B, kernel, rows, W, C)
            strip = (row.matrix.flatten(0, 1) @ x[:, row.columns].flatten(2)).view(B, kernel, -1, W, C)
            for copies in zip(*column_bands, strict=True):
                total = bias
                for kx, column in enumerate(copies):
                    tile = column.matrix @ strip[:, :, :, column.columns]
                    for ky in range(kernel):
                        total = total + tile[:, ky] @ parts[ky, kx]
                result[:, row.rows, copies[0].rows] = total
        return result.permute(0, 3, 1, 2)

    def logits(self, embeddings: Float[Tensor, "B Q M"]) -> Float[Tensor, "B Q H W"]:
        return torch.stack([self.logits_of(i, wanted) for i, wanted in enumerate(embeddings)])

    def logits_of(self, image: int, embeddings: Float[Tensor, "N M"]) -> Float[Tensor, "N H W"]:
        weight, bias = self.convolution.weight, self.convolution.bias
        assert bias is not None
        kernels = (embeddings @ weight.flatten(1)).unflatten(1, weight.shape[1:])
        convolve = conv3x3 if weight.shape[-1] == 3 else F.conv2d
        return convolve(self.stride4[image][None], kernels, embeddings @ bias)[0]


def _shifted(length: int, new_length: int, kernel: int) -> Float[Tensor, "kernel new_length length"]:
    """The matrices that resize an axis moved by k - kernel // 2 cells, for each k.

    Zeros come in at the ends, as in a padded convolution.
    """
    matrix = resize_matrix(length, new_length)
    reach = kernel // 2
    padded = F.pad(matrix, (reach, reach))
    return torch.stack([padded[:, 2 * reach - k : 2 * reach - k + length] for k in range(kernel)])
