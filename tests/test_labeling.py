"""Masks as labeling tools hold them, and results as their files, read back by our own readers."""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from typer.testing import CliRunner

from builders import save_tiny_model
from xdecoder.cli.app import app
from xdecoder.cli.labeling import LabelingFormat
from xdecoder.data.convert import convert
from xdecoder.data.opening import open_dataset
from xdecoder.labeling import cvat, fiftyone, labelme
from xdecoder.labeling.export import ExportReport, export
from xdecoder.labeling.outlines import from_shares, join_parts, to_shares, trace_outline
from xdecoder.labeling.picture import Shapes
from xdecoder.labeling.table import FORMATS
from xdecoder.structures import Grounding, InstanceSegmentation
from xdecoder.structures.masks import decode_rle, encode_rle, mask_box, segmentation_rle

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=13))

# Outlines


def fill(rings: list[list[float]], size: tuple[int, int]) -> np.ndarray:
    """Polygons filled by COCO's rule."""
    return decode_rle(segmentation_rle(tuple(tuple(ring) for ring in rings), *size))


def without_holes(mask: np.ndarray) -> np.ndarray:
    """All that cannot be reached from outside in steps up, down and aside."""
    outside = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), np.bool_)
    free = ~np.pad(mask, 1)
    outside[0, 0] = True
    while True:
        grown = outside.copy()
        grown[1:] |= outside[:-1]
        grown[:-1] |= outside[1:]
        grown[:, 1:] |= outside[:, :-1]
        grown[:, :-1] |= outside[:, 1:]
        grown &= free
        if (grown == outside).all():
            return ~outside[1:-1, 1:-1]
        outside = grown


@settings(max_examples=60, deadline=None)
@given(MASKS, st.sampled_from([1.0, 100.0]))
def test_an_outline_filled_is_the_mask_without_its_holes(mask: np.ndarray, whole: float) -> None:
    size = mask.shape[0], mask.shape[1]
    outline = trace_outline(mask)
    shares = [np.ravel(to_shares(ring, size, whole=whole)).tolist() for ring in outline.parts]
    filled = without_holes(mask)
    assert np.array_equal(fill([from_shares(s, size, whole=whole) for s in shares], size), filled)
    assert (outline.holes == 0) == np.array_equal(filled, mask)
    if outline.parts:
        corners = np.concatenate(outline.parts)
        assert (*corners.min(axis=0), *corners.max(axis=0)) == mask_box(mask)
        assert np.array_equal(fill([join_parts(outline.parts).ravel().tolist()], size), filled)


def test_an_outline_has_few_points_its_largest_part_first_and_nothing_of_what_lies_in_a_hole() -> None:
    mask = np.zeros((11, 17), np.bool_)
    mask[1:3, 1:3] = True  # a square
    mask[3, 3] = True  # touches it at a corner: the same part
    mask[4:11, 6:15] = True
    mask[6:9, 8:13] = False
    mask[7, 10] = True  # an island in the hole
    outline = trace_outline(mask)
    assert [len(ring) for ring in outline.parts] == [8, 10]
    assert outline.holes == 1
    assert outline.parts[0].min(axis=0).tolist() == [6, 4]
    assert trace_outline(np.zeros((2, 3), np.bool_)).parts == ()


# Masks in each tool's code


@settings(max_examples=40, deadline=None)
@given(MASKS.filter(np.any))
def test_each_tool_s_code_holds_every_mask(mask: np.ndarray) -> None:
    height, width = size = mask.shape[0], mask.shape[1]
    left, top, right, bottom = (int(side) for side in mask_box(mask))
    runs = cvat.encode_runs(mask)
    assert np.array_equal(cvat.decode_runs(runs, (left, top, right - left, bottom - top), size), mask)
    shape = labelme.encode_mask(mask)
    assert shape["points"] == [[left, top], [right - 1, bottom - 1]]
    assert np.array_equal(labelme.decode_mask(shape["mask"], shape["points"][0], size), mask)
    box = (left / width, top / height, (right - left) / width, (bottom - top) / height)
    assert np.array_equal(fiftyone.decode_mask(fiftyone.encode_mask(mask), box, size), mask)


def numpy_file(shape: str, content: bytes) -> str:
    header = f"{{'descr': '|b1', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + content
    return base64.b64encode(zlib.compress(array)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "!",
        "AAAA",
        base64.b64encode(zlib.compress(bytes(10**7))).decode(),
        numpy_file("(9, 9)", bytes(81)),
        numpy_file("(1000000000, 1000000000)", b""),
        numpy_file("(2, 3)", bytes(5)),
        numpy_file("(-2, -3)", bytes(6)),
        numpy_file("(6,)", bytes(6)),
        numpy_file("__import__('os')", bytes(6)),
        None,
    ],
)
def test_a_damaged_mask_of_fiftyone_s_is_refused_before_it_fills_the_memory(text: str | None) -> None:
    with pytest.raises(ValueError, match=r"its mask"):
        fiftyone.decode_mask(text, (0.0, 0.0, 1.0, 1.0), (5, 7))


# Round trips

