"""`xdecoder evaluate` and `xdecoder score` as one types them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from builders import build_predictor, write_data
from xdecoder.cli.app import app


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDECODER_CACHE", str(tmp_path / "cache"))


def xdecoder(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def test_evaluate_tells_the_figures_the_protocol_and_the_changes_and_score_tells_the_same(
    tmp_path: Path,
) -> None:
    data, model, out = write_data(tmp_path / "data"), tmp_path / "xdecoder_focalt_last", tmp_path / "out"
    build_predictor().save(model)
    told = xdecoder(
        "evaluate", "custom-panoptic-semantic", "refcocog-umd-val", "--data", data, "--weights", model,
        "--out", out, "--short-side", 32, "--limit", 3, "--device", "cpu",
    )  # fmt: skip
    assert "(published 63.2, xdecoder_focalt_last)" in told
    assert "not the published protocol: input size 32 instead of 512" in told
    assert "all classes, the bare name of each" in told
    assert [row["benchmark"] for row in json.loads((out / "report.json").read_text())] == [
        "custom-panoptic-semantic",
        "refcocog-umd-val",
    ]
    assert "(custom-panoptic-semantic/per-class.png)" in (out / "report.md").read_text()
    scored = json.loads(
        xdecoder(
            "score",
            "custom-panoptic-semantic",
            out / "custom-panoptic-semantic/semantic.json",
            "--data",
            data,
            "--limit",
            3,
            "--json",
            "--out",
            tmp_path / "plots",
        )
    )
    assert scored["figures"] == json.loads((out / "report.json").read_text())[0]["figures"]
    assert (tmp_path / "plots/per-class.png").is_file()


def test_score_prints_figures_one_a_line(tmp_path: Path) -> None:
    truth = write_data(tmp_path / "data") / "annotations/panoptic_val.json"
    lines = xdecoder("score", "panoptic", truth, "--truth", truth).splitlines()
    assert lines[0].split() == ["PQ", "100.00"]
    assert lines[-1] == "7 images"


def test_the_benchmarks_and_groups_are_listed() -> None:
    told = xdecoder("evaluate", "list")
    assert "coco-panoptic: coco (val), panoptic, PQ" in told
    assert "vl (group): refcocog-umd-val, coco-karpathy-retrieval, coco-karpathy-caption" in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["coco"], "where are the data sets? Add --data FOLDER"),
        (["coco-panoptic", "--data", "."], "no such folder"),
        (["coco", "--data", "."], "coco-panoptic: coco/annotations/panoptic_val2017.json: no such"),
        (["cocoa", "--data", "."], "no benchmark 'cocoa'; did you mean 'coco'?"),
        (["coco", "--data", ".", "--classes", "all"], "'all' is not one of"),
        (["coco", "--data", ".", "--checkpoint", "mine"], "no published checkpoint 'mine'"),
    ],
)
def test_bad_words_are_told_with_exit_code_2(words: list[str], message: str, tmp_path: Path) -> None:
    model = tmp_path / "model"
    if message == "no such folder":
        build_predictor().save(model)
        words = [*words[:2], str(tmp_path / "nowhere")]
    assert message in xdecoder("evaluate", *words, "--weights", model, "--out", tmp_path / "out", code=2)
