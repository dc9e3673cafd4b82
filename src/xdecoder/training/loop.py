"""The training loop: batches in, losses down, checkpoints and numbers out."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from xdecoder.jobs.distributed import (
    World,
    average_small_gradients,
    number_of_first,
    replicate,
    shard,
    wait_for_all,
    whole,
)
from xdecoder.jobs.gather import mean_over_world
from xdecoder.jobs.run_lock import lock_run
from xdecoder.training import checkpoints, run_folder
from xdecoder.training.activation_checkpointing import checkpoint_activations
from xdecoder.training.batches import Batch, stream, told_of_workers
from xdecoder.training.compile import compile_encoders
from xdecoder.training.config import RunConfig
from xdecoder.training.curriculum import Curriculum, Phase
from xdecoder.training.optimizer import EMA, build_optimizer, named_tensors, set_lr
from xdecoder.training.progress import RunLog, read_scores
from xdecoder.training.recipe import Recipe
from xdecoder.training.run_folder import BEST_MODEL, CHECKPOINTS, MODEL

_OPEN, _FINISHED, _REFUSED = range(3)


class NonFiniteLossError(RuntimeError):
    """A loss was not a number; the batch lies beside the run's numbers."""


def train(curriculum: Curriculum[Recipe], run: RunConfig, world: World, *, name: str | None = None) -> None:
    """Run, or go on with, a training.

    A run is resumed by starting it again with the same folder: it goes on from the newest good checkpoint as
    if it had never stopped, and a run that was stopped before its last export is ended.

    Args:
        curriculum: what is trained.
        run: its folder, checkpoints, processes and precision.
        world: the processes; all call this together.
        name: of the recipe; its class's unless told.

    Raises:
        FileNotFoundError: data or what to start from is missing.
        ValueError: another run is going on in the folder, or it holds one made otherwise; there is nothing to
            learn from; too many samples cannot be read.
        NonFiniteLossError: with the batch saved.
    """
    with ExitStack() as stack:
        if world.is_first:
            try:
                stack.enter_context(lock_run(run.folder))
                finished = _open_run(curriculum, run, name or type(curriculum.recipe).__name__)
            except Exception:
                number_of_first(_REFUSED)
                raise
            state = number_of_first(_FINISHED if finished else _OPEN)
        else:
            state = number_of_first(_OPEN)
        if state == _REFUSED:
            raise ValueError("the run does not begin; the first process says why")
        if state == _OPEN:
            _Training(curriculum, run, world).go()


def _open_run(curriculum: Curriculum[Recipe], run: RunConfig, name: str) -> bool:
    """Look at the data and at the run's folder, in the first process; whether the run there is finished."""
    notes = curriculum.check()
    changing = {"seed": run.seed, "accumulate": run.accumulate, "bfloat16": run.bfloat16}
    finished = run_folder.enter(run.folder, run_folder.describe(name, curriculum, changing))
    for line in (f"already finished: the model is in {run.folder / MODEL}",) if finished else notes:
        print(line, flush=True)
    return finished


