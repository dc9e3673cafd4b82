"""3x3 convolution with four times fewer multiplications: Winograd's minimal filtering F(4x4, 3x3).

Each 4x4 patch of the result is a transform of 36 products, not a sum of 144 (Lavin and Gray, 2016). The
polynomials are evaluated at 0, ±3/4, ±3/2 and infinity: in float32 the result then differs from the exact one
by about 2e-6 of its largest value, as much as a plain convolution's; at the usual 0, ±1, ±2 by four times
that. PyTorch's own convolutions on CPUs no longer do this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_weight

from xdecoder.networks.linear import multiply_prepacked, prepack

Kernels = list[list[Tensor]]
"""What 3x3 kernels become: six by six matrices (C2, C), which may be prepacked."""

_A, _B = 0.75, 1.5
_TILES = 128  # of a strip: enough rows for the products, few enough for the cache
_FEWEST_CHANNELS = 64  # from which the transforms cost less than they save
_FEWEST_PIXELS = 3000  # of an image, from which those of the kernels do too
_FEWEST_PIXELS_KEPT = 700  # likewise, where kernels are kept


def conv3x3(
    x: Float[Tensor, "B C H W"],
    weight: Float[Tensor, "C2 C 3 3"],
    bias: Float[Tensor, " C2"] | None = None,
    *,
    kept: KeptKernels | None = None,
) -> Float[Tensor, "B C2 H W"]:
    """A 3x3 convolution, stride 1, padding 1; by Winograd's method where that pays.

    That is on a CPU, and not under `torch.compile`, which cannot take the method whole, or `torch.autocast`.

    Args:
        x: the maps.
        weight: what they are convolved with.
        bias: added to the result.
        kept: where the transformed kernels are kept, if they are: smaller maps pay then.
    """
    height, width = x.shape[-2:]
    if (
        torch.compiler.is_compiling()
        or torch.is_autocast_enabled("cpu")
        or x.device.type != "cpu"
        or x.dtype != torch.float32
        or height % 4
        or width % 4
        or height * width < (_FEWEST_PIXELS if kept is None else _FEWEST_PIXELS_KEPT)
        or min(weight.shape[0], weight.shape[1]) < _FEWEST_CHANNELS
    ):
        return F.conv2d(x, weight, bias, padding=1)
    learned = (x, weight) if bias is None else (x, weight, bias)
    if torch.is_grad_enabled() and any(t.requires_grad for t in learned):
        return _Convolution.apply(x, weight, bias)  # pyright: ignore[reportReturnType]
    return _winograd(x, transform_kernels(weight) if kept is None else kept.of(weight), bias)


class _Convolution(torch.autograd.Function):
    """The convolution with its way back: the maps' gradient is one with turned kernels."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _winograd(x, transform_kernels(weight), bias)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        [gradient] = gradients
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        turned = weight.flip(2, 3).transpose(0, 1).contiguous()
        return (
            _winograd(gradient, transform_kernels(turned), None) if of_x else None,
            conv2d_weight(x, weight.shape, gradient, padding=1) if of_weight else None,
            gradient.sum((0, 2, 3)) if of_bias else None,
        )


