"""From a recipe's name to a run."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from xdecoder.jobs.distributed import World, join_world, leave_world
from xdecoder.training.loop import Recipe, RunConfig, train
from xdecoder.training.progress import memory_gib
from xdecoder.training.recipes import RECIPES
from xdecoder.training.settings import override


def list_recipes() -> str:
    """Every recipe with the first line of its description."""
    width = max(map(len, RECIPES))
    return "\n".join(
        f"{name:{width}}  {(kind.__doc__ or '').splitlines()[0]}" for name, kind in RECIPES.items()
    )


def run_recipe(
    name: str,
    *,
    out: Path,
    start: Path | None = None,
    settings: Sequence[str] = (),
    dry_run: bool = False,
    device: str | None = None,
) -> None:
    """Train with a recipe, in every process that torchrun started.

    Args:
        name: of the recipe.
        out: the run's folder. A run that is found there goes on.
        start: a run whose averaged weights to start from.
        settings: "name=value"; `run.` before the name changes how the run goes.
        dry_run: print sizes and estimates, and stop.
        device: "cpu" or "cuda"; by default CUDA where there is one.

    Raises:
        ValueError: there is no such recipe or setting, or another run is going on in the folder.
        FileNotFoundError: there is nothing to start from.
    """
    if name not in RECIPES:
        raise ValueError(f"no recipe {name!r}; there are {', '.join(RECIPES)}")
    training = override(RECIPES[name](), [s for s in settings if not s.startswith("run.")])
    run = override(RunConfig(folder=out), [s.removeprefix("run.") for s in settings if s.startswith("run.")])
    if start is not None:
        training = dataclasses.replace(training, start=start)
    world = join_world(device)
    try:
        if dry_run:
            if world.is_first:
                print(estimate(training, world))
            return
        train(training, run, world, description={"recipe": name, "settings": list(settings)})
    finally:
        leave_world()


def estimate(training: Recipe, world: World) -> str:
    """Sizes of the model and the run, and what a few steps on this machine say of memory and time."""
    module = training.build().to(world.device).train()
    lines = ["part                     parameters"]
    for name, part in _parts(module):
        lines.append(f"{name:24} {sum(p.numel() for p in part.parameters()) / 1e6:8.2f} M")
    total = sum(p.numel() for p in module.parameters())
    lines.append(f"{'all':24} {total / 1e6:8.2f} M")
    copies = 5 if training.optimizer.ema_decay else 4  # weights, gradients, two moments, average
    lines.append(f"weights, gradients, optimizer: {copies * total * 4 / 2**30:.2f} GiB a process in float32")
    source = training.build_source()
    first = 0
    seconds = 0.0
    for phase in training.phases:
        batch = source.batch(first, world.rank, world.size).to(world.device)
        took: list[float] = []
        for _ in range(2):
            began = time.monotonic()
            terms = module(batch)
            torch.stack(list(terms.values())).sum().backward()
            module.zero_grad(set_to_none=True)
            took.append(time.monotonic() - began)
        seconds += took[-1] * phase.steps
        lines.append(
            f"{phase.name}: {phase.steps} steps of {phase.images} images, {took[-1]:.2f} s each, "
            f"{took[-1] * phase.steps / 3600:.2f} h"
        )
        first += phase.steps
    lines.append(f"at most {memory_gib():.2f} GiB held in these steps, activations among them")
    lines.append(f"about {seconds / 3600:.1f} h on this machine as it is now, in {world.size} process(es)")
    return "\n".join(lines)


def _parts(module: nn.Module) -> list[tuple[str, nn.Module]]:
    parts: list[tuple[str, nn.Module]] = []
    for name, child in module.named_children():
        parts += (
            [(f"{name}.{n}", c) for n, c in child.named_children()] if name == "model" else [(name, child)]
        )
    return parts
