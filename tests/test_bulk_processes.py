"""Labeling by processes that are killed, and by those that torchrun starts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from bulk_fixtures import WORDS, Bulk, rows_of
from xdecoder.bulk import Destination, read_status

LABELER = """
import sys
from xdecoder.bulk import run
from xdecoder.cli.app import app
run.FRAGMENT_ROWS = 1  # each image is written at once
app()
"""


def start(bulk: Bulk, to: Path, *more: str, launcher: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    program = ("-m", *launcher, "-m", "xdecoder") if launcher else ("-c", LABELER)
    options = ("--to", str(to), "-v", WORDS, "-w", str(bulk.model), "--device", "cpu")
    return subprocess.Popen(
        [sys.executable, *program, "label", str(bulk.pictures), *options, *more],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def done(to: Path) -> int:
    try:
        status = read_status(Destination.open(str(to)))
    except FileNotFoundError:
        return 0
    return status.labeled + len(status.failures)


def test_a_killed_process_is_gone_on_with_by_others_of_another_number(
    bulk: Bulk, labeled: Destination, tmp_path: Path
) -> None:
    process = start(bulk, tmp_path)
    while done(tmp_path) < 2:
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert 2 <= done(tmp_path) < len(rows_of(labeled))
    for i in range(3):
        destination = bulk.label(bulk.pictures, tmp_path, f"{i}/3")
    assert rows_of(destination) == rows_of(labeled)


def test_torchrun_s_processes_share_the_work(bulk: Bulk, labeled: Destination, tmp_path: Path) -> None:
    launcher = ("torch.distributed.run", "--standalone", "--nproc-per-node=2")
    process = start(bulk, tmp_path, launcher=launcher)
    _, told = process.communicate(timeout=300)
    destination = Destination.open(str(tmp_path))
    assert [(shard.count, shard.done) for shard in destination.shards()] == [(2, True), (2, True)], told
    assert rows_of(destination) == rows_of(labeled)
