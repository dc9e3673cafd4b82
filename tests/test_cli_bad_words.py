"""Command lines that are wrong: one clear line each, whatever is wrong with them."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from builders import save_tiny_model
from xdecoder.cli.app import app

Cli = Callable[..., Result]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny", answers=("yes", "no"))


@pytest.fixture
def cli(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command with the tiny model in a folder with an image and files that are none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDECODER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "200")
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("a.png")
    Path("empty").mkdir()
    Path("file").write_text("x")
    Path("loops").mkdir()
    Path("loops/loop").symlink_to("loop")
    for name, text in {
        "list": "[]",
        "null": "null",
        "bad": "{",
        "ints": "[1, 2]",
        "deep": "[" * 5000,
    }.items():
        Path(f"{name}.json").write_text(text)
    Path("latin.txt").write_bytes(b"caf\xe9\n")

    def invoke(*arguments: str) -> Result:
        needs_model = arguments[0] in ("segment", "refer", "caption", "answer", "edit", "embed", "index")
        end = ["--weights", str(model), "--device", "cpu"] if needs_model and "-w" not in arguments else []
        return CliRunner().invoke(app, [*arguments, *end])

    return invoke


SEGMENT, CAPTION, EDIT = ("segment", "a.png", "-v", "dog"), ("caption", "a.png"), ("edit", "a.png", "dog")
NUMBERS = [
    *((*SEGMENT, "--object-threshold", value) for value in ("nan", "inf", "2", "-1", "x", "", "1e400")),
    *((*SEGMENT, "--short-side", value) for value in ("0", "1.5", "32769", "9" * 30)),
    (*SEGMENT, "--batch-size", "0"),
    *((*CAPTION, "--beams", value) for value in ("0", "100000", "9" * 30)),
    *((*CAPTION, "--steps", value) for value in ("0", "100000")),
    ("answer", "a.png", "is it?", "--top-k", "-1"),
    *((*EDIT, "--blur", "--size", value) for value in ("0", "99999", "9" * 30)),
    (*EDIT, "--blur", "--strength", "nan"),
    *(
        (*CAPTION, "--box", value)
        for value in ("", "1,2,3", "nan,0,1,1", "inf,0,1,1", "1e400,0,1,1", "5,5,5,5")
    ),
    ("picturebook", "export", "--out", "scenes", "--n", "0"),
    ("picturebook", "export", "--out", "scenes", "--n", "1", "--size", "-5"),
    ("evaluate", "coco", "--data", "empty", "--limit", "-1"),
]
NAMES = [
    *((*SEGMENT[:3], value) for value in ("", ",", "dog,dog", "background", "cocoo", "nowhere.txt")),
    *((*SEGMENT[:3], f"{name}.json") for name in ("list", "null", "bad", "ints", "deep")),
    (*SEGMENT[:3], "latin.txt"),
    (*SEGMENT, "--things", "\0"),
    *((*EDIT, "--recolor", value) for value in ("", "bleu", "#12", "\n")),
    *((*CAPTION, "--mask", value) for value in ("nowhere.png", "file", "empty", "")),
    *((*CAPTION, "-w", "tiny", "--device", value) for value in ("tpu", "cuda:99", "", "meta")),
    (*CAPTION, "--dtype", "int4"),
    *((*CAPTION, "-w", value, "--device", "cpu") for value in ("nowhere", "file", "empty", "", "a/b/c")),
    *(
        (command, value)
        for command in ("caption", "embed")
        for value in ("nowhere", "", "empty", "file", "\0")
    ),
    (*SEGMENT, "--out", "file"),
    (*SEGMENT, "--out", "file/below"),
    ("embed", "a.png", "--out", "e.txt"),
    ("refer", "a.png", ""),
    ("refer", "a.png", "a.png"),
    ("index", "nowhere", "--to", "i"),
    ("search", "nowhere", "dog"),
    ("search", "empty", "dog"),
    ("search", "loops", "dog"),
    *(("train", "picturebook", "--dry-run", "--device", value) for value in ("tpu", " 3", "cuda:99", "meta")),
    ("reproduce", "tasks", "--budget", "0", "--device", "tpu"),
    ("demo", "--out", "page.txt"),
    ("train", "nope"),
    *(("train", "picturebook", "--set", value) for value in ("", "steps", "steps=x", "steps=-1", "stepz=3")),
    *(
        ("train", "picturebook", "--set", value)
        for value in ("run.keep=x", "images=[1", "steps=!!python/x y")
    ),
    ("train", "custom", "--data", "empty"),
    ("evaluate", "nope", "--data", "."),
    ("evaluate", "coco"),
    ("evaluate", "coco", "--data", "nowhere"),
    ("score", "nope", "list.json"),
    *(("score", "panoptic", f"{name}.json", "--truth", "null.json") for name in ("nowhere", "bad", "deep")),
    ("datasets", "check", "nope", "--data", "."),
    ("datasets", "check", "coco"),
    ("datasets", "prepare", "shards", "custom-pairs", "--data", "nowhere", "--out", "shards"),
    ("weights", "info", "nowhere"),
    ("weights", "pull", "nope"),
    ("weights", "convert", "file", "out"),
    ("nope",),
    ("segment",),
    (*SEGMENT, "--nope"),
]


@pytest.mark.parametrize(
    "words", [*NUMBERS, *NAMES], ids=lambda words: " ".join(words)[:60].encode("unicode_escape").decode()
)
def test_what_is_wrong_is_one_clear_line(words: tuple[str, ...], cli: Cli) -> None:
    done = cli(*words)
    assert isinstance(done.exception, SystemExit), repr(done.exception)
    assert done.exit_code in (1, 2), done.output
    assert not re.search(r"Traceback|unexpected|\[Errno|object has no attribute|NoneType", done.output), (
        done.output
    )
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 or "Usage: xdecoder" in done.stderr, done.output
