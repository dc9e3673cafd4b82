"""The drawn world from the command line: scenes as files, and a model's scores on them."""

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

import xdecoder
from builders import save_tiny_model
from xdecoder.cli.app import app
from xdecoder.evaluation.picturebook.scores import evaluate_picturebook


def run(*words: object, code: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.stdout, " ".join(result.stderr.split())


def tiny(folder: Path) -> Path:
    """The tiny model, asked for bare names: one text for each instead of 81."""
    model = save_tiny_model(folder / "tiny")
    config = json.loads((model / "config.json").read_text())
    config["inference"]["prompt_ensemble"] = False
    (model / "config.json").write_text(json.dumps(config))
    return model


def test_scenes_are_exported_with_a_look_at_them(tmp_path: Path) -> None:
    out = tmp_path / "scenes"
    command = ["picturebook", "export", "--n", 3, "--split", "train", "--size", 64, "--seed", 5, "--out", out]
    _, told = run(*command)
    assert "scenes: 3 scenes with" in told
    images = json.loads((out / "annotations/instances_train.json").read_text())["images"]
    assert [image["id"] for image in images] == [5, 6, 7]
    assert Image.open(out / "images/train" / images[0]["file_name"]).size == (64, 64)
    assert Image.open(out / "sheet.png").width > 500
    assert "scenes is not empty; name another folder, or overwrite" in run(*command, code=2)[1]
    run(*command, "--overwrite")


def test_a_model_is_scored_on_seen_and_unseen_pairs_like_on_other_benchmarks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDECODER_CACHE", str(tmp_path / "cache"))
    model, out = tiny(tmp_path), tmp_path / "out"
    command = ["evaluate", "picturebook", "--limit", 2, "--weights", model, "--out", out, "--device", "cpu"]
    told, _ = run(*command)
    reports = json.loads((out / "report.json").read_text())
    assert [report["benchmark"] for report in reports] == ["picturebook-val", "picturebook-unseen"]
    assert f"picturebook-val  PQ {reports[0]['figures']['PQ']:.1f}" in told
    scores = evaluate_picturebook(xdecoder.load(model), count=2)
    assert reports[0]["figures"]["PQ_st"] == pytest.approx(100 * scores.pq_stuff, abs=0.1)
    again = json.loads(
        run("score", "picturebook-val", out / "picturebook-val/scenes.jsonl", "--limit", 2, "--json")[0]
    )
    assert again["figures"] == reports[0]["figures"]
    lines = (out / "picturebook-val/journal-0.jsonl").read_text().splitlines()
    run(*command)  # all is there: nothing is computed again
    assert (out / "picturebook-val/journal-0.jsonl").read_text().splitlines() == lines


def test_at_least_one_scene_is_scored(tmp_path: Path) -> None:
    predictor = xdecoder.load(tiny(tmp_path))
    with pytest.raises(ValueError, match="count must be at least 1 scene, got 0"):
        evaluate_picturebook(predictor, count=0)
