"""The command line among hostile names, other processes and leftovers of killed ones."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from builders import save_tiny_model
from xdecoder.cli import over_images
from xdecoder.cli.app import app
from xdecoder.jobs.printable import printable

Cli = Callable[..., Result]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny", answers=("yes", "no"))


@pytest.fixture
def cli(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command with the tiny model in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDECODER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(app, [*map(str, arguments), "--weights", str(model), "--device", "cpu"])

    return invoke


def draw(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    with path.open("wb") as file:
        Image.fromarray(pixels).save(file, "PNG")


def test_what_a_terminal_obeys_is_escaped() -> None:
    assert printable("Hund_Ä 犬.jpg") == "Hund_Ä 犬.jpg"
    assert printable("a\nb\t\x1b[2J\x9b\u202e") == r"a\nb\t\x1b[2J\x9b\u202e"
    assert printable(os.fsdecode(b"caf\xe9.jpg")) == r"caf\xe9.jpg"


HOSTILE = "one\nerror: fake \x1b[31mred\x1b[0m.png"
COMMANDS = [
    ("caption", "photos"),
    ("answer", "photos", "-q", "is it?"),
    ("segment", "photos", "--vocabulary", "dog"),
    ("refer", "photos", "-p", "a dog"),
    ("edit", "photos", "-r", "a dog", "--blur"),
    ("embed", "photos", "--text", "a dog"),
    ("index", "photos", "--to", "photos.index"),
    ("demo", "photos", "--no-open"),
]


@pytest.mark.parametrize("command", COMMANDS[:7], ids=lambda command: command[0])
def test_names_are_printed_escaped(command: tuple[str, ...], cli: Cli) -> None:
    for name in (HOSTILE, "two.png"):
        draw(Path("photos") / name)
    (Path("photos") / f"bad {HOSTILE}").write_text("no picture")
    done = cli(*command)
    assert done.exit_code == 1, done.output
    assert "\x1b" not in done.output
    assert (
        r"error: photos/bad one\nerror: fake \x1b[31mred\x1b[0m.png is not an image"
        in done.stderr.replace(str(Path.cwd()) + "/", "")
    )
    assert not any(line.startswith("error: fake") for line in done.output.splitlines())
    if command[0] in ("caption", "answer"):
        assert done.stdout.startswith(r"photos/one\nerror: fake \x1b[31mred\x1b[0m.png" + "\t")


def test_hits_of_a_search_are_printed_escaped(cli: Cli) -> None:
    draw(Path("photos") / HOSTILE)
    cli("index", "photos", "--to", "photos.index")
    done = cli("search", "photos.index", "a dog")
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.output
    assert r"one\nerror: fake" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="file systems of other computers refuse such names")
@pytest.mark.parametrize("command", COMMANDS[:7], ids=lambda command: command[0])
def test_a_name_that_is_not_utf_8_is_told_and_gone_past(command: tuple[str, ...], cli: Cli) -> None:
    draw(Path("photos/one.png"))
    draw(Path(os.fsdecode(b"photos/caf\xe9.png")))
    done = cli(*command)
    assert done.exit_code == 1, done.output
    assert (
        r"caf\xe9.png: the name is not UTF-8, so that no result can name it; rename the file" in done.stderr
    )
    assert not isinstance(done.exception, UnicodeError)
    assert "1 image" in done.stderr
    if command[0] == "caption":
        assert done.stdout.startswith("photos/one.png\t")


def test_the_second_of_two_processes_in_a_folder_waits_for_the_first(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(Path("photos/one.png"))
    Path("results").mkdir()
    held = os.open("results", os.O_RDONLY)  # as another process
    fcntl.flock(held, fcntl.LOCK_EX)
    waits, print_wait = threading.Event(), over_images.print_wait
    ended: list[float] = []

    def end() -> None:
        waits.wait(60)
        ended.append(time.monotonic())
        os.close(held)

    def told(folder: Path) -> Callable[[], None]:
        say = print_wait(folder)

        def say_and_signal() -> None:
            say()
            waits.set()

        return say_and_signal

    monkeypatch.setattr(over_images, "print_wait", told)
    other = threading.Thread(target=end)
    other.start()
    done = cli("refer", "photos", "-p", "a dog")
    assert time.monotonic() > ended[0]
    other.join()
    assert waits.is_set()
    assert done.exit_code == 0
    assert "another process writes to results: waiting for its end" in done.stderr
    assert {p.name for p in Path("results").iterdir()} == {"one.png", "one.json"}


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_killed_run_leaves_nothing_hidden_after_the_next(cli: Cli, model: Path) -> None:
    for i in range(6):
        draw(Path(f"photos/{i}.png"))
    program = (
        "import os, signal\n"
        "from xdecoder.jobs import files\n"
        "files.os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from xdecoder.cli import main\n"
        "main()\n"
    )
    command = ["segment", "photos", "-v", "dog", "--short-side", "32"]
    cli(*command, "--out", "other")  # stores the class's name
    killed = subprocess.run(
        [sys.executable, "-c", program, *command, "--weights", model], check=False, capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [p for p in Path("results").iterdir() if p.name.startswith(".")]
    done = cli(*command)
    assert done.exit_code == 0, done.output
    assert len(list(Path("results").iterdir())) == 12
    assert not [p for p in Path("results").iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["segment", "photos", "--out", "file"], "--out file: file is no folder; choose another"),
        (["refer", "photos", "-p", "dog", "--out", "file/sub"], "--out file/sub: file is no folder"),
        (["embed", "photos", "--out", "file/e.npz"], "--out file: file is no folder"),
        (["embed", "photos", "--out", "folder.npz"], "--out folder.npz is a folder; give a file"),
        (["demo", "--out", "folder.html"], "--out folder.html is a folder; give a file"),
    ],
)
def test_results_that_cannot_be_written_are_refused_before_a_model_is_loaded(
    arguments: list[str], message: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xdecoder.cli.loading.load_predictor", lambda *_, **__: pytest.fail("loaded"))
    draw(Path("photos/one.png"))
    Path("file").write_text("")
    Path("folder.npz").mkdir()
    Path("folder.html").mkdir()
    done = cli(*arguments)
    assert (done.exit_code, message in done.stderr) == (2, True), done.output
