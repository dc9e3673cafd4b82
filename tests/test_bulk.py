"""Many images labeled into one table: what a row says, each image once, any source, bad input."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shutil
import signal
import tarfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from pycocotools.coco import COCO
from typer.testing import CliRunner

from builders import draw_picture
from bulk_fixtures import IMAGES, WORDS, Bulk, rows_of
from xdecoder.bulk import (
    Destination,
    LabelingConfig,
    Shard,
    estimate,
    find_source,
    finish,
    joining,
    label,
    read_status,
    run,
)
from xdecoder.bulk.labeling import Labeler
from xdecoder.bulk.place import Place
from xdecoder.bulk.shards import local_rank
from xdecoder.bulk.sources import ImageReader, SourceImage
from xdecoder.cli.app import app
from xdecoder.images import read_image
from xdecoder.jobs.lance import open_table
from xdecoder.predictor.predictor import Predictor
from xdecoder.structures import decode_rle
from xdecoder.structures.masks import Rle


def test_a_row_holds_what_each_verb_says_alone(bulk: Bulk, labeled: Destination) -> None:
    rows = rows_of(labeled)
    assert len(rows) == IMAGES
    for row in rows[:2]:
        path = row["path"]
        wanted = bulk.predictor.segment(path, WORDS)
        assert (row["height"], row["width"]) == (80, 96) == wanted.size
        assert len(row["segments"]) == len(wanted.segments) > 0
        for segment, stored in zip(wanted.segments, row["segments"], strict=True):
            assert stored["label"] == segment.label
            assert stored["category"] == segment.category
            assert stored["is_thing"] == segment.is_thing
            assert stored["score"] == pytest.approx(segment.score)
            assert stored["area"] == segment.area
            assert tuple(stored[side] for side in ("left", "top", "right", "bottom")) == segment.box
            mask = decode_rle(Rle(size=[80, 96], counts=stored["mask"]))
            np.testing.assert_array_equal(mask, wanted.mask(segment))
        assert row["caption"] == bulk.predictor.caption(path).text
        vectors = bulk.predictor.embed_images(path)
        for name, vector in (("decoder", vectors.decoder[0]), ("backbone", vectors.backbone[0])):
            np.testing.assert_array_equal(np.array(row[name], np.float16), vector.numpy().astype(np.float16))
        assert row["error"] is None
        assert (row["file_size"], row["model"]) == (Path(path).stat().st_size, bulk.predictor.digest())


def test_an_image_is_encoded_once_for_all_verbs(
    bulk: Bulk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    encode = bulk.predictor.model.encode_images
    monkeypatch.setattr(bulk.predictor.model, "encode_images", lambda x: encoded.append(len(x)) or encode(x))
    bulk.label(bulk.pictures, tmp_path)
    assert sum(encoded) == IMAGES - 1


def test_an_unreadable_image_is_a_row_that_says_why(labeled: Destination) -> None:
    bad = rows_of(labeled)[-1]
    assert Path(bad["path"]).name == "bad.png"
    assert "is not an image that can be read" in bad["error"]
    assert bad["segments"] is bad["caption"] is bad["decoder"] is bad["height"] is None


@pytest.mark.parametrize("stopped", [False, True])
def test_any_division_into_shards_gives_the_same_rows(
    stopped: bool, bulk: Bulk, labeled: Destination, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "FRAGMENT_ROWS", 2)
    if stopped:  # one of three, and part of another
        bulk.label(bulk.pictures, tmp_path, "0/3")
        part = find_source(str(bulk.pictures), Shard(index=1, count=3))
        label(part[:1], bulk.predictor, Destination.open(str(tmp_path)), shard=Shard(index=1, count=3))
    for i in range(4):
        found = bulk.label(bulk.pictures, tmp_path, f"{i}/4")
    assert not found.fragments()  # the last has joined them
    assert rows_of(found) == rows_of(labeled)


def test_what_has_rows_is_not_labeled_again(
    bulk: Bulk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk.label(bulk.pictures, tmp_path, "1/2")
    destination = bulk.label(bulk.pictures, tmp_path)
    monkeypatch.setattr(ImageReader, "read", lambda *_: pytest.fail("read again"))
    images = find_source(str(bulk.pictures))
    report = label(images, bulk.predictor, destination)
    assert (report.labeled, report.failed, report.before, report.joined) == (0, 0, IMAGES, IMAGES)


def test_failures_are_tried_again_where_that_is_asked(
    bulk: Bulk, labeled: Destination, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = ImageReader.read

    def failing(self: ImageReader, image: SourceImage) -> bytes:
        if Path(image.path).name == "3.png":
            raise OSError(errno.EIO, "bad sector")
        return read(self, image)

    with monkeypatch.context() as patch:
        patch.setattr(ImageReader, "read", failing)
        destination = bulk.label(bulk.pictures, tmp_path)
    status = read_status(destination)
    assert [Path(failure.path).name for failure in status.failures] == ["3.png", "bad.png"]
    assert "bad sector" in status.failures[0].error
    bulk.label(bulk.pictures, tmp_path)
    assert len(read_status(destination).failures) == 2
    bulk.label(bulk.pictures, tmp_path, retry_failed=True)
    assert rows_of(destination) == rows_of(labeled)


def test_a_changed_image_has_its_new_labels_alone(bulk: Bulk, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    for seed in range(2):
        draw_picture(pictures / f"{seed}.png", seed)
    before = rows_of(bulk.label(pictures, tmp_path / "labels"))
    draw_picture(pictures / "1.png", 5)
    after = rows_of(bulk.label(pictures, tmp_path / "labels"))
    assert after[0] == before[0]
    assert after[1]["path"] == before[1]["path"]
    assert after[1]["decoder"] != before[1]["decoder"]


def test_a_join_that_was_cut_short_loses_and_doubles_nothing(
    bulk: Bulk, labeled: Destination, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete = Place.delete
    deleted: list[str] = []

    def cut_short(self: Place, name: str) -> None:
        if deleted:
            raise KeyboardInterrupt
        deleted.append(name)
        delete(self, name)

    monkeypatch.setattr(run, "FRAGMENT_ROWS", 2)
    with monkeypatch.context() as patch:
        patch.setattr(Place, "delete", cut_short)
        with pytest.raises(KeyboardInterrupt):
            bulk.label(bulk.pictures, tmp_path)
    destination = Destination.open(str(tmp_path))
    assert destination.fragments()
    assert finish(destination) == IMAGES
    assert not destination.fragments()
    assert rows_of(destination) == rows_of(labeled)


def test_two_that_join_at_once_where_nothing_locks_leave_each_image_once(
    bulk: Bulk, labeled: Destination, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "FRAGMENT_ROWS", 2)
    monkeypatch.setattr(joining, "_ROWS", 2)
    monkeypatch.setattr(Destination, "all_done", lambda _: False)
    destination = bulk.label(bulk.pictures, tmp_path)
    monkeypatch.setattr(joining, "_held", lambda _: nullcontext())
    read, joined = Destination.read, []

    def meanwhile(self: Destination, name: str, columns: list[str] | None = None) -> pa.Table:
        if name.startswith("fragments") and not joined:
            joined.append(name)
            assert finish(destination) == IMAGES  # the other one, between this one's listing and reading
        return read(self, name, columns)

    monkeypatch.setattr(Destination, "read", meanwhile)
    assert finish(destination) == IMAGES
    assert joined
    assert rows_of(destination) == rows_of(labeled)


# What images lie in.


def pack(pictures: Path, tar: Path) -> None:
    with tarfile.open(tar, "w") as archive:
        for path in sorted(pictures.glob("?.png")):
            archive.add(path, path.name)
        text = tarfile.TarInfo("0.txt")
        archive.addfile(text, io.BytesIO())


def content(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What rows say of the pictures, without where these lie."""
    where = ("key", "path", "file_size", "file_version", "error")
    return [{k: v for k, v in row.items() if k not in where} for row in rows if row["error"] is None]


