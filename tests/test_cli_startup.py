"""Commands that only tell things, and words that are wrong, need no torch: they answer at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from xdecoder.cli.app import app
try:
    app({words!r}, prog_name="xdecoder")
except SystemExit as end:
    print("\\nEXIT", end.code, *(m for m in ("torch", "scipy", "cv2", "lancedb") if m in sys.modules))
"""
HELP = [
    *(
        [
            "segment",
            "refer",
            "caption",
            "answer",
            "edit",
            "embed",
            "index",
            "label",
            "search",
            "demo",
            "export",
            "train",
        ]
    ),
    *(["evaluate", "score", "info", "weights", "weights convert", "weights pull", "weights info"]),
    *(["datasets", "datasets check", "datasets prepare", "datasets prepare shards", "picturebook export"]),
]


def run(words: str, folder: Path) -> str:
    """The exit code and the heavy packages that are imported, as the program's last line."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(words=words.split())],
        cwd=folder,
        env={**os.environ, "XDECODER_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.splitlines()[-1] if done.stdout else done.stderr


def test_the_help_of_every_command_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from xdecoder.cli.app import app\n"
        f"codes = [CliRunner().invoke(app, [*words.split(), '--help']).exit_code for words in {HELP}]\n"
        "heavy = [m for m in ('torch', 'numpy', 'PIL', 'huggingface_hub') if m in sys.modules]\n"
        "print(set(codes), heavy)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{0} []"


def test_every_command_is_the_file_named_as_it_is_typed() -> None:
    import xdecoder.cli.commands
    from xdecoder.cli.app import app

    files = {path.stem for path in Path(xdecoder.cli.commands.__path__[0]).glob("[!_]*.py")}
    typed = [row.name or row.callback.__name__ for row in app.registered_commands if row.callback]
    assert sorted(files) == sorted([*typed, *(str(group.name) for group in app.registered_groups)])


@pytest.mark.parametrize("words", ["train list", "evaluate list", "weights list", "datasets list"])
def test_lists_are_told_without_torch(words: str, tmp_path: Path) -> None:
    assert run(words, tmp_path) == "EXIT 0"


@pytest.mark.parametrize(
    "words",
    [
        "train nope",
        "train pretrain_focal_t --set segments.flip=2",
        "train custom --set run.save_every=0",
        "train custom --task boxes",
        "segment nowhere.jpg",
        "segment . --vocabulary cocoo",
        "segment . --task semantic --object-threshold 0.5",
        "refer nowhere.jpg dog",
        "caption nowhere.jpg --box 1,2,3",
        "edit nowhere.jpg dog --blur",
        "evaluate coco",
        "score caption nowhere.json",
        "datasets check nope --data .",
    ],
)
def test_wrong_words_are_told_without_torch(words: str, tmp_path: Path) -> None:
    assert run(words, tmp_path) == "EXIT 2"


def test_a_wrong_setting_of_the_drawn_world_is_told_without_torch(tmp_path: Path) -> None:
    assert run("train picturebook --set nonsense=1", tmp_path) == "EXIT 2 cv2"
