"""Runs one after the other, shared by as many processes as there are: each takes what nobody else has."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal, final

import torch

from xdecoder.jobs.distributed import World
from xdecoder.jobs.folder_lock import hold_folder
from xdecoder.predictor.predictor import Predictor
from xdecoder.reproduction.protocol import Protocol
from xdecoder.reproduction.recipe import cell_recipe, recipe_digest
from xdecoder.reproduction.runs import (
    DamagedRunError,
    Result,
    Run,
    expected_hours,
    read_failure,
    read_result,
    runs_begun,
    training_cpu_seconds,
    write_failure,
    write_result,
)
from xdecoder.reproduction.scoring import score_model
from xdecoder.training.config import RunConfig
from xdecoder.training.loop import NonFiniteLossError, train
from xdecoder.training.progress import cpu_seconds
from xdecoder.training.run_folder import MODEL
from xdecoder.training.start import start_digest
from xdecoder.weights.folder import holds_model, load_model

_SAVES: Final = 20
_LOG_EVERY: Final = 20
_SECONDS_BETWEEN_LOOKS: Final = 10.0

_Outcome = Literal["over", "held elsewhere", "over the budget"]


class _HeldElsewhereError(Exception):
    """Another process is at a run."""


@final
class Work:
    """What is to be run, and where.

    Args:
        out: the folder of all runs.
        protocol: what all runs have in common.
        world: this process, and where it computes.
        budget: hours of CPU time that this process may use; None for as many as it takes.
        say: takes a line for who waits.

    Attributes:
        failed: runs that came to no end, whose files can be mended; this process does not try them again.

    Raises:
        ValueError: the budget is no number above 0.
    """

    def __init__(
        self,
        *,
        out: Path,
        protocol: Protocol,
        world: World,
        budget: float | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        if budget is not None and not 0 < budget < math.inf:
            raise ValueError(f"--budget must be a number of hours above 0, got {budget}")
        self.out = out
        self.protocol = protocol
        self.world = world
        self.budget = budget
        self.say = say
        self.failed: set[Run] = set()

    def run_all(self, runs: Sequence[Run]) -> tuple[Run, ...]:
        """Run what is not done yet, each after the run that it goes on from; what is left in the end.

        A run whose scores are there is run again only for its model, where another is to go on from it.

        A run that was stopped, by whatever, goes on from its last checkpoint. Runs that other processes are
        at are left to them; this one waits for them only while others of its runs go on from them. A run that
        fails is said, and the others go on.

        Raises:
            ValueError: the budget is too small for one run.
        """
        began = False
        while ready := [run for run in self._left(runs) if self._is_ready(run)]:
            outcomes: dict[Run, _Outcome] = {}
            for run in ready:
                outcomes[run] = self._try(run, runs)
                if outcomes[run] == "over":
                    began = True
                    break
            else:
                held = [run for run in ready if outcomes[run] == "held elsewhere"]
                if not self._waits_for(held, runs):
                    self._say_budget([run for run in ready if run not in held], began=began)
                    break
        return self._left(runs)

    def _left(self, runs: Sequence[Run]) -> tuple[Run, ...]:
        return tuple(run for run in runs if self._is_wanted(run, runs))

    def _is_wanted(self, run: Run, runs: Sequence[Run]) -> bool:
        """Whether a run's scores are missing, or its model, from which others go on that are wanted."""
        if any(other.start == run and self._is_wanted(other, runs) for other in runs):
            return not self._has_model(run)
        return run.cell.stage != "warm start" and self._result(run) is None

    def _is_ready(self, run: Run) -> bool:
        if run in self.failed or read_failure(self.out, run) is not None:
            return False
        return run.start is None or self._has_model(run.start)

    def _result(self, run: Run) -> Result | None:
        """What a run has reached; None where it is not done, or its file is damaged, which is said once."""
        try:
            return read_result(self.out, run, self.protocol)
        except DamagedRunError as error:
            self._fail(run, str(error))
            return None

    def _fail(self, run: Run, reason: str) -> None:
        if run not in self.failed:
            self.say(f"{run} failed: {reason}")
            self.failed.add(run)

    def _has_model(self, run: Run) -> bool:
        return self._result(run) is not None and holds_model(run.folder(self.out) / MODEL)

    def _waits_for(self, held: Sequence[Run], runs: Sequence[Run]) -> bool:
        """Wait for another process's run, if others go on from it; whether there was one."""
        awaited = [run for run in held if any(other.start == run for other in self._left(runs))]
        if awaited:
            self.say(f"waits for {awaited[0]}, which another process is at")
            while self._is_held(awaited[0]):
                time.sleep(_SECONDS_BETWEEN_LOOKS)
        return bool(awaited)

    def _is_held(self, run: Run) -> bool:
        try:
            with hold_folder(run.folder(self.out), _refuse):
                return False
        except _HeldElsewhereError:
            return True

    def _say_budget(self, dear: Sequence[Run], *, began: bool) -> None:
        """Say which runs the budget is too small for.

        Raises:
            ValueError: no run was begun.
        """
        if not dear:
            return
        hours, run = min((self._hours(run), str(run)) for run in dear)
        if began:
            self.say(
                f"the budget of {self.budget:g} hours does not reach for {run} (about {hours:.2g} hours)"
            )
            return
        least = math.ceil(1000 * (cpu_seconds() / 3600 + hours)) / 1000
        raise ValueError(
            f"--budget {self.budget:g} is too small for one run: {run} takes about {hours:.2g} hours of "
            f"CPU time; give --budget {least:g} or more"
        )

    def _hours(self, run: Run) -> float:
        """What is left of a run, as its cell's other runs took, or as the pilot says."""
        results = [self._result(other) for other in runs_begun(self.out, run.name)]
        whole = expected_hours([result for result in results if result is not None], self.protocol)
        return max(0.0, whole - training_cpu_seconds(self.out, run) / 3600)

    def _try(self, run: Run, runs: Sequence[Run]) -> _Outcome:
        """Train and score a run, if nobody else is at it and the budget allows it."""
        folder = run.folder(self.out)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with hold_folder(folder, _refuse):
                if not self._is_wanted(run, runs):
                    return "over"
                if self.budget is not None and cpu_seconds() / 3600 + self._hours(run) > self.budget:
                    return "over the budget"
                self.say(f"{run}: {run.cell.summary}")
                self._finish(run, folder)
                if self._is_wanted(run, runs):
                    self._fail(run, f"its model is not whole. Delete {folder} to make the run anew")
        except _HeldElsewhereError:
            return "held elsewhere"
        except NonFiniteLossError as error:
            self.say(f"{run} failed: {error}")
            write_failure(self.out, run, str(error))
        except DamagedRunError as error:
            self._fail(run, str(error))
        except (OSError, ValueError, MemoryError, torch.OutOfMemoryError) as error:
            self._fail(run, f"{error or type(error).__name__}. Delete {folder} to make the run anew")
        return "over"

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
            keep=2,
            validate_every=0,
        )
        train(curriculum, config, self.world, name="cell")
        before = cpu_seconds()
        scores = {} if run.cell.stage == "warm start" else self._score(folder)
        spent = training_cpu_seconds(self.out, run) + cpu_seconds() - before
        result = Result(
            run=run,
            scores=scores,
            cpu_seconds=round(spent, 1),
            steps=steps,
            recipe=recipe_digest(run.name, run.seed, self.protocol),
            start="" if start is None else start_digest(start),
        )
        write_result(self.out, result)
        shown = ("val/pq", "val/referring_ciou", "val/cider", "val/retrieval")
        told = [f"{name} {scores[name]:.1f}" for name in shown if name in scores]
        self.say(f"{run}: {', '.join(told) or 'done'}")

    def _score(self, folder: Path) -> dict[str, float]:
        model, tokenizer = load_model(folder / MODEL, device=self.world.device, dtype=torch.float32)
        predictor = Predictor(model, tokenizer)
        return score_model(predictor, scenes=self.protocol.scenes, size=self.protocol.image_size)


def _refuse() -> None:
    raise _HeldElsewhereError
