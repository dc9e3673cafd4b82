"""The paper's comparisons in the drawn world: cells, runs that go on, statistics, verdicts, the report."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from xdecoder.cli.app import app
from xdecoder.jobs.distributed import World
from xdecoder.jobs.folder_lock import hold_folder
from xdecoder.picturebook import HELD_OUT_PAIRS, Scene, captions, draw_flat, draw_in_ink, draw_scene, is_true
from xdecoder.reproduction.cells import CELLS, TABLES, needed_cells
from xdecoder.reproduction.claims import CLAIMS
from xdecoder.reproduction.findings import LEAST_OF_BASE, read_findings
from xdecoder.reproduction.metrics import METRICS
from xdecoder.reproduction.protocol import FULL, SMOKE, Protocol
from xdecoder.reproduction.recipe import cell_recipe, recipe_digest
from xdecoder.reproduction.report import to_json, to_markdown
from xdecoder.reproduction.runner import Work
from xdecoder.reproduction.runs import Result, Run, plan_runs, read_result, runs_begun, write_result
from xdecoder.reproduction.statistics import Estimate, estimate, judge, seeds_to_decide
from xdecoder.training import loop
from xdecoder.training.ablations import ABLATIONS
from xdecoder.training.loop import NonFiniteLossError
from xdecoder.training.picturebook.batches import SceneBatch
from xdecoder.training.progress import cpu_seconds


def reproduce(*words: str) -> Any:
    return CliRunner().invoke(app, ["reproduce", *words])


def work(out: Path, **more: Any) -> Work:
    return Work(out=out, protocol=SMOKE, world=World(), **more)


def read_scores(out: Path, run: Run) -> Mapping[str, float]:
    result = read_result(out, run, SMOKE)
    assert result is not None
    return result.scores


def write(
    out: Path, run: Run, protocol: Protocol, *, scores: Mapping[str, float] | None = None, **more: Any
) -> None:
    """A run that is said to be done."""
    made = {
        "steps": 1,
        "cpu_seconds": 900.0,
        "start": "",
        "recipe": recipe_digest(run.name, run.seed, protocol),
    }
    run.folder(out).mkdir(parents=True)
    write_result(out, Result(run=run, scores=scores or {}, **{**made, **more}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warm start and two cells, run by the command."""
    out = tmp_path_factory.mktemp("reproduction")
    done = reproduce("zero-shot", "--smoke", "--seeds", "1", "--out", str(out))
    assert done.exit_code == 0, done.output
    return out


def test_two_cells_run_and_are_reported(folder: Path) -> None:
    kept = json.loads((folder / "report.json").read_text())
    assert [(run["cell"], run["seed"]) for run in kept["runs"]] == [
        ("warm", 0),
        ("base", 0),
        ("segmentation_only", 0),
        ("segmentation_and_nouns", 0),
    ]
    assert all(set(run["scores"]) == set(METRICS) for run in kept["runs"][1:])
    assert all(run["cpu_seconds"] > 0 for run in kept["runs"])
    report = (folder / "report.md").read_text()
    assert "4 runs are done" in report
    assert "| `segmentation_only`: segmentation alone | 1 |" in report
    page = (folder / "report.html").read_text()
    assert "data:image/webp;base64," in page
    assert page.count("<table>") == 4  # claims, tasks, zero-shot, budget
    assert "Not run: Query interactions (Table 4) (`interactions`)" in report
    assert (
        "of Pretraining tasks (Table 3) (`tasks`) without_retrieval of seed 0, without_captioning" in report
    )


def test_what_is_done_is_not_done_again(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("scores.json")}
    again = reproduce("zero-shot", "--smoke", "--seeds", "1", "--out", str(folder))
    assert again.exit_code == 0, again.output
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("scores.json")}


def test_scores_without_their_models_are_run_again_only_for_those_that_go_on_from_them(
    folder: Path, tmp_path: Path
) -> None:
    copies = {path: tmp_path / path.relative_to(folder) for path in folder.rglob("scores.json")}
    for path, copy in copies.items():
        copy.parent.mkdir(parents=True)
        shutil.copy(path, copy)
    said: list[str] = []
    scored = work(tmp_path, say=said.append)
    assert scored.run_all(plan_runs(("warm", "base", "segmentation_only"), 1)) == ()
    assert not said
    runs = plan_runs(("warm", "base", "segmentation_only", "finetuned_referring"), 1)
    assert scored.run_all(runs) == ()
    assert [run.name for run in runs if f"{run}: {run.cell.summary}" in said] == [
        "warm",
        "base",
        runs[3].name,
    ]
    assert read_scores(tmp_path, runs[1]) == pytest.approx(read_scores(folder, runs[1]))


