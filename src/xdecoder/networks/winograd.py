"""3x3 convolution with four times fewer multiplications: Winograd's minimal filtering F(4x4, 3x3).

Each 4x4 patch of the result is a transform of 36 products, not a sum of 144 (Lavin and Gray, 2016). The
polynomials are evaluated at 0, ±3/4, ±3/2 and infinity: in float32 the result then differs from the exact one
by about 2e-6 of its largest value, as much as a plain convolution's; at the usual 0, ±1, ±2 by four times
that. PyTorch's own convolutions on CPUs no longer do this.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from xdecoder.networks.linear import linear, multiply_prepacked, prepack

Kernels = list[list[Tensor]]
"""What 3x3 kernels become: six by six matrices (C2, C), which may be prepacked."""

_A, _B = 0.75, 1.5
_TILES = 128  # of a strip: enough rows for the products, few enough for the cache
_FEWEST_CHANNELS = 64  # from which the transforms cost less than they save
_FEWEST_PIXELS = 3000  # of an image, from which those of the kernels do too
_FEWEST_PIXELS_KEPT = 700  # likewise, where kernels are kept
_FEWEST_PIXELS_PREPACKED = 16_000  # for which kernels are used before prepacking them has paid


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
    pixels = len(x) * height * width
    return _winograd(x, transform_kernels(weight) if kept is None else kept.of(weight, pixels), bias)


class _Convolution(torch.autograd.Function):
    """The convolution with its way back: the maps' gradient is one with turned kernels.

    The weight's is the way back through the transforms, whose products are as few.
    """

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
            _weight_gradient(x, gradient) if of_weight else None,
            gradient.sum((0, 2, 3)) if of_bias else None,
        )


def _winograd(x: Tensor, kernels: Kernels, bias: Tensor | None) -> Tensor:
    B, _, H, W = x.shape
    if B * H * W >= _FEWEST_PIXELS_PREPACKED:
        kernels = prepack_kernels(kernels)
    result = x.new_empty(B, H, W, kernels[0][0].shape[0])
    for image, out in zip(x.permute(0, 2, 3, 1), result, strict=True):
        for rows, padded in _strips(image):
            _convolve(padded, kernels, out[rows])
    if bias is not None:
        result += bias
    return result.permute(0, 3, 1, 2)


def _strips(image: Float[Tensor, "H W C"]) -> Iterator[tuple[slice, Float[Tensor, "rows columns C"]]]:
    """Rows of an image, and what their results need: these rows padded by one cell on each side.

    The padded rows are overwritten by the next ones.
    """
    H, W, C = image.shape
    height = min(H, 4 * max(1, 4 * _TILES // W))
    padded = image.new_zeros(height + 2, W + 2, C)
    for top in range(0, H, height):
        bottom = min(H, top + height)
        first, last = max(0, top - 1), min(H, bottom + 1)
        rows = padded[: bottom - top + 2]
        above, below = first - top + 1, last - top + 1
        rows[:above] = 0
        rows[above:below, 1:-1] = image[first:last]
        rows[below:] = 0
        yield slice(top, bottom), rows


def _weight_gradient(
    x: Float[Tensor, "B C H W"], gradient: Float[Tensor, "B C2 H W"]
) -> Float[Tensor, "C2 C 3 3"]:
    total = x.new_zeros(6, 6, gradient.shape[1], x.shape[1])
    for image, of_result in zip(x.permute(0, 2, 3, 1), gradient.permute(0, 2, 3, 1), strict=True):
        for rows, padded in _strips(image):
            patches = _transform_patches(padded).flatten(2, 3)
            products = _transform_gradient(of_result[rows]).flatten(2, 3)
            for i in range(6):
                for j in range(6):
                    total[i, j] += linear(products[i, j].T, patches[i, j].T)
    G = _kernel_transform(x)
    return torch.einsum("ai,bj,aboc->ocij", G, G, total)


def transform_kernels(weight: Float[Tensor, "C2 C 3 3"]) -> Kernels:
    """G g Gᵀ of every kernel."""
    G = _kernel_transform(weight)
    return [list(row) for row in torch.einsum("ai,bj,ocij->aboc", G, G, weight)]


def prepack_kernels(kernels: Kernels) -> Kernels:
    """The same kernels in the order in which products read them; they stay as they are where they are so."""
    return [[matrix if matrix.is_mkldnn else prepack(matrix) for matrix in row] for row in kernels]


def _kernel_transform(like: Tensor) -> Float[Tensor, "6 3"]:
    """G: a row holds 1, p, p² over the product of p's distances to the others."""
    rows = [[1 / (_A * _A * _B * _B), 0.0, 0.0]]
    for point, other in ((_A, _B), (_B, _A)):
        for p in (point, -point):
            distances = 2 * point * point * (point * point - other * other)
            rows.append([power / distances for power in (1.0, p, p * p)])
    return like.new_tensor([*rows, [0.0, 0.0, 1.0]])


