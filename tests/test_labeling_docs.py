"""What docs/labeling.md says can be done can be done."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from builders import save_tiny_model
from xdecoder.cli.app import app
from xdecoder.picturebook import draw_scene

PAGE = (Path(__file__).parents[1] / "docs/labeling.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture
def _photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The photos that the page names, and a tiny model in place of the bundled one."""
    save_tiny_model(tmp_path / "assets/picturebook")
    monkeypatch.setattr("xdecoder.weights.sources._ASSETS", tmp_path / "assets")
    monkeypatch.setenv("XDECODER_CACHE", str(tmp_path / "cache"))
    (tmp_path / "work/photos").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    for seed, name in enumerate(("one", "two")):
        Image.fromarray(draw_scene(seed, split="val", size=96).image).save(f"photos/{name}.jpg")


@pytest.mark.usefixtures("_photos")
def test_the_page_s_commands_and_python_run_one_after_the_other() -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("xdecoder ")]
    run = [line for line in lines if not line.startswith("xdecoder serve")]
    assert len(run) == 8
    for line in run:
        command, _, target = line.partition(" > ")
        result = CliRunner().invoke(app, shlex.split(command, comments=True)[1:])
        assert result.exit_code == 0, (line, result.output)
        if target:
            Path(target).write_text(result.stdout)
    made = ("results/coco", "phrases/yolo", "results/labelstudio", "cvat", "fiftyone", "mydata")
    assert all(Path(folder).is_dir() for folder in made)
    namespace: dict[str, Any] = {}
    found = blocks("python")
    assert len(found) == 2
    for block in found:
        exec(compile(block, "labeling.md", "exec"), namespace)
    assert namespace["made"].images == 2
    assert len(namespace["shapes"]) > 0