def test_a_killed_run_goes_on_and_ends_as_it_would_have(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = loop.take_step

    def killed(*arguments: Any) -> Any:
        if arguments[-1] == 2 and (tmp_path / "runs" / "base").is_dir():
            raise KeyboardInterrupt
        return taken(*arguments)

    runs = plan_runs(("warm", "base"), 1)
    monkeypatch.setattr(loop, "take_step", killed)
    with pytest.raises(KeyboardInterrupt):
        work(tmp_path).run_all(runs)
    monkeypatch.setattr(loop, "take_step", taken)
    assert work(tmp_path).run_all(runs) == ()
    assert "goes on from step 2" in capsys.readouterr().out
    assert read_scores(tmp_path, runs[1]) == pytest.approx(read_scores(folder, runs[1]))


def test_a_run_that_another_process_is_at_is_left_to_it(folder: Path) -> None:
    runs = plan_runs(("warm", "base", "without_retrieval"), 1)
    held = runs[2].folder(folder)
    held.mkdir(parents=True)
    with hold_folder(held, on_wait=pytest.fail):
        assert work(folder).run_all(runs) == (runs[2],)


def test_runs_of_another_version_are_told(folder: Path, tmp_path: Path) -> None:
    full = reproduce("zero-shot", "--seeds", "1", "--out", str(folder))
    assert full.exit_code == 2
    assert "holds runs made with --smoke: start it so, or give another --out" in full.output
    described = tmp_path / "reproduction.json"
    described.write_text((folder / "reproduction.json").read_text().replace('"steps": 4', '"steps": 5'))
    other = reproduce("report", "--smoke", "--out", str(tmp_path))
    assert other.exit_code == 2
    assert "holds runs made otherwise (steps 5 there, 4 now)" in other.output
    described.write_text("[")
    assert "is damaged" in reproduce("report", "--out", str(tmp_path)).output
    described.unlink()
    write(tmp_path, Run(name="base", seed=0), SMOKE)
    unknown = reproduce("tasks", "--out", str(tmp_path))
    assert unknown.exit_code == 2
    assert "holds runs, but no reproduction.json that says how they were made" in unknown.output
    assert not described.exists()


def test_a_run_of_a_cell_that_has_changed_is_told(tmp_path: Path) -> None:
    run = Run(name="base", seed=0)
    write(tmp_path, run, SMOKE, recipe="0" * 16)
    with pytest.raises(ValueError, match=r"was made with other settings than base has now: delete .*seed-0"):
        read_result(tmp_path, run, SMOKE)
    assert recipe_digest("base", 0, SMOKE) != recipe_digest("base", 1, SMOKE)


def test_a_folder_goes_on_where_it_was_moved_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = tmp_path / "stopped"
    taken = loop.take_step

    def killed(*arguments: Any) -> Any:
        if arguments[-1] == 2 and (stopped / "runs" / "base").is_dir():
            raise KeyboardInterrupt
        return taken(*arguments)

    runs = plan_runs(("warm", "base"), 1)
    monkeypatch.setattr(loop, "take_step", killed)
    with pytest.raises(KeyboardInterrupt):
        work(stopped).run_all(runs)
    moved = stopped.rename(tmp_path / "moved")
    assert work(moved).run_all(runs) == ()


def test_a_run_that_fails_is_told_and_the_others_go_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder, tmp_path / "runs")
    out = tmp_path / "runs"
    for name in ("base", "segmentation_only"):
        shutil.rmtree(out / "runs" / name)

    def broken(predictor: Any, **_: Any) -> dict[str, float]:
        broken.calls += 1
        if broken.calls == 1:
            raise OSError(28, "No space left on device")
        raise NonFiniteLossError("the loss is not a number")

    broken.calls = 0  # pyright: ignore[reportFunctionMemberAccess]
    monkeypatch.setattr("xdecoder.reproduction.runner.score_model", broken)
    done = reproduce("zero-shot", "--smoke", "--seeds", "1", "--out", str(out))
    assert done.exit_code == 1
    assert "base, seed 0 failed: [Errno 28] No space left on device. Delete " in done.output
    assert "segmentation_only, seed 0 failed: the loss is not a number" in done.output
    assert "2 of 4 runs failed: base, seed 0; segmentation_only, seed 0" in done.output
    monkeypatch.undo()
    again = reproduce("zero-shot", "--smoke", "--seeds", "1", "--out", str(out))
    assert again.exit_code == 1
    assert "1 of 4 runs failed: segmentation_only, seed 0" in again.output
    report = (out / "report.md").read_text()
    assert "Failed, and in no mean: segmentation_only, seed 0 (the loss is not a number)." in report


