"""The training loop: batches in, losses down, checkpoints and numbers out."""

from __future__ import annotations

import json
import math
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from xdecoder.bounds import require_at_least
from xdecoder.jobs.distributed import (
    World,
    average_small_gradients,
    mean_over_processes,
    replicate,
    shard,
    wait_for_all,
    whole,
)
from xdecoder.jobs.run_lock import lock_run
from xdecoder.training import checkpoints
from xdecoder.training.activation_checkpointing import checkpoint_activations
from xdecoder.training.batches import Batch, BatchSource, stream
from xdecoder.training.compile import compile_encoders
from xdecoder.training.optimizer import (
    EMA,
    Cosine,
    OptimizerConfig,
    Schedule,
    build_optimizer,
    named_tensors,
    set_lr,
)
from xdecoder.training.progress import JsonLines, Progress, TensorBoard, Writer


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of a run with its own schedule.

    Attributes:
        name: what the terminal calls it.
        steps: its length.
        images: images a step, over all processes; what the speed is counted in.
        schedule: of the learning rate, from the phase's first step to its last.
        lr_factor: the phase's factor of the learning rate.
    """

    name: str
    steps: int
    images: int
    schedule: Schedule = field(default_factory=Cosine)
    lr_factor: float = 1.0


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """How a run goes, whatever it trains.

    Attributes:
        folder: where checkpoints, numbers and samples go.
        seed: of everything random.
        workers: processes a process makes its batches in; 0 makes them in line, while the step waits.
        log_every: steps between two lines of numbers.
        save_every: steps between two checkpoints.
        keep: checkpoints kept.
        validate_every: steps between two validations; 0 for none but the last.
        accumulate: batches that a process's share of a step is cut into, one after the other, to save memory.
            Contrastive losses then see the negatives of one cut alone.
        sharded: share gradients and the optimizer's state out among the processes (FSDP2) instead of keeping
            them in each (DDP).
        activation_checkpointing: keep no activations inside the encoders' and the decoder's blocks, but
            compute them again on the way back: a third more arithmetic for a fraction of the memory.
        compile: let `torch.compile` build the encoders, which takes minutes at the start.
        bfloat16: compute in bfloat16 where autocast thinks it safe.
        tensorboard: write TensorBoard's files too.
    """

    folder: Path
    seed: int = 0
    workers: int = 1
    log_every: int = 20
    save_every: int = 200
    keep: int = 2
    validate_every: int = 500
    accumulate: int = 1
    sharded: bool = False
    activation_checkpointing: bool = False
    compile: bool = False
    bfloat16: bool = False
    tensorboard: bool = False

    def __post_init__(self) -> None:
        require_at_least(0, self, "workers", "validate_every")
        require_at_least(1, self, "log_every", "save_every", "keep", "accumulate")


@dataclass(frozen=True, kw_only=True)
class Recipe(ABC):
    """What is trained; every recipe is one.

    Attributes:
        start: a run's folder or a model's whose weights to start from; None starts from nothing.
    """

    start: Path | None = None

    @property
    @abstractmethod
    def phases(self) -> tuple[Phase, ...]:
        """The stretches of the run, in order."""

    @property
    @abstractmethod
    def optimizer(self) -> OptimizerConfig:
        """How parameters move."""

    @abstractmethod
    def build_source(self) -> BatchSource[Batch]:
        """Where batches come from."""

    @abstractmethod
    def build(self) -> nn.Module:
        """The module whose forward takes a batch and gives the weighted terms of its loss.

        Terms without a gradient are shown, not learned from.
        """

    @abstractmethod
    def validate(self, module: nn.Module, folder: Path, step: int) -> Mapping[str, float]:
        """Scores of the module, which is in evaluation mode; called in the first process alone."""

    @abstractmethod
    def export(self, module: nn.Module, folder: Path) -> None:
        """Write what inference needs."""


class NonFiniteLossError(RuntimeError):
    """A loss was not a number; the batch lies beside the run's numbers."""


