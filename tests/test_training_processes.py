"""Two processes train as one does, a killed run goes on as if it had not been, checkpoints change hands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from builders import Tiny
from xdecoder.jobs.distributed import join_world, leave_world
from xdecoder.training.config import RunConfig
from xdecoder.training.loop import train


def command(
    folder: Path, *, processes: int, steps: int, save_every: int, sharded: bool = False, images: int = 4
) -> subprocess.Popen[bytes]:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.Popen(
        [
            sys.executable,
            *(launcher if processes > 1 else []),
            __file__,
            str(folder),
            str(steps),
            str(save_every),
            "sharded" if sharded else "replicated",
            str(images),
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def run(folder: Path, **options: Any) -> None:
    process = command(folder, **options)
    assert process.wait(timeout=600) == 0


def losses(folder: Path) -> dict[int, dict[str, float]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {row["step"]: {k: v for k, v in row.items() if k.startswith("loss/")} for row in rows}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    run(folder, processes=1, steps=20, save_every=7)
    return folder


@pytest.mark.parametrize("sharded", [False, True])
def test_two_processes_learn_what_one_does_from_the_same_batch(
    sharded: bool, alone: Path, tmp_path: Path
) -> None:
    run(tmp_path, processes=2, steps=20, save_every=10, sharded=sharded)
    one, two = losses(alone), losses(tmp_path)
    assert list(one) == list(two) == list(range(1, 21))
    check_equal(one, two)


@pytest.mark.slow
@pytest.mark.parametrize("sharded", [False, True])
def test_eight_processes_learn_what_one_does_from_the_same_batch(sharded: bool, tmp_path: Path) -> None:
    for processes in (1, 8):
        sizes = {"steps": 10, "save_every": 10, "images": 8}
        run(tmp_path / str(processes), processes=processes, sharded=sharded and processes > 1, **sizes)
    one, eight = losses(tmp_path / "1"), losses(tmp_path / "8")
    assert list(one) == list(eight) == list(range(1, 11))
    check_equal(one, eight)


def check_equal(one: dict[int, dict[str, float]], many: dict[int, dict[str, float]]) -> None:
    for step, terms in one.items():
        assert set(terms) == set(many[step])
        # Rounding grows with every step; the small terms feel it first.
        names = terms if step <= 5 else ("loss/total",)
        for name in names:
            assert many[step][name] == pytest.approx(terms[name], rel=1e-4, abs=1e-4), (step, name)


def test_a_killed_run_goes_on_as_if_it_had_never_stopped(alone: Path, tmp_path: Path) -> None:
    process = command(tmp_path, processes=1, steps=20, save_every=7)
    log = tmp_path / "metrics.jsonl"
    while not log.is_file() or len(log.read_text().splitlines()) < 10:
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    run(tmp_path, processes=1, steps=20, save_every=7)
    assert losses(tmp_path) == losses(alone)
    assert (tmp_path / "scores.jsonl").read_text() == (alone / "scores.jsonl").read_text()


@pytest.mark.parametrize("sharded", [False, True])
def test_one_process_goes_on_from_what_two_saved(sharded: bool, alone: Path, tmp_path: Path) -> None:
    process = command(tmp_path, processes=2, steps=20, save_every=7, sharded=sharded)
    log = tmp_path / "metrics.jsonl"
    while not (tmp_path / "checkpoints" / "step_00000007").is_dir():
        assert process.poll() is None
        time.sleep(0.05)
    # torchrun's workers outlive it, but it does not outlive them.
    _, first_worker, *_ = (tmp_path / "run.lock").read_text().split()
    os.kill(int(first_worker), signal.SIGKILL)
    assert process.wait(timeout=60) != 0
    run(tmp_path, processes=1, steps=20, save_every=7)
    assert json.loads(log.read_text().splitlines()[-1])["step"] == 20
    for step, terms in losses(alone).items():
        assert losses(tmp_path)[step]["loss/total"] == pytest.approx(terms["loss/total"], rel=1e-4)


if __name__ == "__main__":
    torch.set_num_threads(1)
    config = RunConfig(
        folder=Path(sys.argv[1]),
        workers=0,
        log_every=1,
        save_every=int(sys.argv[3]),
        validate_every=0,
        seed=5,
        sharded=sys.argv[4] == "sharded",
    )
    train(Tiny(steps=int(sys.argv[2]), images=int(sys.argv[5])), config, join_world("cpu"))
    leave_world()
