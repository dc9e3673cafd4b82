"""Files that are there and cannot be read, as on a failing disk: every message names them."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from builders import save_tiny_model
from xdecoder.cli.app import app
from xdecoder.jobs.files import name_file, read_file, read_text

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a file whose reading fails")

FAILING = Path("/proc/self/mem")
"""A file of zero bytes by its size; reading its first byte is an input/output error."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny", answers=("yes", "no"))


def draw(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)).save(path)


def fail(path: Path) -> str:
    """Put a file whose reading fails at a path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(FAILING)
    return str(path)


Prepare = Callable[[Path], tuple[str, ...]]


def vocabulary(name: str) -> Prepare:
    def prepare(model: Path) -> tuple[str, ...]:
        return ("segment", "a.png", "--vocabulary", fail(Path(name)), "--weights", str(model))

    return prepare


def part_of_the_model(name: str, *command: str) -> Prepare:
    def prepare(model: Path) -> tuple[str, ...]:
        shutil.copytree(model, "copy")
        fail(Path("copy") / name)
        return (*command, "--weights", "copy")

    return prepare


def converted(name: str, *others: str) -> Prepare:
    def prepare(_: Path) -> tuple[str, ...]:
        for other in others:
            draw(Path("labeled") / other)
        fail(Path("labeled") / name)
        return ("datasets", "convert", "labeled", "converted")

    return prepare


def token(model: Path) -> tuple[str, ...]:
    return ("serve", "--token-file", fail(Path("token.txt")), "--weights", str(model))


def yolo_labels(_: Path) -> tuple[str, ...]:
    draw(Path("labeled/images/a.png"))
    Path("labeled/data.yaml").write_text("names: [dog]\ntrain: images\n")
    fail(Path("labeled/labels/a.txt"))
    return ("datasets", "convert", "labeled", "converted")


def checkpoint_configuration(_: Path) -> tuple[str, ...]:
    Path("x.pt").write_bytes(b"x")
    return ("weights", "convert", "x.pt", "out", "--config", fail(Path("x.yaml")))


def annotations(*command: str) -> Prepare:
    def prepare(_: Path) -> tuple[str, ...]:
        draw(Path("data/images/train/a.png"))
        fail(Path("data/annotations/instances_train.json"))
        return (*command, "--data", "data")

    return prepare


def answers(model: Path) -> tuple[str, ...]:
    file = fail(Path("answers.json"))
    return ("train", "finetune_vqa", "--data", "data", "--from", str(model), "--set", f"answers={file}")


def saved_results(_: Path) -> tuple[str, ...]:
    return ("convert", fail(Path("lines.jsonl")), "--to", "coco")


def scored(_: Path) -> tuple[str, ...]:
    Path("truth.json").write_text("{}")
    return ("score", "instance", fail(Path("results.json")), "--truth", "truth.json")


def repeated(model: Path) -> tuple[str, ...]:
    fail(Path("out/a.json"))
    Path("out/a.png").write_bytes(b"")
    where = ("--out", "out", "--skip-existing", "--json")
    return ("segment", "a.png", "-v", "dog", *where, "--weights", str(model))


@pytest.mark.parametrize(
    ("prepare", "name"),
    [
        (token, "token.txt"),
        (vocabulary("names.txt"), "names.txt"),
        (vocabulary("names.json"), "names.json"),
        (part_of_the_model("config.json", "segment", "a.png"), "copy/config.json"),
        (part_of_the_model("tokenizer.json", "segment", "a.png"), "copy/tokenizer.json"),
        (part_of_the_model("model.safetensors", "segment", "a.png"), "copy/model.safetensors"),
        (part_of_the_model("answering.json", "answer", "a.png", "is it?"), "copy/answering.json"),
        (part_of_the_model("answering.safetensors", "answer", "a.png", "is it?"), "answering.safetensors"),
        (checkpoint_configuration, "x.yaml"),
        (converted("data.yaml", "images/a.png"), "data.yaml"),
        (yolo_labels, "labels/a.txt"),
        (converted("annotations.xml", "a.png"), "annotations.xml"),
        (converted("a.json", "a.png"), "a.json"),
        (annotations("datasets", "check", "custom-instances", "--split", "train"), "instances_train.json"),
        (annotations("train", "custom"), "instances_train.json"),
        (answers, "answers.json"),
        (saved_results, "lines.jsonl"),
        (scored, "results.json"),
        (repeated, "out/a.json"),
    ],
)
def test_a_file_whose_reading_fails_is_named(
    prepare: Prepare, name: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDECODER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    draw(Path("a.png"))
    done = CliRunner().invoke(app, [*prepare(model)])
    assert done.exit_code in (1, 2), done.output
    assert name in done.output.replace("\n", "")
    assert "unexpected" not in done.output
    assert "Traceback" not in done.output


def test_errors_of_reading_name_the_file(tmp_path: Path) -> None:
    path = Path(fail(tmp_path / "a.txt"))
    for read in (read_file, read_text):
        with pytest.raises(OSError, match=r"Input/output error: '.*a\.txt'"):
            read(path)
    with pytest.raises(OSError, match=r"^a\.txt: No such device$"), name_file(Path("a.txt")):
        raise OSError("No such device")
    (tmp_path / "latin.txt").write_bytes("Bär".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin\.txt: not UTF-8 \(byte 1\).*save it as UTF-8"):
        read_text(tmp_path / "latin.txt")
