"""Files that are whole or not there, leftovers of killed processes, and names that come from data."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdecoder.jobs.files import (
    draft_folder,
    remove_drafts,
    safe_name,
    whole_file,
    whole_folder,
    write_whole,
)

HOSTILE = [
    "",
    ".",
    "..",
    "../../x",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "C:\\x",
    "C:x",
    "a\x00b",
    "a\nb",
    "\x1b[31mred",
    ".hidden",
    "ends.",
    "ends ",
    "con",
    "NUL.txt",
    "COM1",
    "lpt9.png",
    "x" * 400,
    "ü" * 200,
    "e\u0301",
    "\udce9",
    "a~b",
    "a:b",
    "a*b?",
    "\u202egnp.exe",
    "~",
    "~root",
    ".0123456789abcdef.draft",
]


def test_plain_names_stay_as_they_are():
    for name in (
        "000000000139",
        "ADE_val_00000001",
        "frankfurt_000000_000294",
        "café",
        "写真 1",
        "a.b-c",
        "-1",
    ):
        assert safe_name(name) == name


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_leaves_its_folder(name: str, tmp_path: Path):
    write_whole(tmp_path / f"{safe_name(name)}.png", b"x")
    assert len(list(tmp_path.iterdir())) == 1


def test_hostile_names_stay_distinct_from_one_another_and_from_plain_ones():
    names = [*HOSTILE, "a_b", "a b", *map(safe_name, HOSTILE)]
    assert len({safe_name(name) for name in set(names)}) == len(set(names))


@given(st.text(max_size=300))
def test_any_text_becomes_a_name(name: str):
    safe = safe_name(name)
    assert 0 < len(safe.encode()) <= 160
    assert not set(safe) & set('/\\:*?"<>|\x00\n\r\x7f\x1b')
    assert safe[0] != "."
    assert safe[-1] not in ". "
    assert safe == safe_name(name)


def test_a_file_is_written_whole_or_stays_as_it_was(tmp_path: Path):
    path = tmp_path / "a.json"
    write_whole(path, b"old")
    with contextlib.suppress(RuntimeError), whole_file(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    with whole_file(path) as file:
        file.write(b"n")
        file.write(b"ew")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    with pytest.raises(FileNotFoundError, match=r"no folder .*; make it first"):
        write_whole(tmp_path / "nowhere" / "a", b"")


def test_a_folder_is_written_whole_or_stays_as_it_was(tmp_path: Path):
    out = tmp_path / "out"
    with whole_folder(out) as draft:
        (draft / "a").write_text("1")
    with contextlib.suppress(RuntimeError), whole_folder(out) as draft:
        (draft / "b").write_text("2")
        raise RuntimeError
    assert [p.relative_to(tmp_path).as_posix() for p in sorted(tmp_path.rglob("*"))] == ["out", "out/a"]
    with whole_folder(out) as draft:
        (draft / "c").write_text("3")
    assert [p.name for p in out.iterdir()] == ["c"]
    with draft_folder(tmp_path) as draft:
        (draft / "d").mkdir()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_what_a_killed_process_left_is_removed_and_what_is_being_written_is_not(tmp_path: Path):
    program = (
        "import sys, time; from pathlib import Path; from contextlib import ExitStack\n"
        "from xdecoder.jobs.files import whole_file, whole_folder\n"
        "folder = Path(sys.argv[1])\n"
        "with whole_file(folder / 'file') as f, whole_folder(folder / 'folder') as d:\n"
        "    f.write(b'half'); f.flush(); (d / 'x').write_text('half'); print('ready', flush=True)\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    (tmp_path / ".kept").write_text("somebody's")
    assert remove_drafts(tmp_path) == 0
    assert len(list(tmp_path.iterdir())) == 3
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert remove_drafts(tmp_path) == 2
    assert [p.name for p in tmp_path.iterdir()] == [".kept"]