class KeptKernels:
    """The transformed kernels of one convolution, made again when its weight has changed.

    They take four times the weight's memory.
    """

    def __init__(self) -> None:
        self._made_of: tuple[int, int] | None = None
        self._kernels: Kernels = []
        self._pixels = 0

    def of(self, weight: Float[Tensor, "C2 C 3 3"], pixels: int) -> Kernels:
        """The kernels for so many pixels; prepacked as soon as they have served enough for that to pay."""
        now = (weight.data_ptr(), 0 if weight.is_inference() else weight._version)
        if self._made_of != now:
            self._kernels = transform_kernels(weight.detach())
            self._made_of, self._pixels = now, 0
        self._pixels += pixels
        if self._pixels >= _FEWEST_PIXELS_PREPACKED:
            self._kernels = prepack_kernels(self._kernels)
        return self._kernels

    def __deepcopy__(self, memo: object) -> KeptKernels:
        return KeptKernels()

    def __reduce__(self) -> tuple[type[KeptKernels], tuple[()]]:
        return KeptKernels, ()


def _convolve(rows: Float[Tensor, "rows columns C"], kernels: Kernels, out: Tensor) -> None:
    """Convolve a strip of an image, padded by one cell on each side, into `out`."""
    patches = _transform_patches(rows)
    # Aᵀ m A of the products m: first over rows, then over columns
    lines = rows.new_empty(4, 6, *patches.shape[2:4], out.shape[2])
    for j in range(6):
        products = [multiply_prepacked(patches[i, j], kernels[i][j]) for i in range(6)]
        _transform_output(products, lines[:, j].unbind())
    _transform_output(lines.unbind(1), _cells(out).permute(3, 1, 0, 2, 4).unbind())


def _transform_patches(rows: Float[Tensor, "rows columns C"]) -> Float[Tensor, "6 6 height width C"]:
    """Bᵀ d B of every patch of a padded strip: first over rows, then over columns."""
    height, width, channels = rows.shape[0] // 4, rows.shape[1] // 4, rows.shape[2]
    lines = rows.new_empty(6, height, rows.shape[1], channels)
    _transform_input([rows[i : i + 4 * height - 3 : 4] for i in range(6)], lines.unbind())
    patches = rows.new_empty(6, 6, height, width, channels)
    _transform_input([lines[:, :, j : j + 4 * width - 3 : 4] for j in range(6)], patches.unbind(1))
    return patches


def _transform_gradient(out: Float[Tensor, "rows columns C2"]) -> Float[Tensor, "6 6 height width C2"]:
    """A y Aᵀ of every patch of a strip's gradient: the way back through the transform of the result."""
    height, width, channels = out.shape[0] // 4, out.shape[1] // 4, out.shape[2]
    lines = out.new_empty(6, height, width, 4, channels)
    _transform_back(_cells(out).unbind(1), lines.unbind())
    products = out.new_empty(6, 6, height, width, channels)
    _transform_back(lines.unbind(3), products.unbind(1))
    return products


def _cells(out: Float[Tensor, "rows columns C2"]) -> Float[Tensor, "height 4 width 4 C2"]:
    """The cells of a strip's patches."""
    return out.unflatten(1, (-1, 4)).unflatten(0, (-1, 4))


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


def _transform_back(y: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    """A y: the sums of y_k times 0^k, a^k, (-a)^k, b^k, (-b)^k; and y3."""
    out[0].copy_(y[0])
    out[5].copy_(y[3])
    for p, plus, minus in ((_A, out[1], out[2]), (_B, out[3], out[4])):
        even, odd = torch.add(y[0], y[2], alpha=p**2), torch.mul(y[1], p).add_(y[3], alpha=p**3)
        torch.add(even, odd, out=plus)
        torch.sub(even, odd, out=minus)
