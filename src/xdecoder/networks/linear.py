"""Linear layers, by the fastest exact way.

On CPUs PyTorch multiplies matrices of float32 by MKL, which leaves AVX-512 alone on processors that are not
Intel's; its oneDNN, which convolves, does not: products take less than half the time there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_PLAIN = (Tensor, nn.Parameter)
_FEWEST = 1 << 18  # multiplications from which a product is worth the kernel that is made for its shape
_ROWS_PREPACKED_FOR = 128  # the order is that of any number of rows but one


class Linear(nn.Linear):
    """A linear layer, by the fast way where there is one."""

    def forward(self, input: Float[Tensor, "*batch C"]) -> Float[Tensor, "*batch C2"]:
        return linear(input, self.weight, self.bias)


class NarrowWeight(nn.Module, ABC):
    """A weight in fewer bits than its products are computed in, where a layer's parameter was.

    The layer's state dict holds it under the parameter's name, in float32. The kinds are in `narrow.py`.
    """

    @abstractmethod
    def multiply(
        self, x: Float[Tensor, "B *batch C"], bias: Float[Tensor, " C2"] | None
    ) -> Float[Tensor, "B *batch C2"]:
        """As `linear`."""

    @abstractmethod
    def widen(self) -> Float[Tensor, "C2 C"]:
        """The weight in float32."""

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        destination[prefix.removesuffix(".")] = self.widen()


def linear(
    x: Float[Tensor, "*batch C"],
    weight: Float[Tensor, "C2 C"] | NarrowWeight,
    bias: Float[Tensor, " C2"] | None = None,
) -> Float[Tensor, "*batch C2"]:
    """X · weightᵀ + bias, as `torch.nn.functional.linear`.

    By oneDNN on a CPU with AVX-512, in float32, but not under `torch.compile` and `torch.autocast`, which
    choose by themselves. Neither `x` nor `weight` needs to be contiguous.

    Args:
        x: what is multiplied.
        weight: one row for each channel of the result.
        bias: added to the result.
    """
    if isinstance(weight, NarrowWeight):
        return weight.multiply(x, bias)
    if not _by_onednn(x, weight):
        return F.linear(x, weight, bias)
    learned = (x, weight) if bias is None else (x, weight, bias)
    if torch.is_grad_enabled() and any(t.requires_grad for t in learned):
        return _Product.apply(x, weight, bias)  # pyright: ignore[reportReturnType]
    return _multiply(x, weight, bias)


def batched_linear(x: Float[Tensor, "B L C"], weight: Float[Tensor, "B2 C2 C"]) -> Float[Tensor, "B L C2"]:
    """The product x · weightᵀ for each row of the batch, or by one weight for all of them (B2 = 1)."""
    if len(weight) == 1:
        return linear(x, weight[0])
    if not _by_onednn(x[0], weight[0]):
        return x @ weight.transpose(1, 2)
    return torch.stack([linear(own, of_it) for own, of_it in zip(x, weight, strict=True)])


def prepack(weight: Float[Tensor, "C2 C"]) -> Tensor:
    """A weight for `multiply_prepacked`: in oneDNN's own order, where `linear` is oneDNN's; else as it is.

    OneDNN reorders any other weight for each product, which is a third of the time of one of 100 rows.
    """
    if not (_onednn_is_faster() and weight.device.type == "cpu" and weight.dtype == torch.float32):
        return weight
    return torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), _ROWS_PREPACKED_FOR)


def multiply_prepacked(x: Float[Tensor, "*batch C"], weight: Tensor) -> Float[Tensor, "*batch C2"]:
    """X · weightᵀ, by a weight that may be prepacked; without gradients where it is."""
    return _multiply(x, weight) if weight.is_mkldnn else linear(x, weight)


def _by_onednn(x: Tensor, weight: Tensor) -> bool:
    return (
        not torch.compiler.is_compiling()
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.numel() * weight.shape[0] >= _FEWEST
        and type(x) in _PLAIN
        and type(weight) in _PLAIN
        and _onednn_is_faster()
        and not torch.is_autocast_enabled("cpu")
    )


def _onednn_is_faster() -> bool:
    return (
        torch.backends.cpu.get_cpu_capability() == "AVX512"
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")  # PyTorch's own, which may go without notice
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )


def _multiply(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


class _Product(torch.autograd.Function):
    """The product with its way back, by oneDNN too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _multiply(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        [gradient] = gradients
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        rows = gradient.flatten(0, -2)
        return (
            _multiply(gradient, weight.T) if of_x else None,
            _multiply(rows.T, x.flatten(0, -2).T) if of_weight else None,
            rows.sum(0) if of_bias else None,
        )
