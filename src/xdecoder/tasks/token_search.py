"""The likeliest next token, found in a quarter of the token table's bytes.

A token's logit is the product of the caption's state with its row of the table, which is read whole for every
token of a caption. Here a copy in whole numbers of eight bits is read instead. How far its products may be
from the exact ones is bounded for each row (Cauchy-Schwarz), and the few rows that may be the best are
compared in full: the token found is the one that the whole table gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int, Int8
from torch import Tensor

from xdecoder.networks.linear import linear
from xdecoder.networks.narrow import round_rows

_CHUNK = 1024  # rows rounded at a time
_WIDENED = 1024  # rows widened at a time, which the cache holds
_MOST_STATES = 2  # from which the whole table, read once for all, is faster
_FEWEST_TOKENS = 8192  # from which the search is worth its steps
_ROUNDING = 2.0**-8  # of a product in bfloat16, and to spare
_SUMMING = 1e-4  # of the sums in float32, and to spare


@dataclass(frozen=True, kw_only=True)
class RoundedTable:
    """A token table in eight bits.

    Attributes:
        numbers: of each entry.
        scales: of each row; entries are about number x scale, in bfloat16.
        errors: norm of the difference of each row.
        norms: norm of each row.
    """

    numbers: Int8[Tensor, "V P"]
    scales: Float[Tensor, " V"]
    errors: Float[Tensor, " V"]
    norms: Float[Tensor, " V"]

    @classmethod
    def of(cls, table: Float[Tensor, "V P"]) -> RoundedTable:
        """Round a table, some rows at a time."""
        parts: list[tuple[Tensor, ...]] = []
        for rows in table.split(_CHUNK):
            rows = rows.float()
            numbers, scales = round_rows(rows)
            rounded = numbers * scales.float()[:, None]
            parts.append((numbers.to(torch.int8), scales, (rows - rounded).norm(dim=1), rounded.norm(dim=1)))
        numbers, scales, errors, norms = (torch.cat(part) for part in zip(*parts, strict=True))
        return cls(numbers=numbers, scales=scales, errors=errors, norms=norms)

    def may_be_best(self, state: Float[Tensor, " P"]) -> Bool[Tensor, " V"]:
        """The rows whose product with the state may be the largest."""
        narrow = state.bfloat16()
        products = torch.ops.aten._weight_int8pack_mm(narrow[None], self.numbers, self.scales)[0].float()
        length = state.norm()
        rounded = (state - narrow.float()).norm()
        slack = length * self.errors + (rounded + _SUMMING * length) * self.norms + _ROUNDING * products.abs()
        return products + slack >= (products - slack).max()


def token_logits(states: Float[Tensor, "B P"], table: Float[Tensor, "V P"]) -> Float[Tensor, "B V"]:
    """The products of states with all tokens, in the states' kind of numbers; the table's may be another."""
    if states.dtype == table.dtype:
        return linear(states, table)
    logits = states.new_empty(len(states), len(table))
    for part, rows in zip(logits.split(_WIDENED, dim=1), table.split(_WIDENED), strict=True):
        part.copy_(linear(states, rows.to(states.dtype)))
    return logits


class TokenSearch:
    """The likeliest next tokens of captions.

    Args:
        table: embeddings of all V tokens; a copy in eight bits is made when first needed.
    """

    def __init__(self, table: Float[Tensor, "V P"]) -> None:
        self._table = table

    @cached_property
    def _rounded(self) -> RoundedTable:
        return RoundedTable.of(self._table)

    def likeliest(self, states: Float[Tensor, "B P"]) -> Int[Tensor, " B"]:
        """The row of the table with the largest product, for each state."""
        if not self._pays(states):
            return token_logits(states, self._table).argmax(-1)
        found: list[Tensor] = []
        for state in states:
            [rows] = self._rounded.may_be_best(state).nonzero(as_tuple=True)
            found.append(rows[(self._table[rows].float() @ state).argmax()])
        return torch.stack(found)

    def _pays(self, states: Tensor) -> bool:
        return (
            len(states) <= _MOST_STATES
            and len(self._table) >= _FEWEST_TOKENS
            and states.device.type == "cpu"
            and states.dtype == torch.float32
            and self._table.dtype in (torch.float32, torch.float16)
            and torch.backends.cpu.get_cpu_capability() == "AVX512"
            and not torch.is_grad_enabled()
        )