def train(
    training: Recipe, run: RunConfig, world: World, *, description: Mapping[str, object] | None = None
) -> None:
    """Run, or go on with, a training.

    A run is resumed by starting it again with the same folder: it goes on from the newest complete checkpoint
    as if it had never stopped.

    Args:
        training: what is trained.
        run: how.
        world: the processes; all call this together.
        description: what the folder's `recipe.json` says.

    Raises:
        ValueError: another run is going on in the folder.
        NonFiniteLossError: with the batch saved.
    """
    with lock_run(run.folder) if world.is_first else nullcontext():
        if world.is_first and description is not None:
            (run.folder / "recipe.json").write_text(json.dumps(description, indent=1))
        _train(training, run, world)


def _train(training: Recipe, run: RunConfig, world: World) -> None:
    torch.manual_seed(run.seed)
    module = training.build().to(world.device).train()
    if run.activation_checkpointing:
        checkpoint_activations(module)
    if run.compile:
        compile_encoders(module)
    wrapped = shard(module, world) if run.sharded and world.size > 1 else replicate(module, world)
    optimizer = build_optimizer(module, training.optimizer)
    decay = training.optimizer.ema_decay
    ema = EMA(module, decay) if decay else None
    steps = sum(phase.steps for phase in training.phases)
    saved = run.folder / "checkpoints"
    newest = checkpoints.newest(saved)
    first = 0
    if newest is not None:
        first = checkpoints.load(newest, world=world, model=module, optimizer=optimizer, ema=ema)
    batches = stream(
        training.build_source(),
        first=first,
        last=steps,
        rank=world.rank,
        world_size=world.size,
        accumulate=run.accumulate,
        workers=run.workers,
    )
    with ExitStack() as stack:
        log = stack.enter_context(_Log(run, training, world, first, steps))
        began = time.monotonic()
        for step, own in enumerate(batches, start=first):
            phase, factor = lr_at(training.phases, step)
            set_lr(optimizer, factor)
            waited = time.monotonic() - began
            terms = take_step(
                wrapped,
                optimizer,
                [b.to(world.device) for b in own],
                training.optimizer.max_grad_norm,
                run,
                world,
                step,
            )
            if ema is not None:
                ema.update(module, step)
            done = step + 1
            log.take(done, phase, terms, lr=factor * training.optimizer.lr, waited=waited)
            if done % run.save_every == 0 or done == steps:
                _save(saved, done, run, world, module, optimizer, ema, log)
            if done == steps or (run.validate_every and done % run.validate_every == 0):
                tensors = {
                    name: whole(t)
                    for name, t in (ema.tensors if ema else dict(named_tensors(module))).items()
                }
                if world.is_first:
                    _report(training, run, world, tensors, done, log)
                wait_for_all()
            began = time.monotonic()


def _report(
    training: Recipe, run: RunConfig, world: World, tensors: Mapping[str, Tensor], done: int, log: _Log
) -> None:
    """Score and export a copy of the trained module, which itself goes on as it is."""
    with torch.random.fork_rng():
        copy = training.build().to(world.device)
    for name, tensor in named_tensors(copy):
        tensor.copy_(tensors[name])
    log.score(done, training.validate(copy.eval(), run.folder, done))
    training.export(copy, run.folder / "model")


def lr_at(phases: tuple[Phase, ...], step: int) -> tuple[Phase, float]:
    """The phase that a step belongs to, and the learning rate's factor there."""
    for phase in phases:
        if step < phase.steps:
            return phase, phase.lr_factor * phase.schedule.factor(step, phase.steps)
        step -= phase.steps
    raise ValueError(f"the run ends {step} steps earlier")


def take_step(
    module: nn.Module,
    optimizer: Optimizer,
    batches: Sequence[Batch],
    max_grad_norm: float,
    run: RunConfig,
    world: World,
    step: int,
) -> dict[str, Tensor]:
    """One step of the optimizer; the means of the batches' terms."""
    torch.manual_seed((run.seed * 1_000_003 + step) * 4099 + world.rank)
    optimizer.zero_grad(set_to_none=True)
    means: dict[str, Tensor] = {}
    for index, batch in enumerate(batches):
        with ExitStack() as stack:
            if index + 1 < len(batches) and isinstance(module, DistributedDataParallel):
                stack.enter_context(module.no_sync())
            with torch.autocast(world.device.type, dtype=torch.bfloat16, enabled=run.bfloat16):
                terms: dict[str, Tensor] = module(batch)
            total = torch.stack([term for term in terms.values() if term.requires_grad]).sum()
            # One process's bad loss stops them all, so that none waits for another.
            if not math.isfinite(float(mean_over_processes(total.detach()))):
                raise _bad(run, world, step, batch, terms)
            (total / len(batches)).backward()
        for name, term in {"total": total, **terms}.items():
            share = term.detach() / len(batches)
            means[name] = means[name] + share if name in means else share
    if isinstance(module, FSDPModule):
        average_small_gradients(module)
    norm = whole(nn.utils.clip_grad_norm_(module.parameters(), max_grad_norm))
    optimizer.step()
    return {**means, "gradient": norm}


