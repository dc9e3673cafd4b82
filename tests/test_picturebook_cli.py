"""The drawn world from the command line: scenes as files, and a model's scores on them."""

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

import xdecoder
from builders import save_tiny_model
from xdecoder.cli.app import app
from xdecoder.demo.facts import read_scores
from xdecoder.evaluation.picturebook.scores import SIZE, evaluate_picturebook


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
    assert Image.open(out / "images" / images[0]["file_name"]).size == (64, 64)
    assert Image.open(out / "sheet.png").width > 500
    assert "scenes is not empty; name another folder, or overwrite" in run(*command, code=2)[1]
    run(*command, "--overwrite")


def test_a_model_is_scored_on_seen_and_unseen_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDECODER_CACHE", str(tmp_path / "cache"))
    model, out = tiny(tmp_path), tmp_path / "out"
    told, _ = run(
        "evaluate", "picturebook", "--count", 2, "--weights", model, "--out", out, "--device", "cpu"
    )
    report = json.loads((out / "picturebook/report.json").read_text())
    assert report["size"] == SIZE
    predictor = xdecoder.load(model)
    for name, held_out in (("scores", False), ("unseen_pairs", True)):
        assert report[name] == evaluate_picturebook(predictor, count=2, held_out=held_out).to_dict()
    rows = [
        line.split("|") for line in (out / "picturebook/report.md").read_text().splitlines() if "|" in line
    ]
    assert told.startswith((out / "picturebook/report.md").read_text())
    assert [row[1].strip() for row in rows[2:]] == [
        "2 held-out",
        "2 with unseen (color, category) pairs",
        "aim",
    ]
    assert float(rows[2][4]) == round(100 * report["scores"]["pq_stuff"], 1)
    assert rows[4][4].strip() == "–"
    (model / "scores.json").write_bytes((out / "picturebook/report.json").read_bytes())
    known = read_scores(model)
    assert known is not None
    assert (known.scenes, known.values["miou"]) == (2, report["scores"]["miou"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["picturebook", "coco", "--limit", "3"],
            "leave out other benchmarks, --limit; --count says how many",
        ),
        (["coco", "--count", "3"], "--count is for picturebook; a benchmark's first images are --limit N"),
    ],
)
def test_options_of_the_other_benchmarks_are_refused(words: list[str], message: str) -> None:
    assert message in run("evaluate", *words, code=2)[1]


def test_at_least_one_scene_is_scored(tmp_path: Path) -> None:
    predictor = xdecoder.load(tiny(tmp_path))
    with pytest.raises(ValueError, match="count must be at least 1 scene, got 0"):
        evaluate_picturebook(predictor, count=0)