def test_tar_shards_are_read_by_ranges_and_a_damaged_one_to_its_damage(
    bulk: Bulk, labeled: Destination, tmp_path: Path
) -> None:
    pack(bulk.pictures, tmp_path / "00.tar")
    whole = (tmp_path / "00.tar").read_bytes()
    (tmp_path / "01.tar").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "02.tar").write_bytes(b"no tar" * 200)
    destination = bulk.label(tmp_path / "{00..02}.tar", tmp_path / "labels")
    rows = rows_of(destination)
    assert [row["path"] for row in rows[: IMAGES - 1]] == [
        f"{tmp_path}/00.tar/{i}.png" for i in range(IMAGES - 1)
    ]
    assert content(rows[: IMAGES - 1]) == content(rows_of(labeled))
    errors = {Path(row["path"]).name: row["error"] for row in rows if row["error"]}
    assert "no uncompressed tar, or is cut short" in errors["01.tar"]
    assert "no uncompressed tar, or is cut short" in errors["02.tar"]
    assert 0 < len(content(rows[IMAGES - 1 :])) < IMAGES - 1


def cells(pictures: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(pictures.glob("?.png"))]


def test_a_folder_s_images_come_before_its_tables(bulk: Bulk, tmp_path: Path) -> None:
    pack(bulk.pictures, tmp_path / "all.tar")
    assert len(find_source(str(tmp_path))) == len(find_source(f"{tmp_path}/*.tar")) == IMAGES - 1
    shutil.copy(bulk.pictures / "1.png", tmp_path)
    assert [image.path for image in find_source(str(tmp_path))] == [str(tmp_path / "1.png")]