H, W = 13, 17
WAYS = [(name, shapes) for name, known in FORMATS.items() for shapes in known.shapes]


def masks() -> dict[str, np.ndarray]:
    """A plain object, one with a hole, one in two parts, one pixel, and nothing."""
    found = {name: np.zeros((H, W), np.bool_) for name in ("plain", "ring", "pair", "dot", "nothing")}
    found["plain"][1:6, 2:9] = np.tri(5, 7, 3, dtype=np.bool_)
    found["ring"][5:12, 3:10] = True
    found["ring"][7:9, 5:8] = False
    found["pair"][0:3, 12:15] = found["pair"][8:11, 11:17] = True
    found["dot"][12, 0] = True
    return found


def save_results(folder: Path, images: Path) -> None:
    """Two results as `segment` and `refer` write them: in the folder, and in one below it."""
    found = masks()
    instances = InstanceSegmentation.from_masks(
        image=None,
        masks=np.stack(list(found.values())),
        categories=[0, 1, 1, 2, 3],
        scores=[0.9, 0.8, 0.7, 0.6, 0.5],
        vocabulary=["cat", "a <b> & c", "dot", "nothing"],
    )
    phrases = Grounding.from_masks(
        image=None, phrases=["the \x07 left: cat"], masks=found["pair"][None], scores=[0.4]
    )
    for name, result in (("one.v2", instances), ("below/two", phrases)):
        picture = images / f"{name}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (W, H), "teal").save(picture)
        target = folder / f"{name}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps({"file": str(picture), **result.to_dict()}))


def read_back(name: str, made: Path, scratch: Path) -> dict[str, list[tuple[str, np.ndarray]]]:
    """The masks of each image, as `datasets convert` and the data sets read them."""
    folder = made
    if name != "coco":  # which needs no conversion
        folder = scratch / "converted"
        result = convert(made, folder, format=name)
        assert not result.skipped
    data = open_dataset("custom-instances", folder, split="train")
    assert not data.skipped
    return {
        Path(sample.source.name).name: [
            (data.vocabulary.classes[r.category], r.mask(H, W)) for r in sample.regions()
        ]
        for sample in data
    }


@pytest.mark.parametrize(("name", "shapes"), WAYS)
def test_what_is_written_is_read_back_the_same(name: str, shapes: Shapes, tmp_path: Path) -> None:
    save_results(tmp_path / "results", tmp_path / "photos")
    made = export(tmp_path / "results", tmp_path / "out", format=name, shapes=shapes)
    assert (made.images, made.copied, made.skipped) == (2, 2, ())
    found = masks()
    if shapes == "polygons":
        found["ring"][7:9, 5:8] = True
    assert any("holes" in change for change in made.simplified) == (shapes == "polygons")
    read = read_back(name, tmp_path / "out", tmp_path)
    expected = {
        "one.v2.png": [
            ("cat", found["plain"]),
            ("a <b> & c", found["ring"]),
            ("a <b> & c", found["pair"]),
            ("dot", found["dot"]),
        ],
        "two.png": [("the � left: cat", found["pair"])],
    }
    assert read.keys() == expected.keys()
    for image, objects in expected.items():
        if name == "labelstudio" and shapes == "polygons":
            assert any("each part of 2 objects is an object" in change for change in made.simplified)
            joined: dict[str, np.ndarray] = {}
            for label, mask in read[image]:
                joined[label] = joined.get(label, np.zeros((H, W), np.bool_)) | mask
            for label, mask in objects:
                assert joined[label][mask].all()
            continue
        told = Counter((label, mask.tobytes()) for label, mask in read[image])
        assert told == Counter((label, mask.tobytes()) for label, mask in objects)


def test_classes_are_numbered_as_they_were_asked_for(tmp_path: Path) -> None:
    save_results(tmp_path / "results", tmp_path / "photos")
    made = export(tmp_path / "results" / "one.v2.json", tmp_path / "out", format="yolo")
    assert made.classes == ("cat", "a <b> & c", "dot", "nothing")
    assert (tmp_path / "out/labels/train/one.v2.txt").read_text().startswith("0 ")


def test_scores_are_kept_where_the_format_has_them(tmp_path: Path) -> None:
    save_results(tmp_path / "results", tmp_path / "photos")
    for name in ("coco", "labelstudio", "fiftyone"):
        export(tmp_path / "results", tmp_path / name, format=name)
    coco = json.loads((tmp_path / "coco/annotations/instances_train.json").read_text())
    assert [row["score"] for row in coco["annotations"]] == [0.4, 0.9, 0.8, 0.7, 0.6]
    tasks = json.loads((tmp_path / "labelstudio/tasks.json").read_text())
    assert tasks[0]["predictions"][0]["score"] == 0.4
    assert tasks[0]["data"]["image"] == "/data/local-files/?d=images/below/two.png"
    samples = json.loads((tmp_path / "fiftyone/samples.json").read_text())["samples"]
    assert samples[0]["predictions"]["detections"][0]["confidence"] == 0.4


