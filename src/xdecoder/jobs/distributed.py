"""One process or many: who this one is, and how they share a module, a decision and a wait.

What they share of a batch is in `xdecoder.jobs.gather`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from xdecoder.jobs.devices import find_device
from xdecoder.jobs.gather import mean_over_world


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


def find_world(device: str | None = None) -> World:
    """This process among those that torchrun started, alone where it started none; it joins no group.

    Args:
        device: "cpu", "cuda" or "cuda:1"; by default CUDA where there is one. Under torchrun each
            process takes the GPU of its own number.

    Raises:
        ValueError: there is no such device here.
    """
    place = find_device(device)
    if place.type == "cuda":
        place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", place.index or 0)))
    rank, size = (int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1)))
    return World(rank=rank, size=size, device=place)


def join_world(device: str | None = None) -> World:
    """Join the processes that torchrun started; alone where it started none.

    Args:
        device: as for `find_world`.
    """
    world = find_world(device)
    if world.device.type == "cuda":
        torch.cuda.set_device(world.device)
    if "WORLD_SIZE" in os.environ and not dist.is_initialized():
        backend = "cuda:nccl,cpu:gloo" if world.device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=timedelta(hours=1))
    return world


def leave_world() -> None:
    """Leave the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def number_of_first(number: int) -> int:
    """The number that the first process gives, in all of them; all call this together."""
    if not dist.is_initialized():
        return number
    shared = torch.tensor(number)
    dist.broadcast(shared, src=0)
    return int(shared)


def wait_for_all() -> None:
    """Return when every process has come here."""
    if dist.is_initialized():
        dist.barrier()


def replicate(module: nn.Module, world: World) -> nn.Module:
    """The module, with gradients averaged over the processes (DDP); each process keeps everything."""
    if world.size == 1:
        return module
    devices = [world.device] if world.device.type == "cuda" else None
    return DistributedDataParallel(
        module, device_ids=devices, find_unused_parameters=True, gradient_as_bucket_view=True
    )


def shard(module: nn.Module, world: World) -> nn.Module:
    """The module, with its weights, gradients and the optimizer's state shared out (FSDP2).

    The model's parts are used one by one, so the weights are gathered when the module is called and given up
    after its gradients are known (ZeRO's second stage). Numbers that are no vector cannot be cut; every
    process keeps them, and `average_small_gradients` averages their gradients.
    """
    fully_shard(
        module,
        mesh=init_device_mesh(world.device.type, (world.size,)),
        reshard_after_forward=False,
        ignored_params=set(_small(module)),
    )
    return module


def average_small_gradients(module: nn.Module) -> None:
    """Average the gradients of what `shard` left in every process."""
    for parameter in _small(module):
        if parameter.grad is not None:
            parameter.grad = mean_over_world(parameter.grad)


def whole(tensor: Tensor) -> Tensor:
    """A tensor that may be shared out, gathered; all processes call this together."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _small(module: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in module.parameters() if parameter.ndim == 0]
