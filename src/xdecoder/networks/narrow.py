"""Weights in fewer bits than their products are computed in: half the memory, or a quarter.

What they are multiplied with, and all that is not the weight of a linear layer, keeps its kind of numbers.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xdecoder.networks.attention import Attention
from xdecoder.networks.linear import Linear, NarrowWeight, linear

_FEW_TOKENS = 8  # of a sequence, up to which a product by whole numbers is faster than widening the weight
_ROUNDED = 128  # rows rounded at a time
_WHOLE_NUMBERS = 32  # what the length of a row must be divisible by for that
_STAY = ("modulation.f", "places", "mask_mlp")  # read in parts, read for their dtype, decides on masks alone


class WeightKind(StrEnum):
    """What the weights of linear layers may be kept in.

    In int8, those of the decoder are in float16: its masks show what eight bits lose.
    """

    float16 = "float16"
    int8 = "int8"

    def of(self, name: str) -> type[HalfWeight | QuantizedWeight]:
        """What the parameter of a model with this name is kept as."""
        return HalfWeight if self is WeightKind.float16 or name.startswith("decoder.") else QuantizedWeight


class HalfWeight(NarrowWeight):
    """A weight in float16; its products with float32 are float32's.

    By FBGEMM where PyTorch has it, which widens a few numbers at a time: the weight lies in its layout.

    Args:
        weight: is rounded.
    """

    def __init__(self, weight: Float[Tensor, "C2 C"]) -> None:
        super().__init__()
        self._packed: Any = None
        self._numbers: Tensor | None = None
        if weight.device.type == "cpu" and "fbgemm" in torch.backends.quantized.supported_engines:
            self._packed = torch.ops.quantized.linear_prepack_fp16(weight.float().contiguous(), None)
        else:
            self._numbers = weight.half()

    def multiply(
        self, x: Float[Tensor, "B *batch C"], bias: Float[Tensor, " C2"] | None
    ) -> Float[Tensor, "B *batch C2"]:
        """As `linear`."""
        if self._numbers is not None:
            return linear(x, self._numbers.to(x.dtype), bias)
        y = torch.ops.quantized.linear_dynamic_fp16(x, self._packed)
        return y if bias is None else y.add_(bias)

    def widen(self) -> Float[Tensor, "C2 C"]:
        """The weight in float32."""
        if self._numbers is not None:
            return self._numbers.float()
        return torch.ops.quantized.linear_unpack_fp16(self._packed)[0].float()


class QuantizedWeight(NarrowWeight):
    """A weight in whole numbers of eight bits, with a scale for each of its rows.

    Tokens that come one by one, or a few at a time, are rounded to bfloat16 and multiplied with the whole
    numbers; for more the weight is widened. Which way is taken depends on a sequence's length, not on how
    many there are: no image's result depends on the others.

    Args:
        weight: is rounded.
    """

    def __init__(self, weight: Float[Tensor, "C2 C"]) -> None:
        super().__init__()
        self._numbers = torch.empty(weight.shape, dtype=torch.int8, device=weight.device)
        self._scales = torch.empty(len(weight), dtype=torch.bfloat16, device=weight.device)
        for start in range(0, len(weight), _ROUNDED):
            part = slice(start, start + _ROUNDED)
            self._numbers[part], self._scales[part] = round_rows(weight[part].float())

    def multiply(
        self, x: Float[Tensor, "B *batch C"], bias: Float[Tensor, " C2"] | None
    ) -> Float[Tensor, "B *batch C2"]:
        """As `linear`."""
        few = x.dim() == 3 and x.shape[1] <= _FEW_TOKENS
        if not few or x.device.type != "cpu" or x.shape[2] % _WHOLE_NUMBERS:
            return linear(x, self.widen().to(x.dtype), bias)
        rows = x.flatten(0, 1).bfloat16()
        y = torch.ops.aten._weight_int8pack_mm(rows, self._numbers, self._scales).to(x.dtype)
        return (y if bias is None else y.add_(bias)).unflatten(0, x.shape[:2])

    def widen(self) -> Float[Tensor, "C2 C"]:
        """The weight in float32."""
        return self._numbers * self._scales.float()[:, None]


def round_rows(rows: Float[Tensor, "N C"]) -> tuple[Float[Tensor, "N C"], Float[Tensor, " N"]]:
    """Whole numbers from -127 to 127, and each row's scale, in bfloat16: about the rows when multiplied."""
    scales = (rows.abs().amax(1) / 127).clamp(min=1e-30).bfloat16()
    return rows.div(scales.float()[:, None]).round_().clamp_(-127, 127), scales


class StackedWeights(nn.Module):
    """Weights of one size, the rows of one below those of the other, which are multiplied with one by one.

    Args:
        weights: from the top.
    """

    def __init__(self, weights: list[NarrowWeight]) -> None:
        super().__init__()
        self._weights = weights

    def __getitem__(self, rows: slice) -> NarrowWeight:
        """The weight whose rows these are."""
        return self._weights[rows.start // (rows.stop - rows.start)]

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        destination[prefix.removesuffix(".")] = torch.cat([weight.widen() for weight in self._weights])


def narrow_names(model: nn.Module) -> set[str]:
    """The parameters that may be kept in fewer bits: weights of linear layers."""
    names = {
        f"{name}.{'weight' if isinstance(module, Linear) else 'in_proj_weight'}"
        for name, module in model.named_modules()
        if isinstance(module, (Linear, Attention))
    }
    return {name for name in names if not any(part in name for part in _STAY)}


def narrow(model: nn.Module, name: str, weight: Float[Tensor, "C2 C"], kind: WeightKind) -> None:
    """Put a weight, in fewer bits, in a parameter's place.

    Args:
        model: has the parameter.
        name: one of `narrow_names`.
        weight: of the parameter's shape; may be in any kind of numbers.
        kind: what it is kept in.

    Raises:
        ValueError: it holds numbers that float16 does not reach.
    """
    path, _, attribute = name.rpartition(".")
    module = model.get_submodule(path)
    one = kind.of(name)
    lowest, highest = weight.aminmax()
    if one is HalfWeight and max(-lowest, highest) > torch.finfo(torch.float16).max:
        raise ValueError(
            f"{name} holds numbers that float16 does not reach: load the model in float32 or bfloat16"
        )
    delattr(module, attribute)
    if isinstance(module, Attention):
        weights: list[NarrowWeight] = [one(rows) for rows in weight.split(module.width)]
        setattr(module, attribute, StackedWeights(weights))
    else:
        setattr(module, attribute, one(weight))