class _Training:
    """The state of a run in one process."""

    def __init__(self, curriculum: Curriculum[Recipe], run: RunConfig, world: World) -> None:
        self.curriculum = curriculum
        self.run = run
        self.world = world
        self.steps = sum(phase.steps for phase in curriculum.phases)
        self.saved = run.folder / CHECKPOINTS
        torch.manual_seed(run.seed)
        self.module = curriculum.build().to(world.device).train()
        if run.activation_checkpointing:
            checkpoint_activations(self.module)
        if run.compile:
            compile_encoders(self.module)
        sharded = run.sharded and world.size > 1
        self.wrapped = shard(self.module, world) if sharded else replicate(self.module, world)
        self.optimizer = build_optimizer(self.module, curriculum.recipe.optimizer)
        decay = curriculum.recipe.optimizer.ema_decay
        self.ema = EMA(self.module, decay) if decay else None
        newest, bad = checkpoints.find_newest(self.saved, world)
        for problem in bad:
            print(f"gone past: {problem}", flush=True)
        self.first = 0
        if newest is not None:
            self.first = checkpoints.load(newest, model=self.module, optimizer=self.optimizer, ema=self.ema)
            if world.is_first:
                print(f"goes on from step {self.first}", flush=True)
        self.unreadable: set[str] = set()

    def go(self) -> None:
        """Take the steps that are left, and end the run."""
        validated = self.first - 1 if self._validates_at(self.first) else self.first
        with RunLog(
            self.run.folder,
            first=self.first,
            validated=validated,
            steps=self.steps,
            world=self.world,
            log_every=self.run.log_every,
            tensorboard=self.run.tensorboard,
        ) as log:
            # What was stopped between a checkpoint and its validation is validated first.
            done = self.first
            if not (self._validates_at(done) and self._validate(done, log)):
                done = self._take_steps(log)
            if self.world.is_first:
                run_folder.finish(self.run.folder, done)
                log.say(self._where_models_are())

    def _take_steps(self, log: RunLog) -> int:
        """All steps that are left, unless the scores end the run before; how many are done then."""
        run, world, curriculum = self.run, self.world, self.curriculum
        if self.first == self.steps:
            return self.steps
        batches = stream(
            curriculum.build_source(),
            first=self.first,
            last=self.steps,
            rank=world.rank,
            world_size=world.size,
            accumulate=run.accumulate,
            workers=run.workers,
        )
        began = time.monotonic()
        done = self.first
        with told_of_workers():
            for step, own in enumerate(batches, start=self.first):
                self._tell_unreadable(own, log)
                phase, factor = lr_at(curriculum.phases, step)
                set_lr(self.optimizer, factor)
                waited = time.monotonic() - began
                moved = [batch.to(world.device) for batch in own]
                limit = curriculum.recipe.optimizer.max_grad_norm
                terms = take_step(self.wrapped, self.optimizer, moved, limit, run, world, step)
                if self.ema is not None:
                    self.ema.update(self.module, step)
                done = step + 1
                log.take(done, phase, terms, lr=factor * curriculum.recipe.optimizer.lr, waited=waited)
                validates = self._validates_at(done)
                if done % run.save_every == 0 or done == self.steps or (validates and run.patience):
                    self._save(done, log)
                if validates and self._validate(done, log):
                    break
                began = time.monotonic()
        return done

    def _validates_at(self, done: int) -> bool:
        every = self.run.validate_every
        return done == self.steps or bool(done and every and done % every == 0)

    def _validate(self, done: int, log: RunLog) -> bool:
        """Score and export a copy of the trained module, which itself goes on; whether the run is to end."""
        kept = self.ema.tensors if self.ema else dict(named_tensors(self.module))
        tensors = {name: whole(tensor) for name, tensor in kept.items()}
        ends = False
        if self.world.is_first:
            with torch.random.fork_rng():
                copy = self.curriculum.build().to(self.world.device)
            for name, tensor in named_tensors(copy):
                tensor.copy_(tensors[name])
            log.score(done, self.curriculum.validate(copy.eval(), self.run.folder, done))
            self.curriculum.export(copy, self.run.folder / MODEL)
            headlines = self._headlines()
            best = max(headlines.values(), default=None)
            if best is not None and headlines.get(done) == best:
                self.curriculum.export(copy, self.run.folder / BEST_MODEL)
            since = [step for step, score in headlines.items() if score == best]
            if self.run.patience and since:
                waited = sum(step > since[0] for step in headlines)
                ends = waited >= self.run.patience
                if ends and done < self.steps:
                    log.say(f"no better score since step {since[0]}: the run ends at step {done}")
        wait_for_all()
        return bool(number_of_first(int(ends)))

    def _where_models_are(self) -> str:
        """What a finished run has exported."""
        folder, headlines = self.run.folder, self._headlines()
        told = f"finished: the model of the last step is in {folder / MODEL}"
        if not headlines:
            return told
        best = max(headlines, key=lambda step: (headlines[step], step))
        return f"{told}, that of the best score, of step {best}, in {folder / BEST_MODEL}"

    def _headlines(self) -> dict[int, float]:
        """Step -> headline score, of all validations up to now."""
        found: dict[int, float] = {}
        for step, scores in read_scores(self.run.folder).items():
            headline = self.curriculum.headline(scores)
            if headline is not None:
                found[step] = headline
        return found

    def _save(self, done: int, log: RunLog) -> None:
        """Save; a full disk costs the checkpoint, not the run."""
        try:
            checkpoints.save(
                self.saved,
                done,
                world=self.world,
                model=self.module,
                optimizer=self.optimizer,
                ema=self.ema,
                keep=self.run.keep,
            )
        except OSError as error:
            log.say(f"{error}. The run goes on; make room in {self.saved}")

    def _tell_unreadable(self, batches: Sequence[Batch], log: RunLog) -> None:
        """Tell each sample that could not be read once.

        Raises:
            ValueError: there are too many.
        """
        for problem in [problem for batch in batches for problem in batch.skipped]:
            if problem not in self.unreadable:
                self.unreadable.add(problem)
                log.say(f"left out: {problem}")
        if len(self.unreadable) > self.run.max_unreadable:
            raise ValueError(
                f"{len(self.unreadable)} samples cannot be read, more than run.max_unreadable="
                f"{self.run.max_unreadable}; `xdecoder datasets check` lists what is wrong"
            )


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
            if not math.isfinite(float(mean_over_world(total.detach()))):
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
