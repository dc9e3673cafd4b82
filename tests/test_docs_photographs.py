"""The page on one's own photographs, done as it says: from VOC masks to a model that knows their classes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from typer.testing import CliRunner

import xdecoder
from builders import VOC_CLASSES, save_tiny_model, write_voc
from xdecoder.cli.app import app
from xdecoder.picturebook import draw_scene
from xdecoder.server.app import create_app

PAGE = (Path(__file__).parents[1] / "docs/photographs.md").read_text(encoding="utf-8")
SHORT = ["--set", "steps=2", "--set", "segments.images=2", "--set", "run.workers=0"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)


def test_the_commands_of_the_page_lead_from_masks_to_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_tiny_model(tmp_path / "assets/picturebook-lite")
    monkeypatch.setattr("xdecoder.weights.sources._ASSETS", tmp_path / "assets")
    monkeypatch.setenv("XDECODER_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_voc(Path("labels"), images=5, size=64)
    Path("photos").mkdir()
    for name in ("photo.jpg", "photos/new.jpg"):
        Image.fromarray(draw_scene(9, split="val", size=64).image).save(name)
    commands = [shlex.split(line)[1:] for line in blocks("sh")[0].splitlines()]
    assert len(commands) == 6
    for command in commands[:-1]:  # the last one serves until it is stopped
        given = [*command, *SHORT] if command[0] == "train" else command
        done = CliRunner().invoke(app, given)
        assert done.exit_code == 0, (command, done.output)
        if command[0] == "train":
            assert "squares of 96 pixels, from picturebook-lite" in done.output
            assert (
                "finished: the model of the last step is in runs/mine/model, that of the best" in done.output
            )
    assert commands[-1][0] == "serve"
    assert Path("custom-semantic-check.png").is_file()
    assert Path("results/new.png").is_file()
    assert "mIoU" in Path("figures/report.md").read_text()
    assert "Stuff: " + ", ".join(VOC_CLASSES) in Path("runs/mine/model-best/README.md").read_text()
    described = CliRunner().invoke(app, ["weights", "info", "runs/mine/model-best"], env={"COLUMNS": "300"})
    assert ", ".join(VOC_CLASSES) in described.output
    namespace: dict[str, Any] = {}
    for block in blocks("python"):
        exec(compile(block, "photographs.md", "exec"), namespace)
    assert namespace["model"].default_vocabulary.classes == VOC_CLASSES
    assert Path("result.png").is_file()
    assert isinstance(namespace["model"], xdecoder.Predictor)
    with TestClient(create_app(namespace["model"]), base_url="http://localhost") as client:
        (options,) = re.findall(r"options=({.*?})'", PAGE)
        sent = {
            "files": {"image": ("photo.jpg", Path("photo.jpg").read_bytes())},
            "data": {"options": options},
        }
        answer = client.post("/v1/segment", **sent).json()
    assert (answer["kind"], answer["vocabulary"]) == ("semantic", list(VOC_CLASSES))
