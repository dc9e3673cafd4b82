"""What a run shows while it goes: a line on the terminal, JSON lines on disk, TensorBoard if asked for."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Protocol

import torch
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from torch import Tensor

from xdecoder.jobs.distributed import World
from xdecoder.jobs.files import read_text, write_whole
from xdecoder.jobs.gather import mean_over_world
from xdecoder.training.curriculum import Phase

if sys.platform != "win32":  # which does not tell
    import resource

_NUMBERS: Final = "metrics.jsonl"
_SCORES: Final = "scores.jsonl"


class Writer(Protocol):
    """Takes numbers in as they come."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Write the numbers of one step."""


class JsonLines:
    """One JSON object a line; a run that resumes first drops the lines of steps that will be done again.

    Args:
        path: a file of JSON lines, which is added to.
        resume: steps already done.
    """

    def __init__(self, path: Path, resume: int) -> None:
        self.path = path
        if path.is_file():
            kept = [line for line in read_text(path).splitlines() if _step_of(line) <= resume]
            write_whole(path, "".join(line + "\n" for line in kept).encode())

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append a line; a full disk costs the line, not the run."""
        line = json.dumps({"step": step, **{k: _plain(v) for k, v in values.items()}})
        try:
            _append(self.path, line + "\n")
        except OSError as error:
            print(f"{self.path}: a line was lost: {error}", file=sys.stderr)


def _append(path: Path, text: str) -> None:
    """Add text to a file, all of it or nothing."""
    with path.open("ab", buffering=0) as file:
        length = file.seek(0, os.SEEK_END)
        rest = memoryview(text.encode())
        try:
            while rest:
                rest = rest[file.write(rest) :]
        except OSError:
            file.truncate(length)
            raise


class TensorBoard:
    """Numbers for TensorBoard.

    Args:
        folder: where its event files go.
        resume: steps already done; what an earlier try wrote after them is hidden.

    Raises:
        ImportError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, resume: int) -> None:
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError as error:
            raise ImportError("TensorBoard is not installed: pip install 'xdecoder[train]'") from error
        self._writer = SummaryWriter(str(folder), purge_step=resume + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add one point to every curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)


class Progress:
    """The terminal's view of a run: a live table where there is a terminal, plain lines elsewhere.

    Args:
        steps: of the whole run, which the bar ends at.
        first: the first step of this stretch.
    """

    def __init__(self, *, steps: int, first: int) -> None:
        self.steps = steps
        self._console = Console()
        self._live = Live(console=self._console, refresh_per_second=2) if sys.stdout.isatty() else None
        self._mark = (first, time.monotonic())
        self._cpu = cpu_seconds()

    def __enter__(self) -> Progress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def restart(self, step: int) -> None:
        """Begin to measure the speed anew."""
        self._mark = (step, time.monotonic())

    def speed(self, step: int, images: int) -> dict[str, float]:
        """Seconds of clock and processor and images a second since the last call, seconds left, memory."""
        now = time.monotonic()
        since, when = self._mark
        self._mark = (step, now)
        seconds = max(now - when, 1e-9)
        found = {
            "seconds": seconds,
            "cpu_seconds": cpu_seconds() - self._cpu,
            "images_per_second": images / seconds,
            "seconds_left": seconds / max(1, step - since) * (self.steps - step),
            "memory_gib": memory_gib(),
        }
        self._cpu = cpu_seconds()
        return found

    def show(self, step: int, phase: str, values: Mapping[str, float]) -> None:
        """Show the numbers after `step` steps."""
        left = timedelta(seconds=round(values.get("seconds_left", 0.0)))
        rate = values.get("images_per_second", 0.0)
        speed = f"  {rate:.1f} images/s" if rate else ""  # there are phases without images
        head = f"{phase} {step}/{self.steps}{speed}  {left} left  {values.get('memory_gib', 0.0):.1f} GiB"
        terms = {k: v for k, v in values.items() if k.startswith("loss")}
        if self._live is None:
            print(head, " ".join(f"{k.removeprefix('loss/')} {v:.3f}" for k, v in terms.items()), flush=True)
            return
        table = Table()
        table.add_column("term")
        table.add_column("value", justify="right")
        for name, value in terms.items():
            table.add_row(name.removeprefix("loss/"), f"{value:.4f}")
        self._live.update(Group(head, table))

    def say(self, message: str) -> None:
        """Print a line above the live table."""
        if self._live is None:
            print(message, flush=True)
        else:
            self._live.console.print(message)


class RunLog:
    """Sums numbers up between two lines of them, and writes those lines.

    Args:
        folder: the run's.
        first: steps already done.
        validated: steps whose scores stay.
        steps: of the whole run, which the bar ends at.
        world: the first process alone writes and shows.
        log_every: steps between two lines.
        tensorboard: write TensorBoard's files too.
    """

    def __init__(
        self,
        folder: Path,
        *,
        first: int,
        validated: int,
        steps: int,
        world: World,
        log_every: int,
        tensorboard: bool,
    ) -> None:
        self.world = world
        self.log_every = log_every
        self.writers: list[Writer] = []
        self.scores: list[Writer] = []
        self.progress: Progress | None = None
        if world.is_first:
            self.writers.append(JsonLines(folder / _NUMBERS, first))
            self.scores.append(JsonLines(folder / _SCORES, validated))
            if tensorboard:
                board = TensorBoard(folder / "tensorboard", first)
                self.writers.append(board)
                self.scores.append(board)
            self.progress = Progress(steps=steps, first=first)
        self._sums: dict[str, Tensor] = {}
        self._count = 0
        self._images = 0
        self._waited = 0.0
        self._phase = ""

    def __enter__(self) -> RunLog:
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
        if done % self.log_every:
            return
        names = list(self._sums)
        means = mean_over_world(torch.stack([self._sums[n].float() for n in names]) / self._count)
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
        if scores:
            self.say(f"step {done}: " + "  ".join(f"{k} {v:.3f}" for k, v in scores.items()))

    def say(self, message: str) -> None:
        """Tell the user something, from whichever process."""
        if self.progress is not None:
            self.progress.say(message)
        else:
            print(f"[rank {self.world.rank}] {message}", file=sys.stderr)


def read_scores(folder: Path) -> dict[int, dict[str, float]]:
    """Step -> scores, of a run's validations."""
    return _read_rows(folder / _SCORES)


def read_numbers(folder: Path) -> dict[int, dict[str, float]]:
    """Step -> losses and speed, of a run."""
    return _read_rows(folder / _NUMBERS)


def _read_rows(path: Path) -> dict[int, dict[str, float]]:
    lines = read_text(path).splitlines() if path.is_file() else []
    rows: list[dict[str, float]] = [json.loads(line) for line in lines]
    return {int(row["step"]): {k: v for k, v in row.items() if k != "step"} for row in rows}


def memory_gib() -> float:
    """The most memory this process has held: of the GPU where there is one, else of the machine.

    0 on Windows without a GPU.
    """
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    if sys.platform == "win32":
        return 0.0
    unit = 2**30 if sys.platform == "darwin" else 2**20  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def cpu_seconds() -> float:
    """Processor time that this process and those that it has waited for have used."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _step_of(line: str) -> int:
    """The step of a line; that of a line cut short by a kill lies in the future."""
    try:
        record: dict[str, Any] = json.loads(line)
        return int(record["step"])
    except (ValueError, KeyError):
        return 1 << 62


def _plain(value: float) -> float:
    return round(float(value), 6)
