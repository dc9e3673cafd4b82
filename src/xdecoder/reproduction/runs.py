"""Runs on disk: which there are, which are done or failed, what each has cost."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, final

from xdecoder.jobs.files import read_file, read_text, write_whole
from xdecoder.jobs.fingerprint import differences
from xdecoder.reproduction.cells import CELLS, Cell
from xdecoder.reproduction.protocol import FULL, SMOKE, Protocol
from xdecoder.reproduction.recipe import recipe_digest

_DESCRIPTION: Final = "reproduction.json"
_RUNS: Final = "runs"
_SCORES: Final = "scores.json"
_FAILURE: Final = "failed.json"
_METRICS: Final = "metrics.jsonl"
_SEED: Final = re.compile("seed-(0|[1-9][0-9]*)")


class DamagedRunError(ValueError):
    """A file of a run cannot be understood; the message names it, and says what to do."""


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
        return out / _RUNS / self.name / f"seed-{self.seed}"

    def __str__(self) -> str:
        return f"{self.name}, seed {self.seed}"


@final
@dataclass(frozen=True, kw_only=True)
class Result:
    """A run that is done.

    Attributes:
        run: which.
        scores: by metric, from 0 to 100 (CIDEr: more); none of a warm start.
        cpu_seconds: CPU time of training and scoring.
        steps: of training.
        recipe: what it was made with (`recipe_digest`).
        start: the digest of the model that it went on from; empty for none.
    """

    run: Run
    scores: Mapping[str, float]
    cpu_seconds: float
    steps: int
    recipe: str
    start: str


def plan_runs(cells: Sequence[str], seeds: int) -> list[Run]:
    """All runs, seed by seed, so that what is done at any time can be compared."""
    return [Run(name=name, seed=seed) for seed in range(seeds) for name in cells]


def runs_begun(out: Path, name: str) -> list[Run]:
    """The runs of a cell that have a folder, by seed."""
    folders = [folder for folder in (out / _RUNS / name).glob("seed-*") if folder.is_dir()]
    seeds = sorted(int(found[1]) for folder in folders if (found := _SEED.fullmatch(folder.name)))
    return [Run(name=name, seed=seed) for seed in seeds]


def enter_folder(out: Path, protocol: Protocol) -> None:
    """Say in a folder what its runs have in common, or compare it with what is there.

    Raises:
        ValueError: the folder holds runs of another version, of other lengths, or of no known ones.
        OSError: there is a file of that name, or nothing can be written there.
    """
    begun = _runs_begun(out)
    if (out / _DESCRIPTION).is_file():  # looked for after the runs: another process may be beginning them
        check_folder(out, protocol)
        return
    _refuse_undescribed(out, begun)
    described = {"xdecoder": version("xdecoder"), "protocol": _described(protocol)}
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / _DESCRIPTION, json.dumps(described, indent=1).encode())
    except OSError as error:
        raise OSError(
            error.errno, f"--out must be a folder that can be written ({error.strerror})", str(out)
        ) from error


def check_folder(out: Path, protocol: Protocol) -> None:
    """Compare what a folder's runs have in common with a protocol.

    Raises:
        FileNotFoundError: there are no runs.
        ValueError: the folder holds runs of another version, of other lengths, or of no known ones.
    """
    path, now, begun = out / _DESCRIPTION, _described(protocol), _runs_begun(out)
    if not path.is_file():
        _refuse_undescribed(out, begun)
        raise FileNotFoundError(f"no runs in {out}: `xdecoder reproduce --out {out}` begins them")
    try:
        there = dict(json.loads(read_file(path))["protocol"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path} is damaged ({error}): put a whole one back, or give another --out"
        ) from error
    if there == now:
        return
    for other, what in ((SMOKE, "with --smoke"), (FULL, "without --smoke")):
        if there == _described(other):
            raise ValueError(f"{out} holds runs made {what}: start it so, or give another --out")
    raise ValueError(
        f"{out} holds runs made otherwise ({differences(there, now)}), which cannot be compared with new "
        "ones: give another --out"
    )


def _runs_begun(out: Path) -> bool:
    return any(runs_begun(out, name) for name in CELLS)


def _refuse_undescribed(out: Path, begun: bool) -> None:
    if begun:
        raise ValueError(
            f"{out} holds runs, but no {_DESCRIPTION} that says how they were made: put it back, or give "
            "another --out"
        )


def _described(protocol: Protocol) -> dict[str, Any]:
    """What decides the runs, as plain JSON values."""
    described: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(protocol)))
    del described["run_hours"]
    return described


def write_result(out: Path, result: Result) -> None:
    """Say that a run is done."""
    kept = {name: getattr(result, name) for name in ("cpu_seconds", "steps", "recipe", "start")}
    text = json.dumps({"scores": dict(result.scores), **kept}, indent=1, allow_nan=False)
    write_whole(result.run.folder(out) / _SCORES, text.encode())


def read_result(out: Path, run: Run, protocol: Protocol) -> Result | None:
    """What a run has reached; None where it is not done.

    Args:
        out: the folder of all runs.
        run: which.
        protocol: what the folder's runs have in common.

    Raises:
        DamagedRunError: its file is damaged.
        ValueError: it was made with other settings than its cell has now.
    """
    path = run.folder(out) / _SCORES
    if not path.exists():
        return None
    with _damage_told(path):
        kept = json.loads(read_file(path))
        result = Result(
            run=run,
            scores={str(name): float(value) for name, value in kept["scores"].items()},
            cpu_seconds=float(kept["cpu_seconds"]),
            steps=int(kept["steps"]),
            recipe=str(kept["recipe"]),
            start=str(kept["start"]),
        )
        if not all(map(math.isfinite, (*result.scores.values(), result.cpu_seconds))):
            raise ValueError("a number is not finite")
    if result.recipe != recipe_digest(run.name, run.seed, protocol):
        raise ValueError(
            f"{path} was made with other settings than {run.name} has now: {_again(path)}, or give "
            "another --out"
        )
    return result


def write_failure(out: Path, run: Run, reason: str) -> None:
    """Say that a run came to no end, and would not if it were tried again."""
    write_whole(run.folder(out) / _FAILURE, json.dumps({"reason": reason}).encode())


def read_failure(out: Path, run: Run) -> str | None:
    """Why a run came to no end, or which of its files is damaged; None where that is not so."""
    path = run.folder(out) / _FAILURE
    if not path.is_file():
        return None
    try:
        with _damage_told(path):
            return str(json.loads(read_file(path))["reason"])
    except DamagedRunError as error:
        return str(error)


def expected_hours(results: Collection[Result], protocol: Protocol) -> float:
    """Hours of CPU time that a run takes: as a cell's other runs did, or as the pilot says."""
    if not results:
        return protocol.run_hours
    return sum(result.cpu_seconds for result in results) / len(results) / 3600


def training_cpu_seconds(out: Path, run: Run) -> float:
    """Processor time of a run's training, over all the processes that worked on it.

    Raises:
        DamagedRunError: its numbers are damaged.
    """
    path = run.folder(out) / _METRICS
    lines = read_text(path).splitlines() if path.is_file() else []
    with _damage_told(path):
        return sum(float(json.loads(line)["cpu_seconds"]) for line in lines)


@contextmanager
def _damage_told(path: Path) -> Generator[None]:
    """What goes wrong as a file of a run is read names it, and says what to do."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedRunError(f"{path} is damaged ({error!r}): {_again(path)}") from error


def _again(path: Path) -> str:
    return f"delete {path.parent}, and the run is made again"