@pytest.mark.parametrize("struct", [False, True])
def test_the_cells_of_parquet_tables_are_images_in_any_number_of_shards(
    struct: bool, bulk: Bulk, labeled: Destination, tmp_path: Path
) -> None:
    files: list[Any] = [{"bytes": data, "path": "x"} if struct else data for data in cells(bulk.pictures)]
    table = pa.table({"picture": [*files, None]})
    parquet.write_table(table, tmp_path / "all.parquet", row_group_size=2)
    for i in range(2):
        destination = bulk.label(tmp_path / "all.parquet", tmp_path / "labels", f"{i}/2", column="picture")
    rows = rows_of(destination)
    assert content(rows) == content(rows_of(labeled))
    assert rows[0]["path"] == f"{tmp_path}/all.parquet#0"
    assert "holds no image's bytes, but NoneType" in rows[-1]["error"]
    with pytest.raises(ValueError, match=r"has no column 'image': name the one .* of picture"):
        find_source(str(tmp_path / "all.parquet"))


def test_the_cells_of_lance_tables_are_images(bulk: Bulk, labeled: Destination, tmp_path: Path) -> None:
    lancedb.connect(tmp_path).create_table("all", pa.table({"image": cells(bulk.pictures)}))
    destination = bulk.label(tmp_path / "all.lance", tmp_path / "labels")
    assert content(rows_of(destination)) == content(rows_of(labeled))
    with pytest.raises(FileNotFoundError, match=r"no Lance table .*gone\.lance"):
        find_source(str(tmp_path / "gone.lance"))


def test_shards_without_images_are_told(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("0.txt"), io.BytesIO())
    with pytest.raises(FileNotFoundError, match="its shards and tables are empty"):
        find_source(str(tmp_path))
    assert find_source(str(tmp_path), Shard(index=0, count=2)) == []


def test_a_list_names_images_and_a_missing_one_is_a_row(
    bulk: Bulk, labeled: Destination, tmp_path: Path
) -> None:
    names = [str(path) for path in sorted(bulk.pictures.glob("?.png"))]
    shutil.copy(names[0], tmp_path / "near.png")
    (tmp_path / "all.txt").write_text("\n".join(["# pictures", *names[1:], "", "near.png", "gone.png"]))
    rows = rows_of(bulk.label(tmp_path / "all.txt", tmp_path / "labels"))
    assert len(content(rows)) == IMAGES - 1
    errors = {row["path"]: row["error"] for row in rows if row["error"]}
    assert list(errors) == [str(tmp_path / "gone.png")]


