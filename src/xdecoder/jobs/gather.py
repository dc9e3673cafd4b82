"""The global batch: rows of all processes, with gradients, and counts over all of them.

A loss is the same function of the global batch however many processes share it: contrastive terms gather
their rows, the others divide a local sum by the processes' mean count; the mean of the processes' gradients,
which is what DDP and FSDP take, is then the gradient of the global loss. Without an initialized process group
all of this is the identity.
"""

from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor


def world_size() -> int:
    """How many processes share the batch."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def mean_over_world(total: Tensor, *, at_least: float | None = None) -> Tensor:
    """The processes' mean of a total, without gradient, such as what to divide a local sum by.

    Args:
        total: this process's: a number of items, a sum of weights, a loss.
        at_least: the least that all processes' items together count for.
    """
    total = total.detach().clone()
    size = world_size()
    if size > 1:
        dist.all_reduce(total)
    return (total if at_least is None else total.clamp(min=at_least)) / size


def first_row(x: Tensor) -> int:
    """Where this process's rows begin in `gather_rows` of them."""
    return 0 if world_size() == 1 else sum(_lengths(x)[: dist.get_rank()])


def gather_rows(x: Shaped[Tensor, "N ..."]) -> Shaped[Tensor, "M ..."]:
    """The rows of all processes, those of process 0 first. Processes may have different numbers of rows.

    Gradients flow back to the process that a row came from, summed over all processes that used it.
    """
    if world_size() == 1:
        return x
    lengths = _lengths(x)
    padded = torch.cat((x, x.new_zeros(max(lengths) - x.shape[0], *x.shape[1:])))
    gathered: Tensor = _AllGather.apply(padded)  # pyright: ignore[reportAssignmentType]
    return torch.cat([rows[:length] for rows, length in zip(gathered, lengths, strict=True)])


def _lengths(x: Tensor) -> list[int]:
    """How many rows every process has."""
    counts = [torch.zeros(1, dtype=torch.int64, device=x.device) for _ in range(world_size())]
    dist.all_gather(counts, torch.tensor([x.shape[0]], device=x.device))
    return [int(n) for n in torch.cat(counts).tolist()]


class _AllGather(torch.autograd.Function):
    """(N, ...) in every process -> (processes, N, ...) in all; backward sums what the processes ask for."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        total = grad_outputs[0].contiguous().clone()
        dist.all_reduce(total)
        return total[dist.get_rank()]
