"""Phrases of an image, put one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def concatenate(
    tokens: Float[Tensor, "M L D"], lengths: Sequence[int], counts: Sequence[int]
) -> tuple[Float[Tensor, "B L2 D"], Bool[Tensor, "B L2"]]:
    """All phrases of each image one after the other, their padding dropped, and what is no padding then.

    Args:
        tokens: features of the phrases of all images.
        lengths: tokens of each phrase.
        counts: phrases of each image.
    """
    rows: list[Tensor] = []
    start = 0
    for count in counts:
        own = [tokens[i, : lengths[i]] for i in range(start, start + count)]
        rows.append(torch.cat(own) if own else tokens.new_zeros(0, tokens.shape[2]))
        start += count
    joined = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    ends = torch.tensor([len(row) for row in rows]).to(tokens.device, non_blocking=True)
    return joined, torch.arange(joined.shape[1], device=tokens.device) < ends[:, None]
