"""Compares this tree's speed with an earlier revision's, the two turn about on one machine.

    python benchmarks/against.py 83ae8f4                     # every row, three rounds
    python benchmarks/against.py 83ae8f4 --rows caption names --rounds 1
    python benchmarks/against.py 83ae8f4 --rows training --activation-checkpointing
    python benchmarks/against.py 83ae8f4 --smoke             # the bundled model and small inputs, to try it

REV is checked out in a temporary worktree, and its program writes the model (Focal-T's sizes, random weights)
that both load. Every measurement is a process of its own: the model is loaded, the work done once to warm up
and once measured. Figures are medians over the rounds: wall seconds, CPU seconds (user and system), peak
resident memory of the process. Wall seconds mean something only where nothing else runs. The outputs of both
are compared.

83ae8f4 was measured beside the published program in one run on a quiet machine; against it, the ratio to the
published program that follows is printed too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
MEASURED_BESIDE_PUBLISHED = "83ae8f4"


@dataclass(frozen=True, kw_only=True)
class Work:
    """A row of the table.

    Attributes:
        what: it does.
        published: wall seconds of the published program over those of 83ae8f4.
    """

    what: str
    published: float


ROWS = {
    "large": Work(what="panoptic + instance + semantic, 1024x1024, 133 classes", published=1.69),
    "middle": Work(what="the same, 512x512", published=1.84),
    "phrases": Work(what="5 phrases, 512x512", published=1.75),
    "embed": Work(what="8 image embeddings, 224x224", published=0.97),
    "caption": Work(what="caption, 224x224, 50 tokens", published=8.0),
    "names": Work(what="15 names x 81 prompts", published=7.2),
    "training": Work(what="training step, 2 images of 512x512 and 4 pairs of 224x224", published=1.39),
}


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One run: seconds by the clock, seconds of the processor, and the process's peak in megabytes."""

    wall: float
    cpu: float
    memory: float


@dataclass(frozen=True, kw_only=True)
class Trees:
    """Two trees and the folder that their model and outputs lie in; how this tree's training step is run."""

    before: Path
    now: Path
    folder: Path
    smoke: bool
    activation_checkpointing: bool

    def run(self, tree: Path, row: str) -> Measurement:
        """A measurement in a process of its own."""
        arguments = [row, str(self.folder), tree_name(tree, self), *(["--smoke"] if self.smoke else [])]
        if self.activation_checkpointing and row == "training" and tree == self.now:
            arguments.append("--activation-checkpointing")
        environment = {
            **os.environ,
            "PYTHONPATH": str(tree / "src"),
            "XDECODER_CACHE": str(self.folder / "cache"),
        }
        worker = [sys.executable, str(ROOT / "benchmarks" / "against_worker.py"), *arguments]
        done = subprocess.run(worker, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{row} of {tree_name(tree, self)} failed:\n{done.stderr}")
        return Measurement(**json.loads(done.stdout.splitlines()[-1]))


def tree_name(tree: Path, trees: Trees) -> str:
    return "before" if tree == trees.before else "now"


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """A revision in a worktree that is removed after."""
    git = ["git", "-C", str(ROOT), "worktree"]
    with tempfile.TemporaryDirectory(prefix="against-") as parent:
        tree = Path(parent) / "tree"
        subprocess.run([*git, "add", "--detach", str(tree), revision], check=True, capture_output=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True, capture_output=True)


def median(runs: Sequence[Measurement]) -> Measurement:
    return Measurement(
        **{name: statistics.median(getattr(run, name) for run in runs) for name in ("wall", "cpu", "memory")}
    )


def difference(row: str, folder: Path) -> str:
    """How the outputs differ: whole numbers by the share that is equal, others relative to the largest."""
    before, now = (np.load(folder / f"{row}-{tree}.npz") for tree in ("before", "now"))
    if set(before.files) != set(now.files):
        return "other outputs"
    said: list[str] = []
    for name in before.files:
        a, b = before[name], now[name]
        if a.shape != b.shape:
            said.append(f"{name} {a.shape} and {b.shape}")
        elif a.dtype.kind == "f" and a.size:
            said.append(f"{name} {np.abs(a - b).max() / max(np.abs(a).max(), 1e-12):.0e}")
        elif not np.array_equal(a, b):
            said.append(f"{name} equal {(a == b).mean():.5f}")
    return ", ".join(said) or "equal"


def table(runs: dict[str, dict[str, list[Measurement]]], folder: Path, revision: str) -> Iterator[str]:
    """Markdown, one row at a time."""
    known = revision.startswith(MEASURED_BESIDE_PUBLISHED)
    columns = ["work", "before, s", "now, s", "before / now", "CPU s, before", "now", "before / now"]
    columns += [*(["published / now"] if known else []), "MB, before", "now", "outputs"]
    yield f"| {' | '.join(columns)} |"
    yield "|" + "---|" * len(columns)
    for row, of_trees in runs.items():
        before, now = median(of_trees["before"]), median(of_trees["now"])
        cells = [ROWS[row].what, f"{before.wall:.2f}", f"{now.wall:.2f}", f"{before.wall / now.wall:.2f}"]
        cells += [f"{before.cpu:.2f}", f"{now.cpu:.2f}", f"{before.cpu / now.cpu:.2f}"]
        if known:
            cells.append(f"{ROWS[row].published * before.wall / now.wall:.1f}")
        cells += [f"{before.memory:.0f}", f"{now.memory:.0f}", difference(row, folder)]
        yield f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("revision", metavar="REV", help="what to compare with, as git names it")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="ROW")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each tree and row")
    parser.add_argument("--smoke", action="store_true", help="the bundled model and small inputs")
    parser.add_argument(
        "--activation-checkpointing", action="store_true", help="in this tree's training step, to save memory"
    )
    options = parser.parse_args(arguments)
    revision = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", f"{options.revision}^{{commit}}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    runs: dict[str, dict[str, list[Measurement]]] = {row: {"before": [], "now": []} for row in options.rows}
    with tempfile.TemporaryDirectory() as name, checked_out(revision) as before:
        trees = Trees(
            before=before,
            now=ROOT,
            folder=Path(name),
            smoke=options.smoke,
            activation_checkpointing=options.activation_checkpointing,
        )
        trees.run(before, "model")
        for number in range(options.rounds):
            for row in options.rows:
                for tree in (before, ROOT) if number % 2 == 0 else (ROOT, before):
                    found = trees.run(tree, row)
                    runs[row][tree_name(tree, trees)].append(found)
                    print(f"round {number + 1} {row} {tree_name(tree, trees)}: {found}", file=sys.stderr)
        print("\n".join(table(runs, trees.folder, revision)))


if __name__ == "__main__":
    main()
