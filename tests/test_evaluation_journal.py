"""Journals: what was appended is found again, whatever a kill left behind."""

import errno
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xdecoder.jobs import journal as journals
from xdecoder.jobs.journal import Finished, Journal

MADE_WITH = {"weights": "ab", "classes": "global"}


def written() -> list[dict[str, object]]:
    return [
        {"image_id": 3, "caption": "a dog"},
        {"image_id": "b/c", "caption": "ein Hünd"},
        {"image_id": 1, "error": "unreadable image"},
    ]


def fill(folder: Path, rank: int = 0) -> Path:
    with Journal(folder, rank, MADE_WITH) as journal:
        for entry in written():
            journal.add(entry)
    return folder / f"journal-{rank}.jsonl"


def test_entries_are_read_back_in_the_order_asked_for(tmp_path: Path) -> None:
    fill(tmp_path)
    finished = Finished.read(tmp_path, MADE_WITH)
    assert [e["image_id"] for e in finished.entries(iter(["b/c", 1, 2, 3]))] == ["b/c", 3]
    assert finished.failed == {1: "unreadable image"}


def test_a_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(journals, "_SECONDS_BETWEEN_SYNCS", 0.0)
    with Journal(tmp_path, 1, MADE_WITH) as journal:
        monkeypatch.setattr(journals.os, "fsync", fsync)
        with pytest.raises(OSError, match="No space") as told:
            journal.add({"image_id": 9, "caption": "new"})
        monkeypatch.undo()
    assert told.value.filename == str(tmp_path / "journal-1.jsonl")


def test_an_image_that_failed_once_and_worked_later_has_not_failed(tmp_path: Path) -> None:
    fill(tmp_path)
    with Journal(tmp_path, 1, MADE_WITH) as journal:
        journal.add({"image_id": 1, "caption": "a cat"})
    finished = Finished.read(tmp_path, MADE_WITH)
    assert finished.failed == {}
    assert [e["caption"] for e in finished.entries(iter([1]))] == ["a cat"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_file_cut_anywhere_keeps_its_whole_lines_and_goes_on(tmp_path: Path, data: st.DataObject) -> None:
    whole = fill(tmp_path).read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path = tmp_path / "journal-0.jsonl"
    path.write_bytes(whole[:cut])
    kept = [json.loads(line) for line in whole[:cut].split(b"\n")[1:-1]]
    finished = Finished.read(tmp_path, MADE_WITH)
    assert [*finished.places] == [e["image_id"] for e in kept if "error" not in e]
    with Journal(tmp_path, 0, MADE_WITH) as journal:
        journal.add({"image_id": 9, "caption": "new"})
    assert [json.loads(line) for line in path.read_bytes().splitlines()] == [
        {"fingerprint": MADE_WITH},
        *kept,
        {"image_id": 9, "caption": "new"},
    ]
    path.unlink()


def test_what_was_made_otherwise_or_is_damaged_is_refused(tmp_path: Path) -> None:
    path = fill(tmp_path)
    with pytest.raises(ValueError, match=r"made otherwise \(classes 'global' there, 'present' now\)"):
        Finished.read(tmp_path, {**MADE_WITH, "classes": "present"})
    path.write_bytes(path.read_bytes().replace(b'{"image_id": "b/c"', b'{"image'))
    with pytest.raises(ValueError, match=r"journal-0.jsonl: damaged at byte .* compute its images again"):
        Finished.read(tmp_path, MADE_WITH)


@pytest.mark.parametrize(
    "first", ["[1, 2]", "null", '{"image_id": 1}', '{"fingerprint": 3}', "\\xff", "no JSON"]
)
def test_a_file_that_is_no_journal_is_named_and_left_as_it_is(first: str, tmp_path: Path) -> None:
    path = tmp_path / "journal-0.jsonl"
    path.write_text(f"{first}\n")
    with pytest.raises(ValueError, match=r"journal-0\.jsonl is no journal of results"):
        Journal(tmp_path, 0, {"weights": "a"})
    with pytest.raises(ValueError, match=r"journal-0\.jsonl is no journal of results"):
        Finished.read(tmp_path, {"weights": "a"})
    assert path.read_text() == f"{first}\n"


def test_an_entry_that_is_no_object_is_named(tmp_path: Path) -> None:
    with Journal(tmp_path, 0, {}):
        pass
    with (tmp_path / "journal-0.jsonl").open("a") as file:
        file.write("[7]\n")
    with pytest.raises(ValueError, match=r"byte \d+ begins no result, but \[7\]; delete the file"):
        Finished.read(tmp_path, {})


def test_a_second_writer_is_refused_until_the_first_is_done(tmp_path: Path) -> None:
    with Journal(tmp_path, 0, {}) as first:
        first.add({"image_id": 1})
        with pytest.raises(ValueError, match=r"another process is writing results to .*: wait for its end"):
            Journal(tmp_path, 0, {})
        with Journal(tmp_path, 1, {}) as other:  # a process of the same run
            other.add({"image_id": 2})
    with Journal(tmp_path, 0, {}) as again:
        again.add({"image_id": 3})
    assert set(Finished.read(tmp_path, {}).places) == {1, 2, 3}
