"""One process or many: who I am, and sums and gathers that gradients flow through."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class World:
    """The processes of a run.

    Attributes:
        rank: this process, counted from 0.
        size: how many there are.
        device: where this process computes.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        """Whether this process prints, logs and validates."""
        return self.rank == 0


def join_world(device: str | None = None) -> World:
    """Join the processes that torchrun started; alone where it started none.

    Args:
        device: "cpu" or "cuda"; by default CUDA where there is one.
    """
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    local = int(os.environ.get("LOCAL_RANK", "0"))
    place = torch.device(kind, local) if kind == "cuda" else torch.device(kind)
    if kind == "cuda":
        torch.cuda.set_device(place)
    if "WORLD_SIZE" not in os.environ:
        return World(device=place)
    if not dist.is_initialized():
        dist.init_process_group(
            "cuda:nccl,cpu:gloo" if kind == "cuda" else "gloo", timeout=timedelta(hours=1)
        )
    return World(rank=dist.get_rank(), size=dist.get_world_size(), device=place)


def leave_world() -> None:
    """Leave the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def mean_over_processes(values: Tensor) -> Tensor:
    """The mean of every process's values (no gradient)."""
    if not dist.is_initialized():
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def wait_for_all() -> None:
    """Return when every process has come here."""
    if dist.is_initialized():
        dist.barrier()
