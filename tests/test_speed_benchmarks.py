"""The scripts that measure speed still fit the program."""

from pathlib import Path

import numpy as np
import pytest
import torch

import against
import against_worker
import inference
import profile_tasks
import xdecoder


@pytest.mark.parametrize("task", profile_tasks.TASKS)
def test_every_task_is_profiled_part_by_part(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    profile_tasks.main(["--smoke", "--task", task, "--repeats", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("peaks: ")
    assert lines[2].startswith(f"| {task} | CPU s | share")
    assert lines[-2].startswith("| together | ")


def test_every_fast_path_and_its_plain_form_run() -> None:
    with torch.inference_mode():
        for case in inference.cases(xdecoder.load("picturebook"), quick=True):
            case.fast()
            case.plain()


def test_every_row_is_measured_by_the_public_interface() -> None:
    tasks = against_worker.Tasks(Path(), smoke=True)
    for row in against.ROWS:
        assert row == "training" or getattr(tasks, f"run_{row}")()
    assert against_worker.TrainingStep(Path(), smoke=True).batch.pairs is not None


def test_the_table_tells_ratios_and_how_outputs_differ(tmp_path: Path) -> None:
    np.savez(tmp_path / "embed-before.npz", a=np.array([1.0, 2.0]), b=np.array([1, 2]))
    np.savez(tmp_path / "embed-now.npz", a=np.array([1.0, 2.5]), b=np.array([1, 3]))
    before = [against.Measurement(wall=w, cpu=2 * w, memory=100) for w in (3.0, 4.0, 50.0)]
    now = [against.Measurement(wall=w, cpu=2 * w, memory=50) for w in (1.0, 2.0, 2.5)]
    runs = {"embed": {"before": before, "now": now}}
    *_, row = against.table(runs, tmp_path, against.MEASURED_BESIDE_PUBLISHED + "f")
    assert row == (
        "| 8 image embeddings, 224x224 | 4.00 | 2.00 | 2.00 | 8.00 | 4.00 | 2.00 | 1.9 | 100 | 50 "
        "| a 2e-01, b equal 0.50000 |"
    )
    header, *_ = against.table(runs, tmp_path, "another")
    assert "published" not in header
