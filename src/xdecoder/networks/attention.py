"""Multi-head attention in steps, so that keys and values can be computed once and kept.

Parameters are named and shaped as `torch.nn.MultiheadAttention` names them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from xdecoder.networks.linear import Linear, linear


class Attention(nn.Module):
    """Multi-head attention with separate projections of queries, keys and values.

    Args:
        width: channels C.
        heads: number of heads; divides `width`.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.width = width
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def queries(self, x: Float[Tensor, "B L C"]) -> Float[Tensor, "B heads L head"]:
        """Project queries."""
        return self._project(x, 0)

    def keys(self, x: Float[Tensor, "B L C"]) -> Float[Tensor, "B heads L head"]:
        """Project keys."""
        return self._project(x, 1)

    def values(self, x: Float[Tensor, "B L C"]) -> Float[Tensor, "B heads L head"]:
        """Project values."""
        return self._project(x, 2)

    def _project(self, x: Tensor, part: int) -> Tensor:
        rows = slice(part * self.width, (part + 1) * self.width)
        y = linear(x, self.in_proj_weight[rows], self.in_proj_bias[rows])
        return y.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def attend(
        self,
        queries: Float[Tensor, "B heads L head"],
        keys: Float[Tensor, "B heads N head"],
        values: Float[Tensor, "B heads N head"],
        visible: Bool[Tensor, "..."] | None = None,
        causal: bool = False,
    ) -> Float[Tensor, "B L C"]:
        """Mix the values by the attention of queries to keys, and project.

        Args:
            queries: from `queries`.
            keys: from `keys`.
            values: from `values`.
            visible: broadcastable to (B, heads, L, N); True where a query may look.
            causal: query l sees keys 0..l.
        """
        mixed = mix_values(queries, keys, values, visible, causal=causal)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


def mix_values(
    queries: Float[Tensor, "B heads L head"],
    keys: Float[Tensor, "B heads N head"],
    values: Float[Tensor, "B heads N head"],
    visible: Bool[Tensor, "..."] | None = None,
    *,
    causal: bool = False,
) -> Float[Tensor, "B heads L head"]:
    """The values averaged by the softmax of the queries' scaled products with the keys.

    Args:
        queries: projected.
        keys: projected.
        values: projected.
        visible: broadcastable to (B, heads, L, N); True where a query may look.
        causal: query l sees keys 0..l.
    """
    if queries.dtype == torch.bfloat16 and queries.device.type == "cpu" and torch.is_grad_enabled():
        # PyTorch's way back through attention takes the CPU four times as long in bfloat16 as in float32.
        wide = (x.float() for x in (queries, keys, values))
        with torch.autocast("cpu", enabled=False):
            mixed = F.scaled_dot_product_attention(*wide, attn_mask=visible, is_causal=causal)
        return mixed.bfloat16()
    if _one_looks_at_all(queries, visible):
        shape = queries.shape
        queries, keys, values = (x.flatten(0, 1) for x in (queries * shape[-1] ** -0.5, keys, values))
        shares = torch.bmm(keys, queries.transpose(1, 2)).transpose(1, 2).softmax(-1)
        return torch.bmm(shares, values).view(shape)
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=visible, is_causal=causal)


def _one_looks_at_all(queries: Tensor, visible: Tensor | None) -> bool:
    """Whether one query a row attends to all keys, on a CPU: PyTorch's attention is made for many."""
    return (
        queries.shape[2] == 1
        and visible is None
        and queries.device.type == "cpu"
        and queries.dtype == torch.float32
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
    )


class KeyValueCache:
    """Keys and values of every layer, in buffers that are allocated once and filled as tokens come.

    Args:
        layers: of the decoder, each of which has keys and values of its own.
        capacity: positions that the buffers hold.
    """

    def __init__(self, layers: int, capacity: int) -> None:
        self.capacity = capacity
        self.length = 0
        self._keys: list[Tensor | None] = [None] * layers
        self._values: list[Tensor | None] = [None] * layers

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add positions to a layer; all its keys and values so far.

        `advance` moves the end on, once every layer has appended.
        """
        end = self.length + keys.shape[2]
        if end > self.capacity:
            raise ValueError(f"the cache holds {self.capacity} positions, asked for {end}")
        all_keys, all_values = self._keys[layer], self._values[layer]
        if all_keys is None or all_values is None:
            shape = (keys.shape[0], keys.shape[1], self.capacity, keys.shape[3])
            all_keys, all_values = keys.new_empty(shape), values.new_empty(shape)
            self._keys[layer], self._values[layer] = all_keys, all_values
        all_keys[:, :, self.length : end] = keys
        all_values[:, :, self.length : end] = values
        return all_keys[:, :, :end], all_values[:, :, :end]

    def advance(self, positions: int) -> None:
        """Count `positions` as filled in every layer."""
        self.length += positions

    def branch(self, rows: Int[Tensor, " B2"], capacity: int) -> KeyValueCache:
        """A new cache of `capacity` positions whose row b starts as this one's row `rows[b]`."""
        new = KeyValueCache(len(self._keys), capacity)
        for layer, (keys, values) in enumerate(zip(self._keys, self._values, strict=True)):
            if keys is not None and values is not None:
                filled = slice(0, self.length)
                new.append(layer, keys[rows, :, filled], values[rows, :, filled])
        new.advance(self.length)
        return new

    def reorder(self, rows: Tensor) -> None:
        """Row b becomes the former row `rows[b]`; there may be more or fewer rows than before."""
        filled = slice(0, self.length)
        for buffers in (self._keys, self._values):
            for layer, old in enumerate(buffers):
                if old is not None:
                    new = old.new_empty(len(rows), *old.shape[1:])
                    new[:, :, filled] = old[:, :, filled][rows]
                    buffers[layer] = new
