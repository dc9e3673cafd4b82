"""Runs on disk: which there are, which are done, what each has cost."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, final

from xdecoder.jobs.files import read_file, read_text, write_whole
from xdecoder.reproduction.cells import CELLS, Cell
from xdecoder.reproduction.protocol import Protocol

_DESCRIPTION: Final = "reproduction.json"
_SCORES: Final = "scores.json"
_METRICS: Final = "metrics.jsonl"


@final
@dataclass(frozen=True, kw_only=True)
class Run:
    """One training of a cell.

    Attributes:
        name: of the cell.
        seed: of its weights and scenes.
    """

    name: str
    seed: int

    @property
    def cell(self) -> Cell:
        """What is trained."""
        return CELLS[self.name]

    @property
    def start(self) -> Run | None:
        """The run that it goes on from."""
        return Run(name=self.cell.start, seed=self.seed) if self.cell.start else None

    def folder(self, out: Path) -> Path:
        """Where its files lie."""
        return out / "runs" / self.name / f"seed-{self.seed}"

    def __str__(self) -> str:
        return f"{self.name}, seed {self.seed}"


@final
@dataclass(frozen=True, kw_only=True)
class Result:
    """A run that is done.

    Attributes:
        run: which.
        scores: its figures, in percent; none of a warm start.
        cpu_seconds: processor time of training and scoring.
        steps: of training.
    """

    run: Run
    scores: Mapping[str, float]
    cpu_seconds: float
    steps: int


def plan_runs(cells: Sequence[str], seeds: int) -> list[Run]:
    """All runs, seed by seed, so that what is done at any time can be compared.

    Raises:
        ValueError: seeds is less than 1.
    """
    if seeds < 1:
        raise ValueError(f"--seeds must be at least 1, got {seeds}")
    return [Run(name=name, seed=seed) for seed in range(seeds) for name in cells]


def enter_folder(out: Path, protocol: Protocol) -> None:
    """Say in a folder what its runs have in common, or compare it with what is there.

    Raises:
        ValueError: the folder holds runs of another version, or runs of other lengths.
    """
    if (out / _DESCRIPTION).is_file():
        check_folder(out, protocol)
        return
    out.mkdir(parents=True, exist_ok=True)
    described = {"xdecoder": version("xdecoder"), "protocol": _described(protocol)}
    write_whole(out / _DESCRIPTION, json.dumps(described, indent=1).encode())


def check_folder(out: Path, protocol: Protocol) -> None:
    """Compare what a folder's runs have in common with a protocol.

    Raises:
        FileNotFoundError: there are no runs.
        ValueError: the folder holds runs of another version, or runs of other lengths.
    """
    path, described = out / _DESCRIPTION, _described(protocol)
    if not path.is_file():
        raise FileNotFoundError(f"no runs in {out}: `xdecoder reproduce --out {out}` begins them")
    try:
        there = json.loads(read_file(path))["protocol"]
        differing = [
            f"{name} {there.get(name)!r} there, {described.get(name)!r} now"
            for name in {**there, **described}
            if there.get(name) != described.get(name)
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path} is damaged ({error}): give another --out, or delete the folder to run all again"
        ) from error
    if differing:
        raise ValueError(
            f"{out} holds runs made otherwise ({'; '.join(differing)}), which cannot be compared with new "
            "ones: give another --out, or delete the folder"
        )


def _described(protocol: Protocol) -> dict[str, Any]:
    """What decides the runs, as plain JSON values."""
    described: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(protocol)))
    del described["run_hours"]
    return described


def write_result(out: Path, result: Result) -> None:
    """Say that a run is done."""
    kept = {"scores": dict(result.scores), "cpu_seconds": result.cpu_seconds, "steps": result.steps}
    write_whole(result.run.folder(out) / _SCORES, json.dumps(kept, indent=1).encode())


def read_result(out: Path, run: Run) -> Result | None:
    """What a run has reached; None where it is not done.

    Raises:
        ValueError: its file is damaged.
    """
    path = run.folder(out) / _SCORES
    if not path.is_file():
        return None
    try:
        kept = json.loads(read_file(path))
        return Result(
            run=run,
            scores={str(name): float(value) for name, value in kept["scores"].items()},
            cpu_seconds=float(kept["cpu_seconds"]),
            steps=int(kept["steps"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}): delete it, and the run is scored again") from error


def training_cpu_seconds(out: Path, run: Run) -> float:
    """Processor time of a run's training, over all the processes that worked on it."""
    path = run.folder(out) / _METRICS
    lines = read_text(path).splitlines() if path.is_file() else []
    return sum(float(json.loads(line)["cpu_seconds"]) for line in lines)