def test_names_that_are_no_unicode_are_rows_with_an_error(bulk: Bulk, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    shutil.copy(bulk.pictures / "1.png", os.fsencode(tmp_path / "pictures") + b"/\xff.png")
    (row,) = rows_of(bulk.label(tmp_path / "pictures", tmp_path / "labels"))
    assert row["path"].endswith("\\xff.png")
    assert "the name is not UTF-8" in row["error"]


# What labels are joined into.


def test_a_table_that_another_process_is_making_is_not_there_yet(tmp_path: Path) -> None:
    (tmp_path / "labels.lance").mkdir()  # as LanceDB leaves a table for a moment
    database = lancedb.connect(tmp_path)
    assert database.list_tables().tables == ["labels"]
    assert open_table(database, "labels") is None
    database.create_table("labels", pa.table({"a": [1]}))
    table = open_table(database, "labels")
    assert table is not None
    assert table.count_rows() == 1


def test_lance_holds_the_same_rows(bulk: Bulk, labeled: Destination, tmp_path: Path) -> None:
    bulk.label(bulk.pictures, tmp_path, "0/2", format="lance")
    destination = bulk.label(bulk.pictures, tmp_path, "1/2", format="lance")
    assert rows_of(destination) == rows_of(labeled)
    assert lancedb.connect(tmp_path).open_table("labels").count_rows() == IMAGES


def test_coco_s_json_holds_the_same_segments_and_captions(
    bulk: Bulk, labeled: Destination, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bulk.label(bulk.pictures, tmp_path, format="coco")
    found = COCO(str(tmp_path / "coco.json"))
    good = [row for row in rows_of(labeled) if row["error"] is None]
    assert [image["file_name"] for image in found.loadImgs(sorted(found.imgs))] == [r["path"] for r in good]
    assert [c["name"] for c in found.loadCats(sorted(found.cats))] == WORDS.split(",")
    for number, row in enumerate(good, start=1):
        annotations = found.loadAnns(found.getAnnIds(number))
        assert [found.annToMask(a).sum() for a in annotations] == [s["area"] for s in row["segments"]]
        assert [a["bbox"][0] for a in annotations] == [s["left"] for s in row["segments"]]
    captions = json.loads((tmp_path / "captions.json").read_text())["annotations"]
    assert {a["image_id"]: a["caption"] for a in captions} == {
        i: row["caption"] for i, row in enumerate(good, start=1)
    }


# How far it is, and what it costs.


def test_status_tells_done_failed_rate_and_time_left_over_all_shards(
    bulk: Bulk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "FRAGMENT_ROWS", 1)
    part = Shard(index=1, count=2)
    images = find_source(str(bulk.pictures))[:4]
    destination = Destination.create(str(tmp_path), bulk.config)
    label(images, bulk.predictor, destination, shard=part)
    status = read_status(destination)
    assert status.images == 4 == status.labeled + len(status.failures)
    assert (status.shards_begun, status.shards_done, status.shards, status.joined) == (1, 1, 2, False)
    assert status.rate is not None
    assert status.rate > 0
    assert status.seconds_left == 0


def test_an_estimate_measures_a_sample_and_writes_nothing(bulk: Bulk) -> None:
    images = find_source(str(bulk.pictures))
    found = estimate(images, bulk.predictor, bulk.config, sample=4)
    assert (found.images, found.sampled) == (IMAGES, 4)
    assert found.seconds > 0
    assert found.bytes > 0
    assert found.hours(2) == pytest.approx(IMAGES * found.seconds / 7200)


# Which part is mine.


def array(number: int, first: int, last: int) -> dict[str, str]:
    """What SLURM tells a job of an array."""
    values = {"ID": number, "MIN": first, "MAX": last, "COUNT": last - first + 1}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, "0/1"),
        ({"RANK": "2", "WORLD_SIZE": "4"}, "2/4"),
        ({"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "3"}, "1/3"),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "3"}, "0/1"),  # a batch script, which srun did not start
        ({**array(5, 1, 8), "SLURM_PROCID": "0"}, "4/8"),
        ({**array(3, 0, 3), "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2"}, "7/8"),
    ],
)
def test_launchers_tell_a_process_its_part(environment: dict[str, str], wanted: str) -> None:
    assert str(Shard.find(environment)) == wanted


def test_an_array_of_jobs_that_leaves_numbers_out_is_refused() -> None:
    with pytest.raises(ValueError, match=r"from 2 to 9 has 2 jobs and leaves numbers out, .* with --shard"):
        Shard.find({**array(9, 2, 9), "SLURM_ARRAY_TASK_COUNT": "2"})


def test_a_process_takes_the_gpu_of_its_number_on_its_machine() -> None:
    assert local_rank({"LOCAL_RANK": "3"}) == 3
    assert local_rank({"SLURM_LOCALID": "2"}) == 2
    assert local_rank({}) == 0


@pytest.mark.parametrize("text", ["4", "4/4", "1/0", "-1/4", "a/b"])
def test_a_part_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="from 0"):
        Shard.parse(text)