def _winograd(x: Tensor, kernels: Kernels, bias: Tensor | None) -> Tensor:
    B, C, H, W = x.shape
    result = x.new_empty(B, H, W, kernels[0][0].shape[0])
    height = min(H, 4 * max(1, 4 * _TILES // W))
    padded = x.new_zeros(height + 2, W + 2, C)
    for image, out in zip(x.permute(0, 2, 3, 1), result, strict=True):
        for top in range(0, H, height):
            bottom = min(H, top + height)
            first, last = max(0, top - 1), min(H, bottom + 1)
            rows = padded[: bottom - top + 2]
            above, below = first - top + 1, last - top + 1
            rows[:above] = 0
            rows[above:below, 1:-1] = image[first:last]
            rows[below:] = 0
            _strip(rows, kernels, out[top:bottom])
    if bias is not None:
        result += bias
    return result.permute(0, 3, 1, 2)


def transform_kernels(weight: Float[Tensor, "C2 C 3 3"]) -> Kernels:
    """G g Gᵀ of every kernel; a row of G holds 1, p, p² over the product of p's distances to the others."""
    rows = [[1 / (_A * _A * _B * _B), 0.0, 0.0]]
    for point, other in ((_A, _B), (_B, _A)):
        for p in (point, -point):
            distances = 2 * point * point * (point * point - other * other)
            rows.append([power / distances for power in (1.0, p, p * p)])
    G = weight.new_tensor([*rows, [0.0, 0.0, 1.0]])
    return [list(row) for row in torch.einsum("ai,bj,ocij->aboc", G, G, weight)]


class KeptKernels:
    """The transformed kernels of one convolution, made again when its weight has changed.

    They take four times the weight's memory.
    """

    def __init__(self) -> None:
        self._made_of: tuple[int, int] | None = None
        self._kernels: Kernels = []
        self._prepacked = False

    def of(self, weight: Float[Tensor, "C2 C 3 3"]) -> Kernels:
        """The kernels; prepacked once they are asked for again, since that takes as long as making them."""
        now = (weight.data_ptr(), 0 if weight.is_inference() else weight._version)
        if self._made_of != now:
            self._kernels = transform_kernels(weight.detach())
            self._made_of, self._prepacked = now, False
        elif not self._prepacked:
            self._kernels = [[prepack(matrix) for matrix in row] for row in self._kernels]
            self._prepacked = True
        return self._kernels

    def __deepcopy__(self, memo: object) -> KeptKernels:
        return KeptKernels()

    def __reduce__(self) -> tuple[type[KeptKernels], tuple[()]]:
        return KeptKernels, ()


def _strip(rows: Float[Tensor, "rows columns C"], kernels: Kernels, out: Tensor) -> None:
    """Convolve a strip of an image, padded by one cell on each side, into `out`."""
    height, width, channels = out.shape[0] // 4, out.shape[1] // 4, rows.shape[2]
    # Bᵀ d B: first over rows, then over columns
    lines = rows.new_empty(6, height, rows.shape[1], channels)
    _transform_input([rows[i : i + 4 * height - 3 : 4] for i in range(6)], lines.unbind())
    patches = rows.new_empty(6, 6, height, width, channels)
    _transform_input([lines[:, :, j : j + 4 * width - 3 : 4] for j in range(6)], patches.unbind(1))
    # Aᵀ m A, likewise, of the products m
    lines = rows.new_empty(4, 6, height, width, out.shape[2])
    for j in range(6):
        products = [multiply_prepacked(patches[i, j], kernels[i][j]) for i in range(6)]
        _transform_output(products, lines[:, j].unbind())
    _transform_output(
        lines.unbind(1), out.unflatten(1, (-1, 4)).unflatten(0, (-1, 4)).permute(3, 1, 0, 2, 4).unbind()
    )


def _transform_input(d: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    """Bᵀ d: the coefficients of (d4 - b² d2) ± a (d3 - b² d1), and with a and b exchanged."""
    even = torch.add(d[4], d[2], alpha=-_B * _B)
    odd = torch.add(d[3], d[1], alpha=-_B * _B)
    torch.add(even, odd, alpha=_A, out=out[1])
    torch.add(even, odd, alpha=-_A, out=out[2])
    torch.add(d[4], d[2], alpha=-_A * _A, out=even)
    torch.add(d[3], d[1], alpha=-_A * _A, out=odd)
    torch.add(even, odd, alpha=_B, out=out[3])
    torch.add(even, odd, alpha=-_B, out=out[4])
    torch.add(d[2], d[0], alpha=-_A * _A, out=out[0])
    torch.add(even, out[0], alpha=-_B * _B, out=out[0])
    torch.add(d[5], d[3], alpha=-_A * _A, out=even)
    torch.add(even, odd, alpha=-_B * _B, out=out[5])


def _transform_output(m: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    """Aᵀ m: result k is m0 (k = 0) + a^k (m1 ± m2) + b^k (m3 ± m4) + m5 (k = 3), plus where k is even."""
    first, second = m[1] + m[2], m[3] + m[4]
    torch.add(m[0], first, out=out[0]).add_(second)
    torch.mul(first, _A**2, out=out[2]).add_(second, alpha=_B**2)
    torch.sub(m[1], m[2], out=first)
    torch.sub(m[3], m[4], out=second)
    torch.mul(first, _A, out=out[1]).add_(second, alpha=_B)
    torch.add(m[5], first, alpha=_A**3, out=out[3]).add_(second, alpha=_B**3)
