"""A dry run: a recipe's sizes at once, then what a small share of a step says of time and memory."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import torch
from torch import nn

from xdecoder.jobs.distributed import World
from xdecoder.training.curriculum import Curriculum
from xdecoder.training.progress import memory_gib
from xdecoder.training.recipe import Recipe


def estimate(curriculum: Curriculum[Recipe], world: World) -> Iterator[str]:
    """Lines as they are known: parameters, the batch and the weights' memory, then time and memory measured.

    A share of every step is measured, the smallest into which it can be cut evenly, twice; the rest is
    arithmetic.

    Args:
        curriculum: what would be trained.
        world: the processes that share every step.
    """
    module = curriculum.build()
    yield "part                     parameters"
    for name, part in _parts(module):
        yield f"{name:24} {sum(p.numel() for p in part.parameters()) / 1e6:8.2f} M"
    total = sum(p.numel() for p in module.parameters())
    yield f"{'all':24} {total / 1e6:8.2f} M"
    copies = 5 if curriculum.recipe.optimizer.ema_decay else 4  # weights, gradients, two moments, average
    frozen = sum(p.numel() for p in module.parameters() if not p.requires_grad)
    held = (copies * (total - frozen) + (copies - 3) * frozen) * 4 / 2**30
    yield f"weights, gradients, optimizer: {held:.2f} GiB a process in float32"
    for phase in curriculum.phases:
        yield f"{phase.name}: {phase.steps} steps of {phase.images} images"
    source = curriculum.build_source()
    shares = math.gcd(*source.images_a_step)
    yield f"measuring 1/{shares} of a step, images by kind: {', '.join(map(str, source.images_a_step))}"
    module = module.to(world.device).train()
    first, seconds, before = 0, 0.0, memory_gib()
    for phase in curriculum.phases:
        batch = source.batch(first, world.rank, shares).to(world.device)
        took = 0.0
        for _ in range(2):
            began = time.monotonic()
            terms = module(batch)
            torch.stack(list(terms.values())).sum().backward()
            module.zero_grad(set_to_none=True)
            took = time.monotonic() - began
        step = took * shares / world.size if phase.images else took
        seconds += step * phase.steps
        yield f"{phase.name}: about {step:.2f} s a step, {step * phase.steps / 3600:.2f} h"
        first += phase.steps
    activations = max(0.0, memory_gib() - before) * shares / world.size
    yield f"about {held + activations:.2f} GiB a process, {activations:.2f} of it activations; cut them with "
    yield "run.accumulate=N, or keep none with run.activation_checkpointing=true"
    yield f"about {seconds / 3600:.1f} h on this machine as it is now, in {world.size} process(es)"


def _parts(module: nn.Module) -> list[tuple[str, nn.Module]]:
    parts: list[tuple[str, nn.Module]] = []
    for name, child in module.named_children():
        parts += (
            [(f"{name}.{n}", c) for n, c in child.named_children()] if name == "model" else [(name, child)]
        )
    return parts