# As a user meets it.

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def xdecoder_label(bulk: Bulk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: object) -> tuple[int, str, str]:
        words = ["label", *map(str, arguments)]
        result = CliRunner().invoke(app, words)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout, " ".join(result.stderr.split())

    return invoke


def test_the_command_labels_tells_costs_status_and_failures(
    bulk: Bulk, labeled: Destination, xdecoder_label: Run
) -> None:
    model = ("-v", WORDS, "-w", bulk.model, "--device", "cpu")
    code, out, _ = xdecoder_label(bulk.pictures, "--to", "labels", "--dry-run", "--sample", 2, *model)
    assert code == 0
    assert out.startswith(f"{IMAGES} images; 2 measured")
    assert "GB to be written" in out
    assert not Path("labels").exists()
    code, _, told = xdecoder_label(bulk.pictures, "--to", "labels", "--shard", "0/2", *model)
    assert "other shards are not done: xdecoder label --to labels --status tells of them" in told
    assert code in (0, 1)
    code, out, _ = xdecoder_label("--status", "labels")
    assert code == 0
    assert "of 1 shards that have begun" in out
    assert "1 of 2 shards done; " in out
    code, _, told = xdecoder_label(bulk.pictures, "--to", "labels", "--shard", "1/2", *model)
    assert f"labels is joined and holds {IMAGES} images" in told
    assert rows_of(Destination.open("labels")) == rows_of(labeled)
    code, out, _ = xdecoder_label("--to", "labels", "--status")
    assert f"{IMAGES} of {IMAGES} images done: {IMAGES - 1} labeled, 1 failed" in out
    assert "bad.png" in out
    assert "is not an image that can be read" in out
    code, _, told = xdecoder_label("--to", "labels", "--commit")
    assert (code, f"holds {IMAGES} images" in told) == (0, True)


def test_a_process_that_is_asked_to_end_writes_what_is_done_first(
    bulk: Bulk, xdecoder_label: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_all = Labeler.run

    def asked_to_end(self: Labeler, images: list[SourceImage], **options: Any) -> Iterator[Any]:
        for number, labels in enumerate(run_all(self, images, **options)):
            if number == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            yield labels

    monkeypatch.setattr(Labeler, "run", asked_to_end)
    model = ("-v", WORDS, "-w", bulk.model, "--device", "cpu")
    assert xdecoder_label(bulk.pictures, "--to", "labels", *model)[0] == 130
    status = read_status(Destination.open("labels"))
    assert (status.labeled, status.failures) == (3, ())


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        (["-v", "car,cat"], "vocabulary 'custom: 3 classes (car, cat, grass), "),
        (["-v", WORDS, "--short-side", "32"], "short_side None there, 32 now"),
        (["--verbs", "embed"], "verbs ['segment', 'caption', 'embed'] there, ['embed'] now"),
        (["-v", WORDS, "--format", "lance"], "is joined into parquet, not lance"),
    ],
)
def test_labels_made_otherwise_are_refused_with_the_difference(
    bulk: Bulk, labeled: Destination, xdecoder_label: Run, changed: list[str], difference: str
) -> None:
    before = rows_of(labeled)
    code, _, told = xdecoder_label(
        bulk.pictures, "--to", labeled.place.address, *changed, "-w", bulk.model, "--device", "cpu"
    )
    assert code == 2
    assert difference in told
    assert "give another --to" in told
    assert rows_of(labeled) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pictures"], "name what to label and where the labels go"),
        (["--status"], "name the labels: xdecoder label --to DEST --status"),
        (["--to", "nowhere", "--status"], "no labels in nowhere; make some first"),
        (["gone", "--to", "labels"], "no such file or folder: gone"),
        (["gone.txt", "--to", "labels"], "no list of images gone.txt"),
        (["empty", "--to", "labels"], "no images in empty"),
        (["one.png", "--to", "labels", "--shard", "4/4"], "count them from 0"),
        (["one.png", "--to", "labels", "--verbs", "segment,fly"], "segment, caption, embed; got fly"),
        (["one.png", "--to", "labels", "--verbs", ""], "segment, caption, embed; got none"),
        (["one.png", "--to", "labels", "--verbs", "embed", "-v", "car"], "add the verb segment"),
        (["one.png", "--to", "one.png"], "--to one.png: one.png is no folder; choose another"),
        (["one.png", "--to", "other"], "other/labels.json is damaged"),
        (["one.png", "--to", "ftp://x/y"], "is no address of an object store"),
        (["one.png", "--to", "labels", "--cluster", "ray", "--shard", "1/2"], "leave --shard"),
        (["one.png", "--to", "labels", "--cluster", "ray", "--actors", "x"], "--actors takes a number"),
    ],
)
def test_bad_requests_say_what_to_do(
    bulk: Bulk, xdecoder_label: Run, arguments: list[str], message: str
) -> None:
    Path("empty").mkdir()
    Path("other").mkdir()
    Path("other/labels.json").write_text("{}")
    shutil.copy(bulk.pictures / "1.png", "one.png")
    model = [] if "--status" in arguments else ["-w", bulk.model, "--device", "cpu"]
    code, _, told = xdecoder_label(*arguments, *model)
    assert code in (1, 2)
    assert message in told


