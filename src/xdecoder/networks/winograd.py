"""3x3 convolution with 2.25 times fewer multiplications: Winograd's minimal filtering F(2x2, 3x3).

Each 2x2 patch of the result is a transform of 16 products, not a sum of 36 (Lavin and Gray, 2016).
The sums are the same numbers in another order; in float32 they differ by about 3e-6 of the largest value.
PyTorch's own convolutions on CPUs no longer do this.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

_ROWS = 8
_FEWEST = 64  # channels and pixels from which the transforms cost less than they save


def conv3x3(
    x: Float[Tensor, "B C H W"], weight: Float[Tensor, "C2 C 3 3"], bias: Float[Tensor, " C2"] | None = None
) -> Float[Tensor, "B C2 H W"]:
    """A 3x3 convolution, stride 1, padding 1; by Winograd's method where that pays and needs no gradient."""
    height, width = x.shape[-2:]
    if (
        torch.is_grad_enabled()
        or x.device.type != "cpu"
        or x.dtype != torch.float32
        or height % 2
        or width % 2
        or min(weight.shape[0], weight.shape[1], width) < _FEWEST
    ):
        return F.conv2d(x, weight, bias, padding=1)
    return _winograd(x, weight, bias)


def _winograd(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    B, _, H, W = x.shape
    kernels = _transform_kernel(weight)
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    result = x.new_empty(B, H, W, weight.shape[0])
    for image, out in zip(padded, result, strict=True):
        for top in range(0, H, _ROWS):
            rows = min(_ROWS, H - top)
            _strip(image[top : top + rows + 2], kernels, out[top : top + rows])
    if bias is not None:
        result += bias
    return result.permute(0, 3, 1, 2)


def _transform_kernel(weight: Tensor) -> Float[Tensor, "16 C C2"]:
    """G g Gᵀ of every kernel."""
    G = weight.new_tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    return torch.einsum("ai,bj,ocij->abco", G, G, weight).flatten(0, 1)


def _strip(rows: Float[Tensor, "rows columns C"], kernels: Tensor, out: Tensor) -> None:
    """Convolve a strip of an image, padded by one cell on each side, into `out`."""
    height, width = out.shape[:2]
    # Bᵀ d B: first over rows, then over columns
    patches = rows.new_empty(4, 4, height // 2, width // 2, rows.shape[-1])
    for i, line in enumerate(_transform_input(rows, height)):
        columns = line.transpose(0, 1)
        for j, values in enumerate(_transform_input(columns, width)):
            patches[i, j] = values.transpose(0, 1)
    products = torch.bmm(patches.flatten(2, 3).flatten(0, 1), kernels).unflatten(0, (4, 4))
    # Aᵀ m A, likewise
    cells = out.unflatten(1, (-1, 2)).unflatten(0, (-1, 2))
    for i, line in enumerate(
        (products[0] + products[1] + products[2], products[1] - products[2] - products[3])
    ):
        for j, values in enumerate((line[0] + line[1] + line[2], line[1] - line[2] - line[3])):
            cells[:, i, :, j] = values.unflatten(0, (height // 2, width // 2))


def _transform_input(x: Tensor, length: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Bᵀ d along the first axis, for all overlapping groups of 4 cells."""
    first, second = x[0:length:2], x[1:length:2]
    third, fourth = x[2 : length + 1 : 2], x[3 : length + 2 : 2]
    return first - third, second + third, third - second, second - fourth
