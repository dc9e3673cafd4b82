"""Labeling by processes that are killed, and by those that torchrun starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bulk_fixtures import WORDS, Bulk, rows_of
from xdecoder.bulk import Destination, read_status

KILLED_LABELER = """
import sys
from xdecoder.bulk import Destination, run
from xdecoder.cli.app import app
run.FRAGMENT_ROWS = 1  # each image is written at once
add = Destination.add
def paused(self, rows):
    add(self, rows)
    self.written = getattr(self, "written", 0) + 1
    if self.written == 2:
        print("paused", flush=True)
        sys.stdin.read()
Destination.add = paused
app()
"""


def start(bulk: Bulk, to: Path, *more: str, launcher: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    program = ("-m", *launcher, "-m", "xdecoder") if launcher else ("-c", KILLED_LABELER)
    options = ("--to", str(to), "-v", WORDS, "-w", str(bulk.model), "--device", "cpu")
    return subprocess.Popen(
        [sys.executable, *program, "label", str(bulk.pictures), *options, *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_a_killed_process_is_gone_on_with_by_others_of_another_number(
    bulk: Bulk, labeled: Destination, tmp_path: Path
) -> None:
    process = start(bulk, tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "paused\n"
    process.kill()
    process.communicate()
    status = read_status(Destination.open(str(tmp_path)))
    assert status.labeled + len(status.failures) == 2
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