def test_a_bad_result_is_told_and_spoils_no_other(tmp_path: Path) -> None:
    results = tmp_path / "results"
    save_results(results, tmp_path / "photos")
    good = json.loads((results / "one.v2.json").read_text())
    mask = encode_rle(np.ones((2, 2), np.bool_))
    rows = {
        "category": {"kind": "semantic", "vocabulary": ["a"], "regions": [_row(category_id=7)]},
        "label": {"instances": [_row(label=3)]},
        "mask": {"instances": [_row(segmentation=mask)]},
        "rows": {"instances": 5},
        "size": {"height": H + 1, "instances": []},
    }
    for name, changes in rows.items():
        (results / f"bad-{name}.json").write_text(json.dumps({**good, **changes}))
    secret = tmp_path / "secret.png"
    secret.write_text("no image")
    (results / "bad-file.json").write_text(json.dumps({**good, "file": str(secret)}))
    (results / "caption.json").write_text(json.dumps({"file": "a.jpg", "text": "a cat"}))
    (results / "other.json").write_text("{")
    made = export(results, tmp_path / "out", format="coco")
    assert made.images == 2
    assert len(made.skipped) == len(rows) + 1
    assert all(str(tmp_path) in reason for reason in made.skipped)
    assert sorted(p.name for p in (tmp_path / "out/images/train").rglob("*.png")) == ["one.v2.png", "two.png"]


def _row(**changes: Any) -> dict[str, Any]:
    full = encode_rle(np.ones((H, W), np.bool_))
    row = {"label": "cat", "category_id": 0, "score": 0.5, "bbox": [0, 0, W, H], "segmentation": full}
    return {**row, **changes}


def test_images_that_differ_in_their_suffix_alone_stay_two(tmp_path: Path) -> None:
    save_results(tmp_path / "results", tmp_path)
    data = json.loads((tmp_path / "results/one.v2.json").read_text())
    (tmp_path / "twins").mkdir()
    for name in ("a.jpg", "a.png"):
        Image.new("RGB", (W, H)).save(tmp_path / name)
        (tmp_path / f"twins/{name}.json").write_text(json.dumps({**data, "file": str(tmp_path / name)}))
    export(tmp_path / "twins", tmp_path / "out", format="labelme")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        *("a-jpg.jpg", "a-jpg.json", "a-png.json", "a-png.png")
    ]


# The command


def test_the_options_name_every_format() -> None:
    assert list(get_args(LabelingFormat)) == list(FORMATS)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDECODER_CACHE", str(tmp_path / "cache"))
    Image.new("RGB", (60, 50), "olive").save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photo.jpg"


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_segment_and_refer_write_a_format_beside_their_own_files(photo: Path, model: Path) -> None:
    common = (str(photo), "--weights", str(model), "--out", "out")
    result = run("segment", *common, "-v", "cat, grass", "--format", "yolo")
    assert result.exit_code == 0, result.output
    assert "1 image with 2 classes written to out/yolo" in result.stderr
    assert Path("out/photo.json").is_file()
    assert Path("out/yolo/labels/train/photo.txt").is_file()
    result = run("refer", *common[:1], "a cat", *common[1:], "--format", "coco", "--no-copy-images")
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in Path("out/coco").iterdir()) == ["annotations"]


def test_lines_of_json_are_converted_too(photo: Path, model: Path) -> None:
    result = run("segment", str(photo), "--weights", str(model), "-v", "cat, grass", "--json")
    Path("lines.jsonl").write_text(result.stdout + json.dumps({"file": "bad.jpg", "error": "damaged"}) + "\n")
    result = run("convert", "lines.jsonl", "--to", "labelstudio", "--shapes", "polygons")
    assert result.exit_code == 0, result.output
    assert "PolygonLabels" in Path("lines/labelstudio/label_config.xml").read_text()
    assert Path("lines/labelstudio/images/photo.jpg").is_file()
    again = run("convert", "lines.jsonl", "--to", "labelstudio")
    assert (again.exit_code, "is not empty" in again.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("convert", "photo.jpg", "--to", "coco"), "expected a folder of results"),
        (("convert", "nowhere", "--to", "coco"), "no such folder or file of results"),
        (("convert", ".", "--to", "coco"), "no result of `segment` or `refer`"),
        (("convert", ".", "--to", "yolo", "--shapes", "masks"), "polygons only, no masks"),
        (("segment", "photo.jpg", "--json", "--format", "coco"), "needs a folder: add --out"),
        (("segment", "photo.jpg", "--shapes", "masks"), "go with a --format"),
    ],
)
@pytest.mark.usefixtures("photo")
def test_what_cannot_be_written_is_told(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, message in " ".join(result.stderr.split())) == (2, True), result.output
    assert not Path("coco").exists()


def test_images_that_are_gone_are_told(tmp_path: Path) -> None:
    save_results(tmp_path / "results", tmp_path / "photos")
    (tmp_path / "photos/one.v2.png").unlink()
    result = run("convert", str(tmp_path / "results"), "--to", "cvat")
    assert result.exit_code == 0, result.output
    assert "1 of them have no copy of their image" in " ".join(result.stderr.split())
    made: ExportReport = export(tmp_path / "results", tmp_path / "again", format="cvat", images=False)
    assert made.copied == 0