def test_a_damaged_file_is_told_and_the_others_go_on(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    shutil.copytree(folder, out)
    shutil.rmtree(out / "runs" / "segmentation_only")
    damaged = out / "runs" / "base" / "seed-0" / "scores.json"
    damaged.write_text("{")
    lines = out / "runs" / "without_retrieval" / "seed-0" / "metrics.jsonl"
    lines.parent.mkdir(parents=True, exist_ok=True)
    lines.write_text("{")
    done = reproduce("zero-shot", "--smoke", "--seeds", "1", "--out", str(out))
    assert done.exit_code == 1
    assert done.output.count(f"{damaged} is damaged") == 1
    assert "segmentation_only, seed 0: segmentation alone" in done.output
    assert "1 of 4 runs failed: base, seed 0" in done.output
    report = (out / "report.md").read_text()
    for run, path in (("base", damaged), ("without_retrieval", lines)):
        assert f"{run}, seed 0 ({path} is damaged" in report
    damaged.parent.joinpath("failed.json").write_text("{")
    damaged.unlink()
    assert reproduce("report", "--smoke", "--out", str(out)).exit_code == 0
    assert "failed.json is damaged" in (out / "report.md").read_text()


def test_a_model_that_is_gone_is_made_again_and_half_a_one_is_told(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    shutil.copytree(folder, out)
    shutil.rmtree(out / "runs" / "segmentation_only")
    model = out / "runs" / "warm" / "seed-0" / "model"
    (model / "config.json").unlink()
    said: list[str] = []
    runs = plan_runs(("warm", "segmentation_only"), 1)
    assert work(out, say=said.append).run_all(runs) == tuple(runs)
    assert said[-1].startswith("warm, seed 0 failed: its model is not whole. Delete ")
    shutil.rmtree(model)
    assert work(out).run_all(runs) == ()


def test_processes_share_a_folder_and_one_goes_on_where_another_was_killed(
    folder: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "xdecoder", "reproduce", "zero-shot", "--smoke", "--seeds", "1"]
    command += ["--out", str(tmp_path)]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob("runs/base/seed-0/checkpoints/*")) and first.poll() is None:
        time.sleep(0.05)
    first.kill()
    first.wait()
    pair = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    told = "".join(process.communicate()[0] for process in pair)
    assert [process.returncode for process in pair] == [0, 0]
    assert "warm, seed 0" not in told
    assert told.count("base, seed 0: all tasks") == 1
    for name in ("base", "segmentation_only", "segmentation_and_nouns"):
        run = Run(name=name, seed=0)
        assert read_scores(tmp_path, run) == pytest.approx(read_scores(folder, run))


def test_a_budget_too_small_for_one_run_is_told(tmp_path: Path) -> None:
    refused = reproduce("tasks", "--budget", "0.01", "--out", str(tmp_path))
    assert refused.exit_code == 2
    assert "--budget 0.01 is too small for one run: warm, seed 0 takes about" in refused.output
    found = re.search(r"give --budget ([0-9.]+) or more", refused.output)
    assert found is not None
    assert float(found[1]) >= cpu_seconds() / 3600 - 0.01 + FULL.run_hours


@pytest.mark.parametrize("budget", ["0", "-1", "nan", "inf"])
def test_a_budget_that_is_none_is_told_before_a_folder_is_made(budget: str, tmp_path: Path) -> None:
    refused = reproduce("tasks", "--smoke", "--budget", budget, "--out", str(tmp_path / "out"))
    assert refused.exit_code == 2
    assert "--budget must be a number of hours above 0, got" in refused.output
    assert not (tmp_path / "out").exists()


def test_an_out_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    refused = reproduce("tasks", "--smoke", "--out", str(tmp_path / "out"))
    assert refused.exit_code in (1, 2)
    assert "--out must be a folder that can be written" in refused.output


def test_a_budget_ends_the_work_between_two_runs(folder: Path, tmp_path: Path) -> None:
    runs = plan_runs(("warm", "base"), 1)
    said: list[str] = []
    some = work(tmp_path, budget=1e6, say=said.append)
    for cell, hours in (("warm", 0.0), ("base", 1e7)):
        write(tmp_path, Run(name=cell, seed=7), SMOKE, cpu_seconds=3600 * hours)
    assert some.run_all(runs) == (runs[1],)
    assert said[-1].startswith("the budget of 1e+06 hours does not reach for base, seed 0")


def test_a_report_of_no_runs_and_torchrun_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = reproduce("report", "--out", str(tmp_path / "nothing"))
    assert nothing.exit_code == 2
    assert "no runs in " in nothing.output
    assert not (tmp_path / "nothing").exists()
    monkeypatch.setenv("WORLD_SIZE", "2")
    several = reproduce("tasks", "--smoke", "--out", str(tmp_path))
    assert several.exit_code == 2
    assert "start it without torchrun" in several.output


def test_an_unknown_table_is_told() -> None:
    refused = reproduce("table3")
    assert refused.exit_code == 2
    assert "no table table3; there are tasks, interactions" in refused.output


def test_list_names_every_table_and_cell() -> None:
    listed = reproduce("list").output
    assert all(name in listed for name in TABLES)
    assert all(cell in listed for table in TABLES.values() for cell in table.cells)


def test_a_damaged_result_is_told(tmp_path: Path) -> None:
    run = Run(name="base", seed=0)
    run.folder(tmp_path).mkdir(parents=True)
    for text in (
        '{"scores": 3}',
        '{"scores": {"val/pq": NaN}, "cpu_seconds": 1, "steps": 1, "recipe": "", "start": ""}',
    ):
        (run.folder(tmp_path) / "scores.json").write_text(text)
        with pytest.raises(ValueError, match=r"is damaged .* delete .*seed-0, and the run is made again"):
            read_result(tmp_path, run, SMOKE)
    (run.folder(tmp_path).parent / "seed-0 copy").mkdir()
    assert runs_begun(tmp_path, "base") == [run]


# Cells


def test_every_table_claim_and_start_names_what_there_is() -> None:
    for table in TABLES.values():
        assert set(table.cells) <= set(CELLS)
        assert set(table.metrics) <= set(METRICS)
    for claim in CLAIMS:
        assert {claim.cell, claim.against} <= set(TABLES[claim.table].cells)
        assert claim.metric in METRICS
    assert all(cell.start in CELLS for cell in CELLS.values() if cell.start)
    assert {name: CELLS[name].ablation for name in ABLATIONS} == dict(ABLATIONS)


def test_every_cell_comes_after_its_start_and_seed_by_seed() -> None:
    runs = plan_runs(needed_cells(TABLES), 2)
    for place, run in enumerate(runs):
        assert run.start is None or run.start in runs[:place]
    assert [run.seed for run in runs] == sorted(run.seed for run in runs)


def test_cells_of_a_seed_see_the_same_scenes_from_the_same_start() -> None:
    batches: list[SceneBatch] = []
    for name in ("base", "without_retrieval", "texts_without_global", "a_quarter_of_the_pairs"):
        recipe = cell_recipe(CELLS[name], 3, SMOKE, Path("warm"))
        batch = recipe.open().build_source().batch(1, 0, 1)
        assert isinstance(batch, SceneBatch)
        batches.append(batch)
    assert all(torch.equal(batch.images, batches[0].images) for batch in batches)
    assert [len(batch.pair_images) for batch in batches] == [4, 4, 4, 1]


def test_a_finetuning_sees_scenes_that_its_pretraining_has_not_seen() -> None:
    first, second = (
        cell_recipe(CELLS[name], 0, SMOKE, Path("model")).open().build_source().batch(1, 0, 1)
        for name in ("base", "finetuned_referring")
    )
    assert isinstance(first, SceneBatch)
    assert isinstance(second, SceneBatch)
    assert not torch.equal(first.images, second.images)


def test_the_cells_are_what_they_are_called() -> None:
    narrow, small, base = (
        cell_recipe(CELLS[name], 0, FULL, Path("warm")).open().config
        for name in ("narrow", "small_backbone", "base")
    )
    assert narrow.decoder.width < base.decoder.width
    assert narrow.backbone == base.backbone
    assert max(small.backbone.widths) < max(base.backbone.widths)
    assert small.decoder == base.decoder
    cut = cell_recipe(CELLS["texts_without_latents"], 0, FULL, Path("warm")).open().config.decoder
    assert not cut.interactions.texts_see_objects
    assert not cut.interactions.texts_see_global


# Other styles


@pytest.mark.parametrize(("draw", "change"), [(draw_flat, 5), (draw_in_ink, 10)])
def test_a_style_changes_the_picture_and_nothing_that_is_true_of_it(
    draw: Callable[[Scene], Scene], change: float
) -> None:
    scene = draw_scene(5, split="val", size=96, held_out=True)
    drawn, again = draw(scene), draw(scene)
    assert np.array_equal(drawn.image, again.image)
    assert drawn.image.shape == scene.image.shape
    assert np.abs(drawn.image.astype(int) - scene.image).mean() > change
    assert np.array_equal(drawn.ids, scene.ids)
    assert {(t.color, t.category) for t in drawn.things} & HELD_OUT_PAIRS
    assert all(is_true(text, drawn) for text in captions(scene, np.random.default_rng(0)))


# Statistics


def test_a_mean_has_the_interval_of_student_s_t() -> None:
    # Three values of mean 4 and deviation 2: t(0.975, 2) = 4.30265, so 4.30265 * 2 / sqrt(3).
    found = estimate([2.0, 4.0, 6.0])
    assert found.mean == 4.0
    assert found.half_width == pytest.approx(4.968276, abs=1e-5)
    assert estimate([3.0]).half_width == math.inf
    with pytest.raises(ValueError, match="at the least"):
        estimate([])


@pytest.mark.parametrize(
    ("mean", "half_width", "expected"),
    [
        (-3.0, 2.0, "holds"),
        (-3.0, 3.5, "undecided at this budget"),
        (3.0, 2.0, "does not hold here"),
        (0.1, 0.05, "does not hold here"),
        (0.1, 0.3, "undecided at this budget"),  # at most 0.2 points worse, by three seeds
        (0.1, 0.9, "undecided at this budget"),
        (-9.0, math.inf, "undecided at this budget"),
    ],
)
def test_a_verdict_follows_from_the_interval(mean: float, half_width: float, expected: str) -> None:
    found = Estimate(mean=mean, half_width=half_width, values=(mean, mean, mean))
    assert judge(found, smallest_effect=0.5) == expected
    few = Estimate(mean=mean, half_width=half_width, values=(mean, mean))
    assert judge(few, smallest_effect=0.5) == "undecided at this budget"


def test_five_seeds_show_that_an_effect_is_none() -> None:
    found = Estimate(mean=0.1, half_width=0.3, values=(0.1,) * 5)
    assert judge(found, smallest_effect=0.5) == "does not hold here"
    assert seeds_to_decide(estimate([-0.1, 0.0, 0.1]), smallest_effect=0.5) == 5


def test_more_seeds_decide_what_is_far_from_zero_sooner() -> None:
    near, far = estimate([-1.0, 3.0, -5.0]), estimate([-7.0, -3.0, -11.0])
    sooner, later = (seeds_to_decide(one, smallest_effect=0.5) for one in (far, near))
    assert sooner is not None
    assert later is not None
    assert 3 < sooner < later
    assert seeds_to_decide(estimate([1.0]), smallest_effect=0.5) is None


def fill(out: Path, *differences: float, base: float = 60.0) -> None:
    """Runs of a base, whose seeds differ by 9 points, and of a cell that differs from it as told."""
    for seed, difference in enumerate(differences):
        level = base + 9.0 * (seed % 3 - 1)
        for name, value in (("base", level), ("without_retrieval", level + difference)):
            write(out, Run(name=name, seed=seed), FULL, scores=dict.fromkeys(METRICS, value))


def test_differences_are_paired_by_seed(tmp_path: Path) -> None:
    fill(tmp_path, -3.8, -4.1, -4.1)
    found = read_findings(tmp_path, FULL)
    assert found.claims[0].claim.cell == "without_retrieval"
    assert found.claims[0].difference.mean == pytest.approx(-4.0)
    assert found.claims[0].difference.half_width < 0.5
    assert found.claims[0].verdict == "holds"
    assert "-4.0 ± 0.4 | 3 | **holds**" in to_markdown(found)


def test_nothing_is_decided_against_a_base_that_is_no_good(tmp_path: Path) -> None:
    fill(tmp_path, -3.8, -4.1, -4.1, base=LEAST_OF_BASE["val/pq"] - 1)
    assert read_findings(tmp_path, FULL).claims[0].verdict == "undecided at this budget"


def test_the_report_says_what_more_time_would_decide(tmp_path: Path) -> None:
    fill(tmp_path, -1.0, 2.0, -4.0)
    found = read_findings(tmp_path, FULL)
    assert found.hours == pytest.approx(6 * 0.25)
    finding = found.claims[0]
    assert finding.verdict == "undecided at this budget"
    assert finding.seeds_needed is not None
    more = finding.seeds_needed - 3  # of each two runs and a warm start, at 0.25 hours
    assert len(finding.missing) == 3 * more
    hours = found.hours_of(finding.missing)
    assert hours == pytest.approx(3 * 0.25 * more)
    line = f"| {finding.claim.text} | 3 | {finding.seeds_needed} | {hours:.1f} |"
    assert line in to_markdown(found)
    assert to_json(found)["claims"][0]["seeds_needed"] == finding.seeds_needed