def _bad(
    run: RunConfig, world: World, step: int, batch: Batch, terms: Mapping[str, Tensor]
) -> NonFiniteLossError:
    values = {name: float(term.detach()) for name, term in terms.items()}
    path = run.folder / f"bad_batch_step{step}_rank{world.rank}.pt"
    torch.save({"step": step, "batch": batch, "terms": values}, path)
    return NonFiniteLossError(
        f"the loss of step {step} is not finite: {values}; its batch is in {path}. Lower the learning "
        "rate, or look at the batch with torch.load(path, weights_only=False)"
    )


def _save(
    folder: Path,
    done: int,
    run: RunConfig,
    world: World,
    module: nn.Module,
    optimizer: Optimizer,
    ema: EMA | None,
    log: _Log,
) -> None:
    """Save; a full disk costs the checkpoint, not the run."""
    try:
        checkpoints.save(folder, done, world=world, model=module, optimizer=optimizer, ema=ema, keep=run.keep)
    except OSError as error:
        log.say(f"{error}. The run goes on; make room in {folder}")


class _Log:
    """Sums numbers up between two lines of them."""

    def __init__(self, run: RunConfig, training: Recipe, world: World, first: int, steps: int) -> None:
        self.run = run
        self.world = world
        self.first = first
        self.writers: list[Writer] = []
        self.scores: list[Writer] = []
        self.progress: Progress | None = None
        if world.is_first:
            self.writers.append(JsonLines(run.folder / "metrics.jsonl", first))
            self.scores.append(JsonLines(run.folder / "scores.jsonl", first))
            if run.tensorboard:
                board = TensorBoard(run.folder / "tensorboard", first)
                self.writers.append(board)
                self.scores.append(board)
            self.progress = Progress(steps=steps, first=first)
        self._sums: dict[str, Tensor] = {}
        self._count = 0
        self._images = 0
        self._waited = 0.0
        self._phase = ""

    def __enter__(self) -> _Log:
        if self.progress is not None:
            self.progress.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self.progress is not None:
            self.progress.__exit__()

    def take(self, done: int, phase: Phase, terms: Mapping[str, Tensor], *, lr: float, waited: float) -> None:
        """Take the numbers of a step; write those of the last few where it is time."""
        if phase.name != self._phase:
            self._sums, self._count, self._images, self._waited, self._phase = {}, 0, 0, 0.0, phase.name
            if self.progress is not None:
                self.progress.restart(done - 1)
        for name, value in terms.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._count += 1
        self._images += phase.images
        self._waited += waited
        if done % self.run.log_every:
            return
        names = list(self._sums)
        means = mean_over_processes(torch.stack([self._sums[n].float() for n in names]) / self._count)
        if self.progress is not None:
            values = {f"loss/{n}": v for n, v in zip(names, means.tolist(), strict=True)}
            values["gradient"] = values.pop("loss/gradient")
            speed = self.progress.speed(done, self._images)
            values |= {"lr": lr, **speed, "waited_share": self._waited / speed.pop("seconds")}
            for writer in self.writers:
                writer.write(done, values)
            self.progress.show(done, phase.name, values)
        self._sums, self._count, self._images, self._waited = {}, 0, 0, 0.0

    def score(self, done: int, scores: Mapping[str, float]) -> None:
        """Write the scores of a validation."""
        for writer in self.scores:
            writer.write(done, scores)
        self.say(f"step {done}: " + "  ".join(f"{k} {v:.3f}" for k, v in scores.items()))

    def say(self, message: str) -> None:
        """Tell the user something, from whichever process."""
        if self.progress is not None:
            self.progress.say(message)
        else:
            print(f"[rank {self.world.rank}] {message}", file=sys.stderr)