def test_labels_of_another_model_are_refused(bulk: Bulk, labeled: Destination, tmp_path: Path) -> None:
    other = Destination.create(str(tmp_path), replace(bulk.config, model="0" * 32))
    with pytest.raises(ValueError, match=f"is labeled by {bulk.model}, another model"):
        label(find_source(str(bulk.pictures)), bulk.predictor, other)


def test_what_a_killed_process_left_half_written_is_taken_away(bulk: Bulk, tmp_path: Path) -> None:
    (tmp_path / "fragments").mkdir()
    (tmp_path / "fragments" / ".0123456789abcdef.draft").write_bytes(b"PAR1")
    destination = Destination.create(str(tmp_path), bulk.config)
    assert not list((tmp_path / "fragments").iterdir())
    assert not read_status(destination).images


def test_a_model_without_captions_is_refused_before_any_image(bulk: Bulk) -> None:
    model = bulk.predictor.model
    config = replace(model.config, decoder=replace(model.config.decoder, captions=False))
    mute = Predictor(type(model)(config), bulk.predictor.tokenizer)
    with pytest.raises(ValueError, match="caption"):
        LabelingConfig.of(mute, ("caption",))


def test_a_full_disk_is_told_and_the_same_command_goes_on(
    bulk: Bulk, labeled: Destination, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "FRAGMENT_ROWS", 2)
    write = Place.write
    written: list[str] = []

    def full(self: Place, name: str, data: bytes) -> None:
        if len(written) == 2:
            with monkeypatch.context() as patch:
                patch.setattr(
                    "os.fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left"))
                )
                write(self, name, data)
        write(self, name, data)
        written.extend([name] if name.startswith("fragments") else [])

    with monkeypatch.context() as patch:
        patch.setattr(Place, "write", full)
        with pytest.raises(OSError, match=r"No space left; make room; what was labeled before is whole; run"):
            bulk.label(bulk.pictures, tmp_path)
    destination = Destination.open(str(tmp_path))
    assert read_status(destination).labeled + len(read_status(destination).failures) == 4
    bulk.label(bulk.pictures, tmp_path)
    assert rows_of(destination) == rows_of(labeled)


def test_damaged_and_foreign_files_among_the_labels_are_named(bulk: Bulk, tmp_path: Path) -> None:
    destination = Destination.create(str(tmp_path), bulk.config)
    (tmp_path / "fragments").mkdir()
    (tmp_path / "fragments" / "1-x.parquet").write_bytes(b"PAR1 cut short")
    with pytest.raises(ValueError, match=r"1-x\.parquet is damaged .* delete it to label its images again"):
        finish(destination)
    parquet.write_table(
        pa.table({"path": ["a"], "key": ["b"], "error": ["c"]}), tmp_path / "fragments" / "1-x.parquet"
    )
    with pytest.raises(ValueError, match=r"1-x\.parquet is no file of labels"):
        finish(destination)


def test_reading_is_as_the_predictor_reads(bulk: Bulk) -> None:
    image = find_source(str(bulk.pictures))[0]
    data = ImageReader().read(image)
    np.testing.assert_array_equal(read_image(data), read_image(image.path))


def test_the_page_s_python_reads_the_labels(
    labeled: Destination, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[1] / "docs" / "scale.md").read_text()
    (block,) = re.findall(r"^```python\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
    (tmp_path / "labels").symlink_to(labeled.place.path)
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    exec(compile(block, "scale.md", "exec"), namespace)
    assert namespace["table"].num_rows == IMAGES
