"""Annotation files as people have them: what the masks say is read, all else is told with file and entry."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from xdecoder.cli.app import app
from xdecoder.data.check import check_dataset
from xdecoder.data.opening import open_dataset
from xdecoder.data.problems import MalformedError
from xdecoder.data.refer import read_plain_pickle
from xdecoder.structures import encode_rle
from xdecoder.structures.masks import read_segmentation, rle_area, segmentation_rle

H, W = 12, 16
SQUARE = [2.0, 2.0, 8.0, 2.0, 8.0, 8.0, 2.0, 8.0]
FILE = "annotations/instances_val.json"


def annotation(number: int, image: int, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": image,
        "category_id": 1 + number % 2,
        "iscrowd": 0,
        "bbox": [2, 2, 6, 6],
        "area": 36,
        "segmentation": [SQUARE],
        **more,
    }


def instances() -> dict[str, Any]:
    images = [{"id": i, "file_name": f"{i}.png", "height": H, "width": W} for i in (1, 2)]
    rle = {"size": [H, W], "counts": [20, 30, H * W - 50]}
    text = encode_rle(np.arange(H * W).reshape(H, W) % 7 == 0)
    return {
        "images": images,
        "annotations": [
            annotation(1, 1),
            annotation(2, 1, segmentation=rle, iscrowd=1),
            annotation(3, 2, segmentation=dict(text)),
        ],
        "categories": [{"id": 1, "name": "nut"}, {"id": 2, "name": "screw"}],
    }


def write(root: Path, data: Any, file: str = FILE) -> Path:
    (root / "images/val").mkdir(parents=True, exist_ok=True)
    for number in (1, 2):
        Image.fromarray(np.full((H, W, 3), 90, np.uint8)).save(root / f"images/val/{number}.png")
    (root / file).parent.mkdir(exist_ok=True)
    (root / file).write_text(data if isinstance(data, str) else json.dumps(data))
    return root


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    data = instances()
    change(data)
    return data


def first(**values: Any) -> dict[str, Any]:
    return changed(lambda data: data["annotations"][0].update(values))


@pytest.mark.parametrize(
    ("what", "data"),
    {
        "flat polygon": first(segmentation=SQUARE),
        "null box": first(bbox=None),
        "empty box": first(bbox=[]),
        "null area": first(area=None),
        "area of nothing": first(area=0),
        "area that is no number": first(area=float("nan")),
        "missing id": changed(lambda data: data["annotations"][0].pop("id")),
        "id 0": first(id=0),
        "no area": changed(lambda data: data["annotations"][0].pop("area")),
        "no box": changed(lambda data: data["annotations"][0].pop("bbox")),
        "sizes as text": changed(lambda data: data["images"][0].update(width="16", height="12")),
        "sizes null": changed(lambda data: data["images"][0].update(width=None, height=None)),
        "unused background": changed(lambda data: data["categories"].append({"id": 0, "name": "background"})),
    }.items(),
)
def test_what_the_mask_says_needs_nothing_else(what: str, data: dict[str, Any], tmp_path: Path):
    opened = open_dataset("custom-instances", write(tmp_path, data))
    assert not opened.skipped
    region = opened[0].regions()[0]
    assert region.mask(H, W).sum() == 36
    assert opened.vocabulary is not None
    assert opened.vocabulary.classes == ("nut", "screw")


SPOILT: dict[str, tuple[dict[str, Any], str]] = {
    "no size": (first(segmentation={"counts": [192]}), "run-length code"),
    "too long": (first(segmentation={"size": [H, W], "counts": [192, 50]}), "cover 242 pixels of 16x12"),
    "too short": (first(segmentation={"size": [H, W], "counts": [50]}), "cover 50 pixels of 16x12"),
    "empty counts": (first(segmentation={"size": [H, W], "counts": []}), "cover 0 pixels"),
    "empty text": (first(segmentation={"size": [H, W], "counts": ""}), "damaged run lengths"),
    "garbage text": (first(segmentation={"size": [H, W], "counts": "zzzzzz~~"}), "damaged run lengths"),
    "counts below 0": (first(segmentation={"size": [H, W], "counts": [-5, 197]}), "none below 0"),
    "a huge mask": (first(segmentation={"size": [100000, 100000], "counts": "0"}), "over the limit"),
    "NaN": (first(segmentation=[[float("nan"), *SQUARE[1:]]]), "infinite or no number"),
    "infinite": (first(segmentation=[[float("inf"), *SQUARE[1:]]]), "infinite or no number"),
    "null": (first(segmentation=None), "no mask"),
    "odd": (first(segmentation=[SQUARE[:-1]]), "7 coordinates"),
    "two points": (first(segmentation=[SQUARE[:4]]), "three points"),
    "texts": (first(segmentation=[["a", "b"]]), "a list of numbers"),
    "a text": (first(segmentation="polygon"), "no mask"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_an_annotation_without_a_readable_mask_is_left_out_and_told(what: str, tmp_path: Path):
    data, reason = SPOILT[what]
    opened = open_dataset("custom-instances", write(tmp_path, data))
    (skip,) = opened.skipped
    assert f"{tmp_path / FILE}, annotation 1: " in skip.reason
    assert reason in skip.reason
    assert sum(len(sample.regions()) for sample in opened) == 2


def test_far_coordinates_are_cut_to_the_image():
    far = read_segmentation([[2, 2, 1e8, 2, 1e8, 8, 2, 8]])
    near = read_segmentation([[2, 2, 30, 2, 30, 8, 2, 8]])
    assert segmentation_rle(far, H, W) == segmentation_rle(near, H, W)
    assert rle_area(segmentation_rle(read_segmentation([[-1e300, -9, 1e300, -9, 0, 1e300]]), H, W)) > 0
    assert rle_area(segmentation_rle(read_segmentation([[90, 90, 99, 90, 99, 99]]), H, W)) == 0


def test_masks_are_the_same_from_call_to_call(tmp_path: Path):
    data = first(segmentation={"size": [H, W], "counts": [100, 92]})
    region = open_dataset("custom-instances", write(tmp_path, data))[0].regions()[0]
    masks = [region.mask(H, W) for _ in range(3)]
    assert all(mask.sum() == 92 for mask in masks)


REFUSED: dict[str, tuple[Any, str]] = {
    "string category ids": (
        changed(lambda data: [row.update(id=str(row["id"])) for row in data["categories"]]),
        "the category id is the text '1'",
    ),
    "a string category id": (first(category_id="1"), "annotation 1: the category id is the text '1'"),
    "a category of a list": (first(category_id=[1]), r"unknown category id \[1\]"),
    "no file name": (
        changed(lambda data: data["images"][0].pop("file_name")),
        r"images\[0\]: lacks 'file_name'",
    ),
    "an annotation of a list": (
        changed(lambda data: data["annotations"].append([])),
        r"annotations'?\[3\] is a list, expected an object",
    ),
    "no images": (changed(lambda data: data.pop("images")), "'images' is missing"),
    "images null": (changed(lambda data: data.update(images=None)), "'images' is null"),
    "a list": ([], "expected an object with 'images'"),
    "an id of a list": (
        changed(lambda data: data["images"][0].update(id=[1])),
        r"images\[0\]: 'id' is a list",
    ),
    "duplicate ids": (first(id=2), r"duplicate annotation id\(s\) \[2\]"),
    "used background": (
        changed(lambda data: data["categories"][0].update(name="background")),
        "the model's own no-object class",
    ),
    "boxes only": (
        changed(lambda data: [row.pop("segmentation") for row in data["annotations"]]),
        r"none of 3 annotation\(s\) has a mask that can be read: boxes alone",
    ),
    "no JSON": ("{", "not valid JSON"),
    "deep nesting": ("[" * 100000, "not valid JSON"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_file_that_cannot_be_used_is_refused_by_name(what: str, tmp_path: Path):
    data, reason = REFUSED[what]
    with pytest.raises(ValueError, match=reason) as refused:
        open_dataset("custom-instances", write(tmp_path, data))
    assert FILE in str(refused.value)


def test_a_latin_1_file_is_told_to_be_saved_as_utf_8(tmp_path: Path):
    write(tmp_path, instances())
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_text().replace("nut", "caf\xe9").encode("latin-1"))
    with pytest.raises(ValueError, match=r"not UTF-8 \(byte \d+\), perhaps Latin-1 .* as UTF-8"):
        open_dataset("custom-instances", tmp_path)


def test_objects_without_a_pixel_and_images_without_an_annotation_are_told(tmp_path: Path):
    shares = [[0.1, 0.2, 0.5, 0.2, 0.5, 0.4]]  # of the image's size, as some tools write
    (check,) = check_dataset("custom-instances", write(tmp_path / "a", first(segmentation=shares))).tasks
    (note,) = check.notes
    assert note.startswith("1 objects have no pixel in their image")
    assert note.endswith("images/val/1.png, annotation 1")
    segments = [{"id": 7, "category_id": 1}, {"id": 90 * 65793, "category_id": 2}]
    row = {"image_id": 1, "file_name": "1.png", "segments_info": segments}
    root = write(
        tmp_path / "b", {**instances(), "annotations": [row]}, file := "annotations/panoptic_val.json"
    )
    shutil.copytree(root / "images/val", root / "panoptic_val")
    check, *_ = check_dataset("custom-panoptic", root).tasks
    things, empty = check.notes
    assert things.startswith("every class is a thing")
    assert "the first: " in empty
    assert empty.endswith("images/val/1.png, segment 7")
    (skip,) = check.skipped
    assert skip.reason == f"{root / file}: image 2 has no annotation"


def test_check_tells_every_problem_and_counts_the_rest(tmp_path: Path):
    data = instances()
    data["annotations"] += [annotation(i, 1, category_id=77) for i in range(10, 50)]
    data["images"].append({"id": 3})
    write(tmp_path, data)
    (check,) = check_dataset("custom-instances", tmp_path).tasks
    assert len(check.problems) == 41
    with pytest.raises(MalformedError, match=r"41 problems:(.*\n){21}.*and 21 more"):
        open_dataset("custom-instances", tmp_path)
    result = CliRunner().invoke(app, ["datasets", "check", "custom-instances", "--data", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stdout.count("unknown category id 77") == 19
    assert "problem: ... and 21 more" in result.stdout
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "name",
    [
        "1.png",
        "sub\\1.png",
        "C:\\Users\\me\\pictures\\1.png",
        "/home/me/pictures/1.png",
        "../../1.png",
        "/data/local-files/?d=pictures/1.png",
        "/data/upload/3/0a1b2c3d-1.png",
        "file:///tmp/1.png",
    ],
)
def test_images_are_found_by_the_last_parts_of_their_paths(name: str, tmp_path: Path):
    write(tmp_path, changed(lambda data: data["images"][0].update(file_name=name)))
    opened = open_dataset("custom-instances", tmp_path)
    assert Path(opened[0].source.name) == tmp_path / "images/val/1.png"


def test_two_names_do_not_find_one_file(tmp_path: Path):
    write(tmp_path, changed(lambda data: data["images"][0].update(file_name="other/2.png")))
    with pytest.raises(ValueError, match=r"'other/2\.png' and '2\.png' both lead to .*2\.png"):
        open_dataset("custom-instances", tmp_path)


def hostile_pickles() -> dict[str, bytes]:
    class Runs:
        def __reduce__(self) -> Any:
            return (print, ("ran",))

    many = pickle.BINPUT + b"\x00"
    return {
        "a function": pickle.dumps(Runs()),
        "a global": b"cos\nsystem\n(S'echo ran'\ntR.",
        "a memo of two thousand million": b"\x80\x04N" + pickle.LONG_BINPUT + b"\xff\xff\xff\x7f.",
        "a text of an exabyte": b"\x80\x04\x8d" + (2**60).to_bytes(8, "little") + b"x.",
        "bytes of an exabyte": b"\x80\x05\x96" + (2**60).to_bytes(8, "little") + b"x.",
        "a list as key": b"(d]K\x01s.",
        "a registered class": b"\x80\x02\x82\x01.",
        "a state": b"}}b.",
        "nothing left": b"0.",
        "a persistent id": b"P1\n.",
        "an empty file": b"",
        "cut": pickle.dumps([{"a": 1}])[:-2],
        "laughs": b"(lp0\n" + many + b"0h\x00h\x00\x86.",
    }


HARMLESS = {"laughs": ([], []), "a memo of two thousand million": None, "a state": {}}


@pytest.mark.parametrize("what", hostile_pickles())
def test_no_pickle_runs_or_fills_the_memory(what: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    path = tmp_path / "refs.p"
    path.write_bytes(hostile_pickles()[what])
    if what in HARMLESS:
        assert read_plain_pickle(path) == HARMLESS[what]
    else:
        with pytest.raises(ValueError, match=r"refs\.p: refused: "):
            read_plain_pickle(path)
    assert "ran" not in capfd.readouterr().out
