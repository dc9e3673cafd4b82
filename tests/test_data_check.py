"""`xdecoder datasets`: list, check, prepare."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from builders import (
    REFS,
    H,
    W,
    coco_instances,
    coco_panoptic,
    karpathy_row,
    ref,
    refer_layout,
    square,
    write_image,
    write_json,
    write_voc,
)
from xdecoder.cli.commands.datasets import app
from xdecoder.data.catalog import DATASETS
from xdecoder.data.check import check_dataset, expected_tree
from xdecoder.data.opening import open_dataset
from xdecoder.data.pairs import PairShards, open_pair_folder
from xdecoder.data.prepare import write_leakfree, write_shards

COCO100 = Path(__file__).parents[2] / "shared/data"
runner = CliRunner()


def test_list_names_every_data_set() -> None:
    rows = json.loads(runner.invoke(app, ["list", "--json"]).stdout)
    assert [row["name"] for row in rows] == list(DATASETS)
    assert set(rows[0]) == {
        "name", "title", "splits", "files", "size", "source", "license", "vocabulary",
    }  # fmt: skip
    result = runner.invoke(app, ["list"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert "seginw-Ginger-Garlic" in result.stdout


def test_the_command_line_starts_without_torch() -> None:
    code = "import sys, xdecoder.cli.commands.datasets, xdecoder.data.check; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ})


def test_check_reports_counts_and_draws_four(tmp_path: Path) -> None:
    coco_instances(tmp_path, [square(1, 1)])
    sheet = tmp_path / "out/sheet.png"
    report = check_dataset("coco", tmp_path, task="instance", picture=sheet)
    (task,) = report.tasks
    assert (task.samples, task.opened, task.problems) == (2, 2, ("2 images, the table says 5000",))
    assert not report.ok
    with Image.open(sheet) as image:
        assert image.width > 1000


def test_check_prints_the_tree_with_what_is_missing(tmp_path: Path) -> None:
    coco_panoptic(tmp_path)
    tree = expected_tree(check_dataset("coco", tmp_path))
    assert "+           panoptic_val2017.json" in tree
    assert "-           instances_val2017.json" in tree


def test_check_takes_every_file_that_the_readers_take(tmp_path: Path) -> None:
    own = tmp_path / "own"
    rows = [{"id": 5, "file_name": "a.jpg", "height": H, "width": W}]
    write_json(own / "annotations/panoptic_val.json", {"images": rows, "annotations": [], "categories": []})
    questions = {"questions": [{"question_id": 1, "image_id": 5, "question": "what?"}]}
    write_json(own / "annotations/questions_val.json", questions)
    write_image(own / "images/val/a.jpg")
    phrases = refer_layout(tmp_path, [{**ref(10, 1, 9, "val", "a man"), "ann_id": [1]}], "grefcoco", "unc")
    (phrases / "refs(unc).p").rename(phrases / "grefs(unc).p")
    for name, root in (("custom-questions", own), ("grefcoco", tmp_path)):
        report = check_dataset(name, root)
        assert report.tasks[0].opened == 1, name
        assert not any(line.startswith("-") for line in expected_tree(report).splitlines()), name


def test_check_lists_bad_samples_and_goes_on(tmp_path: Path) -> None:
    coco_instances(tmp_path, [square(1, 1)])
    (tmp_path / "coco/val2017/000000000005.jpg").write_bytes(b"")
    (task,) = check_dataset("coco", tmp_path, task="instance").tasks
    assert task.opened == 1
    assert "is empty (0 bytes)" in task.problems[0]


def test_check_tells_images_that_are_large_or_too_large_though_it_opens_few(tmp_path: Path) -> None:
    coco_instances(tmp_path, [square(1, 1)])
    large = tmp_path / "coco/val2017/000000000006.jpg"
    Image.new("L", (2561, 9)).save(large)
    (task,) = check_dataset("coco", tmp_path, task="instance", opened=1).tasks
    assert task.opened == 1
    assert "1 images are longer than 2,560 pixels: " in task.notes[0]
    assert task.notes[0].endswith(f"The largest: {large}, 2561 x 9 pixels")
    Image.new("L", (8200, 8200)).save(large)
    (task,) = check_dataset("coco", tmp_path, task="instance", opened=1).tasks
    assert any(f"{large} is 8200 x 8200 = 67,240,000 pixels, over the limit" in p for p in task.problems)
    (task,) = check_dataset("coco", tmp_path, task="instance", opened=None).tasks
    assert sum("8200 x 8200" in problem for problem in task.problems) == 1


def test_check_exit_codes(tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text('{"image": "a.jpg", "caption": "a"}')
    write_image(tmp_path / "a.jpg")
    command = ["check", "custom-pairs", "--data", str(tmp_path), "--picture", str(tmp_path / "s.png")]
    complete = runner.invoke(app, command)
    assert (complete.exit_code, complete.stdout.splitlines()[-1]) == (0, "complete")
    (tmp_path / "a.jpg").unlink()
    missing = runner.invoke(app, command)
    assert missing.exit_code == 1
    assert "no samples; 1 left out" in missing.stdout or "no samples" in missing.stdout
    unknown = runner.invoke(app, ["check", "cocoo", "--data", str(tmp_path)])
    assert unknown.exit_code == 2
    report = json.loads(runner.invoke(app, [*command, "--json"]).stdout)
    assert report["ok"] is False


@pytest.mark.skipif(not COCO100.is_dir(), reason="../shared/data/coco100 is not here")
def test_coco100_is_complete(tmp_path: Path) -> None:
    report = check_dataset("coco100", COCO100, opened=4, picture=tmp_path / "sheet.png")
    assert report.ok
    assert [t.samples for t in report.tasks] == [100, 100, 100]


def leaky(root: Path) -> None:
    """train2017 has 9 (RefCOCOg val), 25, 30 (Karpathy test); val2017 has 5 (Karpathy train)."""
    refer_layout(root, REFS)
    coco_panoptic(root)
    images = [{"id": i, "file_name": f"{i:012d}.jpg", "height": 6, "width": 8} for i in (9, 25, 30)]
    for image in images:
        write_image(root / "coco/train2017" / str(image["file_name"]))
    data = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "person"}]}
    write_json(root / "coco/annotations/instances_train2017.json", data)
    rows = [
        karpathy_row(30, "test", "train2014"),
        karpathy_row(25, "train", "train2014"),
        karpathy_row(9, "restval", "train2014"),
        karpathy_row(5, "val", "train2014"),
    ]
    write_json(root / "coco/annotations/dataset_coco.json", {"images": rows})


def test_leak_free_lists_hold_no_test_image(tmp_path: Path) -> None:
    leaky(tmp_path)
    coco, karpathy = write_leakfree(tmp_path)
    assert (coco.kept, coco.taken_out) == (1, {"RefCOCOg UMD val": 1, "Karpathy test": 1})
    assert karpathy.taken_out == {"COCO val2017": 1, "RefCOCOg UMD val": 1}
    data = open_dataset("coco", tmp_path, task="instance", split="train-leakfree")
    assert [s.image_id for s in data] == [25]
    captions = open_dataset("coco-karpathy", tmp_path, split="train-leakfree")
    assert [s.image_id for s in captions] == [25]


def test_the_leak_free_split_says_how_to_make_its_list(tmp_path: Path) -> None:
    leaky(tmp_path)
    with pytest.raises(FileNotFoundError, match="datasets prepare leakfree"):
        open_dataset("coco", tmp_path, task="instance", split="train-leakfree")
    result = runner.invoke(app, ["prepare", "leakfree", "--data", str(tmp_path)])
    assert result.exit_code == 0
    assert "1 images, without 1 of RefCOCOg UMD val, 1 of Karpathy test" in result.stdout


def pair_folder(folder: Path, count: int) -> None:
    lines = [json.dumps({"image": f"{i}.jpg", "captions": [f"c{i}"]}) for i in range(count)]
    for i in range(count):
        write_image(folder / f"{i}.jpg")
    (folder / "pairs.jsonl").write_text("\n".join(lines))


def test_shards_hold_what_the_data_set_holds(tmp_path: Path) -> None:
    pair_folder(tmp_path / "in", 5)
    command = ["prepare", "shards", "custom-pairs", "--data", str(tmp_path / "in")]
    result = runner.invoke(app, [*command, "--out", str(tmp_path / "out"), "--per-shard", "2"])
    assert result.exit_code == 0
    assert "3 shards (3 new), 5 images" in result.stdout
    samples = list(PairShards(str(tmp_path / "out/{000000..000002}.tar")))
    assert [s.captions for s in samples] == [(f"c{i}",) for i in range(5)]
    assert samples[3].source.encoded() == (tmp_path / "in/3.jpg").read_bytes()


def test_shards_resume_after_a_kill_and_come_out_the_same(tmp_path: Path) -> None:
    pair_folder(tmp_path / "in", 5)
    data = open_pair_folder(tmp_path / "in")
    write_shards(data, tmp_path / "whole", per_shard=2)

    class KilledError(Exception):
        pass

    def kill(done: int, _: int) -> None:
        if done == 4:
            raise KilledError

    with pytest.raises(KilledError):
        write_shards(data, tmp_path / "out", per_shard=2, progress=kill)
    assert [p.name for p in sorted((tmp_path / "out").glob("*.tar"))] == ["000000.tar"]
    assert write_shards(data, tmp_path / "out", per_shard=2).written == 2
    for path in sorted((tmp_path / "whole").glob("*.tar")):
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes()
        assert tarfile.is_tarfile(path)
    assert not list((tmp_path / "out").glob(".*"))


def test_shards_leave_unreadable_images_out_and_remember_them(tmp_path: Path) -> None:
    pair_folder(tmp_path / "in", 3)
    (tmp_path / "in/1.jpg").write_bytes(b"broken")
    data = open_pair_folder(tmp_path / "in")
    for _ in range(2):
        result = write_shards(data, tmp_path / "out", per_shard=2)
        assert [(s.item, result.samples) for s in result.skipped] == [("1.jpg", 2)]


def test_shards_of_other_samples_are_not_mixed(tmp_path: Path) -> None:
    pair_folder(tmp_path / "in", 3)
    write_shards(open_pair_folder(tmp_path / "in"), tmp_path / "out")
    pair_folder(tmp_path / "in", 4)
    with pytest.raises(ValueError, match="shards of other samples"):
        write_shards(open_pair_folder(tmp_path / "in"), tmp_path / "out")


def test_check_counts_classes_and_names_the_rare(tmp_path: Path) -> None:
    coco_instances(tmp_path, [square(i, 1) for i in range(1, 13)] + [square(20, 18)])
    result = runner.invoke(
        app,
        f"check coco --task instance --data {tmp_path} --samples all --picture {tmp_path}/s.png".split(),
    )
    assert "person  ██████████████████████████████ 12 in 1 image\n" in result.stdout
    assert "rare (fewer than 10): dog\n" in result.stdout
    assert "never: bicycle, car, " in result.stdout
    assert "2 opened" in result.stdout


def test_check_counts_more_label_maps_than_it_opens_and_says_how_many(tmp_path: Path) -> None:
    write_voc(tmp_path / "labels", images=22, size=64)
    runner.invoke(app, f"convert {tmp_path}/labels {tmp_path}/data".split())
    for number in range(22, 205):
        for kind, suffix in (("images", "jpg"), ("labels", "png")):
            folder = tmp_path / f"data/{kind}/train"
            (folder / f"scene_{number:03d}.{suffix}").symlink_to(folder / f"scene_000.{suffix}")
    command = f"check custom-semantic --data {tmp_path}/data --split train --picture {tmp_path}/s.png".split()
    told = runner.invoke(app, command).stdout
    assert "205 images, 16 opened" in told
    assert "classes of 200 images; --samples all counts all:" in told
    assert "classes of" not in runner.invoke(app, [*command, "--samples", "all"]).stdout


@pytest.mark.parametrize("samples", ["0", "-1", "some"])
def test_check_refuses_a_count_that_is_none(samples: str, tmp_path: Path) -> None:
    result = runner.invoke(app, ["check", "coco", "--data", str(tmp_path), "--samples", samples])
    assert result.exit_code == 2


def test_check_says_where_exif_turns_pictures_and_sizes_do_not_tell(tmp_path: Path) -> None:
    coco_instances(tmp_path, [square(1, 1)])
    exif = Image.Exif()
    exif[0x112] = 3
    path = tmp_path / "coco/val2017/000000000005.jpg"
    Image.open(path).save(path, exif=exif)
    (task,) = check_dataset("coco", tmp_path, task="instance").tasks
    assert "1 of 2 images are turned by their EXIF tag" in task.notes[0]
