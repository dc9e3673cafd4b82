"""What the documentation says can be done can be done."""

import ast
import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

import xdecoder
from builders import save_tiny_model
from xdecoder.cli.app import app
from xdecoder.picturebook import draw_scene
from xdecoder.video import VideoWriter

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text: str, *languages: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    return [body for language, body in fenced if language in languages]


def commands(text: str) -> list[list[str]]:
    """The command lines of `xdecoder` in a page, as arguments."""
    lines = "\n".join(blocks(text, "sh", "bash", "")).replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True) for line in lines if "xdecoder " in line]
    return [line[line.index("xdecoder") + 1 :] for line in words if "xdecoder" in line]


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.fixture(scope="module")
def _bundled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A tiny model in place of the bundled one."""
    assets = tmp_path_factory.mktemp("assets")
    save_tiny_model(assets / "picturebook", answers=("yes", "no"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xdecoder.weights.sources._ASSETS", assets)
        patch.setenv("XDECODER_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def _photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The images that the examples name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("PIL.Image.Image.show", lambda _: None)
    Path("photos").mkdir()
    Path("examples").symlink_to(ROOT / "examples")
    for seed, name in enumerate(("photo.jpg", "other.png", "photos/one.jpg")):
        Image.fromarray(draw_scene(seed, split="val", size=128).image).save(name)
    writer = VideoWriter(Path("video.mp4"), rate=5.0, size=(64, 64))
    for seed in range(6):
        writer.write(draw_scene(seed, split="val", size=64).image, seed / 5)
    writer.close()


def is_cheap(command: list[str]) -> bool:
    """It needs no download, no data and no training."""
    named = command[command.index("--weights") + 1] if "--weights" in command else "picturebook"
    offline = named == "picturebook" and not {"--data", "--pipeline"} & set(command)
    return command[0] in ("segment", "refer", "caption", "answer", "embed", "edit", "info", "weights") and (
        offline and command[:2] not in (["weights", "pull"], ["weights", "convert"], ["weights", "info"])
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {link}"
        assert not anchor or anchor in anchors(target), f"{page.name} links to {link}"


@pytest.mark.usefixtures("_bundled", "_photographs")
def test_the_readme_s_python_runs() -> None:
    namespace: dict[str, Any] = {}
    found = blocks(README, "python")
    assert len(found) >= 4
    for block in found:
        exec(compile(block, "README.md", "exec"), namespace)
    assert Path("segments.png").is_file()
    assert isinstance(namespace["result"], xdecoder.PanopticSegmentation)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_takes_the_arguments_that_the_pages_give_it(page: Path) -> None:
    for arguments in commands(page.read_text(encoding="utf-8")):
        if arguments[0].isupper() or not re.match(r"[a-z]", arguments[0]):
            continue
        command: Any = typer.main.get_command(app)
        rest = list(arguments)
        while hasattr(command, "commands"):
            assert rest, f"{page.name}: xdecoder {shlex.join(arguments)}"
            assert rest[0] in command.commands, f"{page.name}: xdecoder {shlex.join(arguments)}"
            command = command.commands[rest.pop(0)]
        command.make_context("xdecoder", rest)  # raises where an option is unknown or a value is wrong


@pytest.mark.usefixtures("_bundled", "_photographs")
@pytest.mark.parametrize("command", [c for c in commands(README) if is_cheap(c)], ids=shlex.join)
def test_the_readme_s_commands_run(command: list[str]) -> None:
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output


def test_the_readme_shows_the_usual_verbs() -> None:
    used = {command[0] for command in commands(README)}
    assert {
        "segment",
        "refer",
        "caption",
        "answer",
        "edit",
        "embed",
        "demo",
        "weights",
        "train",
        "evaluate",
    } <= used


def test_the_readme_s_picture_is_small_enough_for_a_clone() -> None:
    assert (ROOT / "docs/images/demo.png").stat().st_size < 600_000


def test_the_site_of_pages_and_docstrings_builds_and_needs_no_network(tmp_path: Path) -> None:
    """Strict: a broken link, or a docstring that names an argument that is not there, fails."""
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=True,
    )
    page = (tmp_path / "api" / "predictor.html").read_text(encoding="utf-8")
    assert 'id="xdecoder.predictor.predictor.Predictor.segment"' in page
    fetched = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"?(https?:[^\"> ]+)", page)
    assert not fetched


@pytest.mark.parametrize("folder", ["benchmarks", "examples"])
def test_scripts_import_what_there_is(folder: str) -> None:
    for script in sorted((ROOT / folder).glob("*.py")):
        for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("xdecoder"):
                module = importlib.import_module(node.module or "")
                for name in node.names:
                    assert hasattr(module, name.name), f"{script.name}: {node.module} has no {name.name}"
