"""Runs one after the other, shared by as many processes as there are: each takes what nobody else has."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

import numpy as np
import torch

from xdecoder.jobs.distributed import World
from xdecoder.jobs.folder_lock import hold_folder
from xdecoder.predictor.predictor import Predictor
from xdecoder.reproduction.protocol import Protocol
from xdecoder.reproduction.recipe import cell_recipe
from xdecoder.reproduction.runs import Result, Run, read_result, training_cpu_seconds, write_result
from xdecoder.reproduction.scoring import score_model
from xdecoder.training.config import RunConfig
from xdecoder.training.loop import NonFiniteLossError, train
from xdecoder.training.progress import cpu_seconds
from xdecoder.training.run_folder import MODEL
from xdecoder.weights.folder import load_model

_SAVES: Final = 20
_LOG_EVERY: Final = 20
_SECONDS_BETWEEN_LOOKS: Final = 10.0


class _HeldElsewhereError(Exception):
    """Another process is at a run."""


@final
@dataclass(frozen=True, kw_only=True)
class Work:
    """What is to be run, and where.

    Attributes:
        out: the folder of all runs.
        protocol: what all runs have in common.
        world: this process, and where it computes.
        budget: hours of one core that this process may use; None for as many as it takes.
        say: takes a line for who waits.
        failed: runs whose loss was not a number; they are not tried again by this process.
    """

    out: Path
    protocol: Protocol
    world: World
    budget: float | None = None
    say: Callable[[str], None] = print
    failed: set[Run] = field(default_factory=set)

    def run_all(self, runs: Sequence[Run]) -> tuple[Run, ...]:
        """Run what is not done yet, each after the run that it goes on from; what is left in the end.

        A run whose scores are there is run again only for its model, where another is to go on from it.
        A run that was stopped, by whatever, goes on from its last checkpoint. Runs that other processes are
        at are left to them; this one waits for them only while others of its runs go on from them.

        Raises:
            ValueError: the budget is too small for one run.
        """
        began = False
        while ready := [run for run in self._left(runs) if self._is_ready(run)]:
            done = False
            for run in ready:
                if not self._affords(run, began=began):
                    return self._left(runs)
                if done := self._try(run, runs):
                    break
            began |= done
            if not done:
                if not self._waited_for(ready, runs):
                    break
                time.sleep(_SECONDS_BETWEEN_LOOKS)
        return self._left(runs)

    def _left(self, runs: Sequence[Run]) -> tuple[Run, ...]:
        return tuple(run for run in runs if self._is_wanted(run, runs))

    def _is_wanted(self, run: Run, runs: Sequence[Run]) -> bool:
        """Whether a run's scores are missing, or its model, from which others go on that are wanted."""
        if any(other.start == run and self._is_wanted(other, runs) for other in runs):
            return not self._has_model(run)
        return run.cell.stage != "warm start" and not self._is_done(run)

    def _waited_for(self, held: Sequence[Run], runs: Sequence[Run]) -> bool:
        """Whether runs go on from any of those that other processes are at."""
        return any(run.start in held and run.start not in self.failed for run in runs)

    def _is_ready(self, run: Run) -> bool:
        return run not in self.failed and (run.start is None or self._has_model(run.start))

    def _has_model(self, run: Run) -> bool:
        return self._is_done(run) and (run.folder(self.out) / MODEL).exists()

    def _is_done(self, run: Run) -> bool:
        return read_result(self.out, run) is not None

    def _affords(self, run: Run, *, began: bool) -> bool:
        """Whether the budget is enough for a run.

        Raises:
            ValueError: it is not, and nothing was run.
        """
        if self.budget is None:
            return True
        needed, used = self._hours(run), cpu_seconds() / 3600
        if used + needed <= self.budget:
            return True
        if not began:
            raise ValueError(
                f"--budget {self.budget:g} is too small for one run: {run} takes about {needed:.2g} hours of "
                f"one core; give --budget {used + needed:.2g} or more"
            )
        self.say(f"the budget of {self.budget:g} hours does not reach for {run} (about {needed:.2g} hours)")
        return False

    def _hours(self, run: Run) -> float:
        """What a run takes, as the same cell took with other seeds, or as the pilot says."""
        folders = (self.out / "runs" / run.name).glob("seed-*")
        seeds = [int(folder.name.removeprefix("seed-")) for folder in folders]
        results = [read_result(self.out, Run(name=run.name, seed=seed)) for seed in seeds]
        taken = [result.cpu_seconds / 3600 for result in results if result is not None]
        return float(np.mean(taken)) if taken else self.protocol.run_hours

    def _try(self, run: Run, runs: Sequence[Run]) -> bool:
        """Train and score a run, if nobody else is at it; whether that is over, well or badly."""
        folder = run.folder(self.out)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with hold_folder(folder, _refuse):
                if not self._is_wanted(run, runs):
                    return True
                self.say(f"{run}: {run.cell.summary}")
                self._finish(run, folder)
        except _HeldElsewhereError:
            return False
        except NonFiniteLossError as error:
            self.say(f"{run} failed: {error}")
            self.failed.add(run)
        return True

    def _finish(self, run: Run, folder: Path) -> None:
        """Train, or go on training, and score."""
        start = None if run.start is None else run.start.folder(self.out)
        curriculum = cell_recipe(run.cell, run.seed, self.protocol, start).open()
        steps = sum(phase.steps for phase in curriculum.phases)
        config = RunConfig(
            folder=folder,
            seed=run.seed,
            workers=0,
            log_every=min(_LOG_EVERY, steps),
            save_every=max(1, steps // _SAVES),
            keep=1,
            validate_every=0,
        )
        train(curriculum, config, self.world, name="cell")
        before = cpu_seconds()
        scores = {} if run.cell.stage == "warm start" else self._score(folder)
        spent = training_cpu_seconds(self.out, run) + cpu_seconds() - before
        write_result(self.out, Result(run=run, scores=scores, cpu_seconds=round(spent, 1), steps=steps))
        shown = ("val/pq", "val/referring_ciou", "val/cider", "val/retrieval")
        figures = [f"{name} {scores[name]:.1f}" for name in shown if name in scores]
        self.say(f"{run}: {', '.join(figures) or 'done'}")

    def _score(self, folder: Path) -> dict[str, float]:
        model, tokenizer = load_model(folder / MODEL, device=self.world.device, dtype=torch.float32)
        predictor = Predictor(model, tokenizer)
        return score_model(predictor, scenes=self.protocol.scenes, size=self.protocol.image_size)


def _refuse() -> None:
    raise _HeldElsewhereError
