"""Labeling tools' files become folders that this package reads; sizes H 12, W 20."""

from __future__ import annotations

import base64
import io
import json
import random
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from typer.testing import CliRunner

from spoiling import spoil
from xdecoder.cli.app import app
from xdecoder.data.check import check_dataset
from xdecoder.data.convert import convert
from xdecoder.data.formats.masks import read_names
from xdecoder.data.formats.table import FORMATS, detect_format
from xdecoder.data.opening import open_dataset
from xdecoder.data.records import VOID
from xdecoder.labeling.brush import decode_brush

H, W = 12, 20
SQUARE = [[2, 3], [8, 3], [8, 9], [2, 9]]
"""36 pixels."""


def png(pixels: np.ndarray, **more: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", **more)
    return stream.getvalue()


def picture(path: Path, gray: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((H, W, 3), gray, np.uint8)).save(path)
    return path


def text(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def square_mask() -> np.ndarray:
    mask = np.zeros((H, W), bool)
    mask[3:9, 2:8] = True
    return mask


def labelme(root: Path) -> None:
    picture(root / "a.jpg")
    picture(root / "val/b.jpg")
    patch = base64.b64encode(png(np.full((6, 6), 255, np.uint8))).decode()
    shapes: list[dict[str, Any]] = [
        {"label": "nut", "points": SQUARE, "shape_type": "polygon", "group_id": None},
        {"label": "screw", "points": [[2, 3], [8, 9]], "shape_type": "mask", "mask": patch},
        {"label": "nut", "points": [[0, 0], [5, 5]], "shape_type": "rectangle"},
        {"label": "nut", "points": [[10, 6], [10, 9]], "shape_type": "circle"},
        {"label": "nut", "points": [[1, 1]], "shape_type": "point"},
    ]
    for name, own in (("a", shapes), ("val/b", shapes[:1])):
        data = {"imagePath": f"..\\x\\{name[-1]}.jpg", "imageHeight": H, "imageWidth": W, "shapes": own}
        text(root / f"{name}.json", data)


def labelstudio(root: Path) -> None:
    picture(root / "train/a.jpg")
    picture(root / "val/b.jpg")

    def polygon(label: str) -> dict[str, Any]:
        points = [[100 * x / W, 100 * y / H] for x, y in SQUARE]
        return {"type": "polygonlabels", "value": {"points": points, "polygonlabels": [label]}}

    brush = {"type": "brushlabels", "value": {"rle": brush_code(square_mask()), "brushlabels": ["screw"]}}
    box = {"type": "rectanglelabels", "value": {"x": 1, "rectanglelabels": ["nut"]}}
    tasks = [
        {
            "data": {"image": "/data/upload/1/0a1b2c3d-a.jpg"},
            "annotations": [
                {"was_cancelled": True, "result": [polygon("wrong")]},
                {"result": [polygon("nut"), brush, box]},
            ],
        },
        {
            "data": {"image": "/data/local-files/?d=val%2Fb.jpg"},
            "annotations": [{"result": [polygon("nut")]}],
        },
    ]
    text(root / "export.json", tasks)


def cvat(root: Path) -> None:
    picture(root / "images/a.png")
    picture(root / "images/b.png")
    points = ";".join(f"{x:.1f},{y:.1f}" for x, y in SQUARE)
    shapes = (
        f'<polygon label="nut" points="{points}"/>'
        '<mask label="screw" rle="0, 36" left="2" top="3" width="6" height="6"/>'
        '<box label="nut" xtl="0" ytl="0" xbr="4" ybr="4"/>'
    )
    text(
        root / "annotations.xml",
        f'<?xml version="1.0"?><annotations><version>1.1</version>'
        f'<image id="0" name="a.png" width="{W}" height="{H}" subset="train">{shapes}</image>'
        f'<image id="1" name="b.png" width="{W}" height="{H}" subset="validation">'
        f'<polygon label="nut" points="{points}"/></image></annotations>',
    )


def yolo(root: Path) -> None:
    picture(root / "train/images/a.jpg")
    picture(root / "valid/images/b.jpg")
    line = " ".join(f"{x / W:.6f} {y / H:.6f}" for x, y in SQUARE)
    text(root / "train/labels/a.txt", f"0 {line}\n1 {line}\n0 0.5 0.5 0.1 0.1\n")
    text(root / "valid/labels/b.txt", f"0 {line}\n")
    text(root / "data.yaml", "train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['nut', 'screw']\n")


def fiftyone(root: Path) -> None:
    picture(root / "data/a.jpg")
    picture(root / "data/val/b.jpg")
    array = io.BytesIO()
    np.save(array, np.full((6, 6), 255, np.uint8))
    mask = base64.b64encode(zlib.compress(array.getvalue())).decode()
    box = [2 / W, 3 / H, 6 / W, 6 / H]

    def detection(label: str, **more: Any) -> dict[str, Any]:
        return {"_cls": "Detection", "label": label, "bounding_box": box, **more}

    nut = detection("nut", mask=mask)
    own = [nut, detection("screw", mask=mask), detection("nut", mask=None)]
    samples = [
        {"filepath": f"data/{name}", "ground_truth": {"_cls": "Detections", "detections": detections}}
        for name, detections in (("a.jpg", own), ("val/b.jpg", [nut]))
    ]
    text(root / "samples.json", {"samples": samples})
    text(root / "metadata.json", {"media_type": "image"})


def coco(root: Path) -> None:
    """As Roboflow lays it out."""
    categories = [{"id": 0, "name": "parts", "supercategory": "none"}] + [
        {"id": i, "name": name, "supercategory": "parts"} for i, name in ((1, "nut"), (2, "screw"))
    ]
    square = [[v for point in SQUARE for v in point]]

    def annotation(number: int, category: int, **more: Any) -> dict[str, Any]:
        common = {"id": number, "image_id": 0, "category_id": category, "bbox": [2, 3, 6, 6], "iscrowd": 0}
        return {**common, "area": 36, "segmentation": square, **more}

    own = [annotation(0, 1), annotation(1, 2), annotation(2, 1, segmentation=[])]
    for split, stem, listed in (("train", "a", own), ("valid", "b", own[:1])):
        picture(root / f"{split}/{stem}.jpg")
        images = [{"id": 0, "file_name": f"{stem}.jpg", "height": H, "width": W}]
        data = {"images": images, "annotations": listed, "categories": categories}
        text(root / f"{split}/_annotations.coco.json", data)


INSTANCES: dict[str, Callable[[Path], None]] = {
    "fiftyone": fiftyone,
    "labelme": labelme,
    "labelstudio": labelstudio,
    "cvat": cvat,
    "yolo": yolo,
    "coco": coco,
}


@pytest.mark.parametrize("name", INSTANCES)
def test_polygons_and_masks_of_labeling_tools_become_instances(name: str, tmp_path: Path):
    INSTANCES[name](tmp_path / "src")
    result = convert(tmp_path / "src", tmp_path / "out")
    assert (result.format, result.dataset, result.classes) == (name, "custom-instances", ("nut", "screw"))
    assert result.images == {"train": 1, "val": 1}
    assert any("a box is no mask" in skip.reason and str(tmp_path) in skip.reason for skip in result.skipped)
    train = open_dataset("custom-instances", tmp_path / "out", split="train")
    assert not train.skipped
    masks = [(train.vocabulary.classes[r.category], r.mask(H, W)) for r in train[0].regions()]
    for label, mask in masks[:2] if name != "labelme" else [m for m in masks if m[1][0:3].sum() == 0][:1]:
        assert label in ("nut", "screw")
        np.testing.assert_array_equal(mask, square_mask())
    assert {label for label, _mask in masks} == {"nut", "screw"}
    val = open_dataset("custom-instances", tmp_path / "out", split="val")
    (region,) = val[0].regions()
    assert (region.area, region.box) == (36.0, (2, 3, 8, 9))


def masks_of(out: Path, split: str = "train") -> dict[str, list[np.ndarray]]:
    """The masks of each class of a converted folder."""
    data = open_dataset("custom-instances", out, split=split)
    found: dict[str, list[np.ndarray]] = {name: [] for name in data.vocabulary.classes}
    for sample in data:
        for region in sample.regions():
            found[data.vocabulary.classes[region.category]].append(region.mask(H, W))
    return found


def test_cocos_instances_are_read_wherever_they_lie(tmp_path: Path):
    coco(tmp_path / "made")
    data = json.loads((tmp_path / "made/train/_annotations.coco.json").read_text())
    data["categories"].append({"id": 7, "name": "bolt", "supercategory": "parts"})
    data["annotations"][0]["iscrowd"] = 1
    layouts = {"annotations/instances_default.json": "images/default/", "result.json": "images/"}
    for json_path, folder in layouts.items():  # CVAT's, Label Studio's
        root = tmp_path / Path(json_path).stem
        picture(root / folder / "a.jpg")
        data["images"][0]["file_name"] = "images\\a.jpg"
        text(root / json_path, data)
        result = convert(root, root / "out")
        assert (result.format, result.images) == ("coco", {"train": 1})
        assert result.classes == ("nut", "screw", "bolt")
        masks = masks_of(root / "out")
        assert [len(found) for found in masks.values()] == [1, 1, 0]
        np.testing.assert_array_equal(masks["screw"][0], square_mask())
        (sample,) = open_dataset("custom-instances", root / "out", split="train")
        assert [region.crowd for region in sample.regions()] == [True, False]


def ellipse_mask(turned: bool) -> np.ndarray:
    """Of 14 by 4 pixels around (10, 6), or of 4 by 14 cut to the image."""
    y, x = np.mgrid[:H, :W] + 0.5
    across, down = (y - 6, x - 10) if turned else (x - 10, y - 6)
    return (across / 7) ** 2 + (down / 2) ** 2 < 1


@pytest.mark.parametrize("turned", [False, True])
def test_ellipses_are_masks(turned: bool, tmp_path: Path):
    picture(tmp_path / "studio/a.jpg")
    picture(tmp_path / "cvat/a.jpg")
    degrees = 90 * turned
    value = {
        "x": 50,
        "y": 50,
        "radiusX": 35,
        "radiusY": 200 / H,
        "rotation": degrees,
        "ellipselabels": ["nut"],
    }
    task = {
        "data": {"image": "a.jpg"},
        "annotations": [{"result": [{"type": "ellipselabels", "value": value}]}],
    }
    text(tmp_path / "studio/export.json", [task])
    shape = f'<ellipse label="nut" cx="10" cy="6" rx="7" ry="2" rotation="{degrees}"/>'
    text(tmp_path / "cvat/x.xml", f'<annotations><image name="a.jpg">{shape}</image></annotations>')
    for tool in ("studio", "cvat"):
        convert(tmp_path / tool, tmp_path / tool / "out")
        (mask,) = masks_of(tmp_path / tool / "out")["nut"]
        assert (mask != ellipse_mask(turned)).sum() <= 6  # of about 44


def test_label_studios_labels_of_their_own_control_and_json_min_are_read(tmp_path: Path):
    points = [[100 * x / W, 100 * y / H] for x, y in SQUARE]
    picture(tmp_path / "apart/a.jpg")
    picture(tmp_path / "min/a.jpg")
    results = [
        {"id": "r1", "type": "polygon", "value": {"points": points}},
        {"id": "r1", "type": "labels", "value": {"points": points, "labels": ["nut"]}},
    ]
    text(tmp_path / "apart/x.json", [{"data": {"image": "a.jpg"}, "annotations": [{"result": results}]}])
    values = [{"points": points, "polygonlabels": ["nut"]}, {"x": 1, "rectanglelabels": ["nut"]}]
    tasks = [{"id": 1, "image": "/data/upload/1/0a1b2c3d-a.jpg", "tag": values, "annotator": 1}]
    text(tmp_path / "min/x.json", tasks)
    for export in ("apart", "min"):
        result = convert(tmp_path / export, tmp_path / export / "out")
        assert len(result.skipped) == (export == "min")
        (mask,) = masks_of(tmp_path / export / "out")["nut"]
        np.testing.assert_array_equal(mask, square_mask())


def test_labels_of_cvat_that_never_occur_stay_classes(tmp_path: Path):
    cvat(tmp_path / "src")
    path = tmp_path / "src/annotations.xml"
    labels = "".join(
        f"<label><name>{name}</name><type>{kind}</type></label>"
        for name, kind in (("bolt", "any"), ("screw", "mask"), ("seen", "tag"))
    )
    content = path.read_text().replace(
        "<version>", f"<meta><job><labels>{labels}</labels></job></meta><version>"
    )
    path.write_text(content)
    assert convert(tmp_path / "src", tmp_path / "out").classes == ("bolt", "screw", "nut")


def test_jobs_of_cvat_have_images_of_the_same_names(tmp_path: Path):
    points = ";".join(f"{x},{y}" for x, y in SQUARE)
    for job, label in (("job_1", "nut"), ("job_2", "screw")):
        picture(tmp_path / f"src/{job}/images/frame_000000.png", gray=60 + len(label))
        shape = f'<polygon label="{label}" points="{points}"/>'
        content = f'<annotations><image name="frame_000000.png">{shape}</image></annotations>'
        text(tmp_path / f"src/{job}/annotations.xml", content)
    assert convert(tmp_path / "src", tmp_path / "out").images == {"train": 2}
    for sample in open_dataset("custom-instances", tmp_path / "out", split="train"):
        label = "nut" if sample.image()[0, 0, 0] == 63 else "screw"
        assert [("nut", "screw")[r.category] for r in sample.regions()] == [label]


def test_tracks_of_cvat_are_sent_to_another_export(tmp_path: Path):
    picture(tmp_path / "src/frame_000000.png")
    text(tmp_path / "src/annotations.xml", '<annotations><track label="nut"/></annotations>')
    with pytest.raises(
        ValueError, match=r"annotations\.xml: 1 track\(s\) of a video; export .* 'CVAT for images 1"
    ):
        convert(tmp_path / "src", tmp_path / "out")


@pytest.mark.parametrize("path", [None, "renamed.jpg", "absent"])
def test_labelmes_image_without_its_path_is_the_one_called_as_the_file(path: str | None, tmp_path: Path):
    picture(tmp_path / "src/a.JPG")
    shapes = [{"label": "nut", "points": SQUARE, "shape_type": "polygon"}]
    data = {"shapes": shapes, "imageHeight": H, "imageWidth": W, "imagePath": path}
    if path == "absent":
        del data["imagePath"]
    text(tmp_path / "src/a.json", data)
    assert convert(tmp_path / "src", tmp_path / "out").images == {"train": 1}
    (tmp_path / "src/a.JPG").rename(tmp_path / "src/b.jpg")
    with pytest.raises(
        ValueError, match="no such image" if path == "renamed.jpg" else 'no "imagePath", and no'
    ):
        convert(tmp_path / "src", tmp_path / "again")


def test_names_of_images_are_found_in_any_case(tmp_path: Path):
    labelme(tmp_path / "src")
    (tmp_path / "src/a.jpg").rename(tmp_path / "src/A.JPG")
    picture(tmp_path / "src/val/B.jpg")  # beside b.jpg, which is named
    assert convert(tmp_path / "src", tmp_path / "out").images == {"train": 1, "val": 1}


def test_yolos_classes_may_be_a_plain_list(tmp_path: Path):
    yolo(tmp_path / "src")
    (tmp_path / "src/data.yaml").unlink()
    text(tmp_path / "src/classes.txt", "nut\nscrew\n")
    result = convert(tmp_path / "src", tmp_path / "out")
    assert (result.format, result.seen) == ("yolo", "classes.txt with 2 names")
    assert (result.images, result.classes) == ({"train": 1, "val": 1}, ("nut", "screw"))


def test_images_of_which_no_label_is_a_mask_are_left_out_and_empty_ones_stay(tmp_path: Path):
    yolo(tmp_path / "src")
    for stem, lines in (("boxes", "0 0.5 0.5 0.1 0.1\n1 0.5 0.5 0.1 0.1\n"), ("empty", "")):
        picture(tmp_path / f"src/train/images/{stem}.jpg")
        text(tmp_path / f"src/train/labels/{stem}.txt", lines)
    result = convert(tmp_path / "src", tmp_path / "out")
    assert result.images == {"train": 2, "val": 1}
    assert any("boxes.jpg: none of its 2 label(s) is a mask" in skip.reason for skip in result.skipped)


def label_map() -> np.ndarray:
    labels = np.zeros((H, W), np.uint8)
    labels[4:], labels[8:], labels[11:] = 1, 2, 255
    return labels


def voc(root: Path) -> None:
    palette = [0] * 768
    for stem in ("a", "b"):
        picture(root / f"VOC2012/JPEGImages/{stem}.jpg")
        mask = Image.fromarray(label_map()).convert("P")
        mask.putpalette(palette)
        path = root / f"VOC2012/SegmentationClass/{stem}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        mask.save(path)
    text(root / "VOC2012/ImageSets/Segmentation/train.txt", "a\n")
    text(root / "VOC2012/ImageSets/Segmentation/val.txt", "b\n")
    text(root / "classes.txt", "background\nnut\nscrew\n")


def masks(root: Path) -> None:
    for stem, split in (("a", "train"), ("b", "val")):
        picture(root / f"{split}/img/{stem}.jpg")
        (root / f"{split}/masks").mkdir(parents=True)
        Image.fromarray(label_map()).save(root / f"{split}/masks/{stem}_mask.png")
    text(root / "labels.txt", "0: background\n1: nut\n2: screw\n")


def colors(root: Path) -> None:
    table = np.zeros((256, 3), np.uint8)
    table[1], table[2], table[255] = (200, 0, 10), (0, 50, 0), (224, 224, 192)
    for stem, split in (("a", "train"), ("b", "val")):
        picture(root / f"images/{split}/{stem}.jpg")
        (root / f"labels/{split}").mkdir(parents=True)
        Image.fromarray(table[label_map()]).save(root / f"labels/{split}/{stem}.png")
    text(root / "labelmap.txt", "# label:color\nbackground:0,0,0::\nnut:200,0,10::\nscrew:0,50,0::\n")


def labelme_voc(root: Path) -> None:
    """What LabelMe's script makes of its files; two of them, since it knows no splits."""
    for stem, split in (("a", "train"), ("b", "val")):
        picture(root / f"{split}/JPEGImages/{stem}.jpg")
        picture(root / f"{split}/SegmentationClassVisualization/{stem}.jpg")
        path = root / f"{split}/SegmentationClassPNG/{stem}.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(label_map()).save(path)
    text(root / "class_names.txt", "_background_\nnut\nscrew\n")


def roboflow_masks(root: Path) -> None:
    for stem, split in (("a", "train"), ("b", "valid")):
        picture(root / f"{split}/{stem}_jpg.rf.0.jpg")
        Image.fromarray(label_map()).save(root / f"{split}/{stem}_jpg.rf.0_mask.png")
        text(root / f"{split}/_classes.csv", "Pixel Value, Class\n0, background\n1, nut\n2, screw\n")


@pytest.mark.parametrize(
    ("name", "make"),
    [("voc", voc), ("voc", labelme_voc), ("masks", masks), ("masks", colors), ("masks", roboflow_masks)],
)
def test_label_maps_become_a_semantic_folder(name: str, make: Callable[[Path], None], tmp_path: Path):
    make(tmp_path / "src")
    result = convert(tmp_path / "src", tmp_path / "out")
    assert (result.format, result.dataset, result.classes) == (name, "custom-semantic", ("nut", "screw"))
    assert (result.images, result.skipped) == ({"train": 1, "val": 1}, ())
    for split in ("train", "val"):
        (sample,) = open_dataset("custom-semantic", tmp_path / "out", split=split)
        expected = np.array([VOID, 0, 1] + [VOID] * 253)[label_map()]
        np.testing.assert_array_equal(sample.read()[1], expected)


def test_masks_without_names_say_what_to_write(tmp_path: Path):
    masks(tmp_path)
    (tmp_path / "labels.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"write classes\.txt .* hold \[0, 1, 2, 255\]"):
        convert(tmp_path, tmp_path / "out", format="masks")


def test_colors_without_names_are_counted(tmp_path: Path):
    colors(tmp_path)
    (tmp_path / "labelmap.txt").unlink()
    with pytest.raises(
        FileNotFoundError, match=r'a line "name,r,g,b" .* hold 4 colors: \(0, 0, 0\), \(0, 50'
    ):
        convert(tmp_path, tmp_path / "out", format="masks")


@pytest.mark.parametrize("names", ["background\nnut\n", "nut\n"])
def test_black_and_white_label_maps_show_their_one_class_in_white(names: str, tmp_path: Path):
    masks(tmp_path / "src")
    text(tmp_path / "src/labels.txt", names)
    for path in (tmp_path / "src").glob("*/masks/*.png"):
        Image.fromarray(255 * (label_map() == 1).astype(np.uint8)).save(path)
    result = convert(tmp_path / "src", tmp_path / "out")
    assert result.notes == ("the label maps hold 0 and 255 alone: 255 is taken for nut, 0 for the rest",)
    (sample,) = open_dataset("custom-semantic", tmp_path / "out", split="train")
    np.testing.assert_array_equal(sample.read()[1], np.where(label_map() == 1, 0, VOID))


def test_one_class_with_a_void_border_keeps_it(tmp_path: Path):
    masks(tmp_path / "src")
    text(tmp_path / "src/labels.txt", "background\nnut\n")
    for path in (tmp_path / "src").glob("*/masks/*.png"):
        Image.fromarray(np.where(label_map() == 2, 1, label_map())).save(path)
    result = convert(tmp_path / "src", tmp_path / "out")
    (sample,) = open_dataset("custom-semantic", tmp_path / "out", split="train")
    assert not result.notes
    assert (sample.read()[1] == 0).sum() == 7 * W


def test_lists_of_vocs_segmentation_come_before_others(tmp_path: Path):
    voc(tmp_path / "src")
    text(tmp_path / "src/VOC2012/ImageSets/Main/train.txt", "a\nb\n")
    assert convert(tmp_path / "src", tmp_path / "out").images == {"train": 1, "val": 1}


def test_a_value_without_a_name_leaves_its_image_out(tmp_path: Path):
    masks(tmp_path / "src")
    text(tmp_path / "src/labels.txt", "background\nnut\n")
    with pytest.raises(ValueError, match=r"no image could be used; .*_mask\.png: 1 value\(s\) .*: \[2\]"):
        convert(tmp_path / "src", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("nut", ("nut", 0, None)),
        ("7: nut", ("nut", 7, None)),
        ("7 nut bolt", ("nut bolt", 7, None)),
        ("nut:1,2,3::", ("nut", 0, (1, 2, 3))),
        ("nut, 1, 2, 3", ("nut", 0, (1, 2, 3))),
        ("1 2 3 nut bolt", ("nut bolt", 0, (1, 2, 3))),
    ],
)
def test_names_are_read_as_tools_write_them(line: str, found: tuple[Any, ...], tmp_path: Path):
    text(tmp_path / "names.txt", f"name,r,g,b\n{line}\n")
    (name,) = read_names(tmp_path / "names.txt")
    assert (name.name, name.index, name.color) == found


@pytest.mark.parametrize(
    ("name", "content", "indices"),
    [
        ("labels.txt", "__ignore__\n_background_\nnut\n", [-1, 0, 1]),
        ("id2label.json", {"0": "_background_", "7": "nut"}, [0, 7]),
    ],
)
def test_lists_of_names_begin_where_their_tools_say(
    name: str, content: Any, indices: list[int], tmp_path: Path
):
    text(tmp_path / name, content)
    assert [found.index for found in read_names(tmp_path / name)] == indices
    if name.endswith(".json"):
        text(tmp_path / name, {"nut": 1})
        with pytest.raises(
            ValueError, match=r"id2label\.json: expected an object of numbers and class names"
        ):
            read_names(tmp_path / name)


def panoptic(root: Path) -> None:
    ids = np.zeros((H, W), np.int64)
    ids[:5], ids[7:] = 70001, 9
    rgb = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
    categories = [{"id": 4, "name": "nut", "isthing": 1}, {"id": 9, "name": "mist", "isthing": 0}]
    for stem, split in (("a", "train"), ("b", "val")):
        picture(root / f"pictures/{stem}.jpg")
        (root / f"my_{split}").mkdir(parents=True)
        (root / f"my_{split}/{stem}.png").write_bytes(png(rgb))
        segments = [{"id": 70001, "category_id": 4}, {"id": 9, "category_id": 9}]
        data = {
            "images": [{"id": 1, "file_name": f"{stem}.jpg", "height": H, "width": W}],
            "annotations": [{"image_id": 1, "file_name": f"{stem}.png", "segments_info": segments}],
            "categories": categories,
        }
        text(root / f"my_{split}.json", data)


def cityscapes(root: Path) -> None:
    ids = np.zeros((H, W), np.uint16)
    ids[:5], ids[7:] = 24001, 23
    for split in ("train", "val"):
        stem = f"ulm_000000_{split}"
        picture(root / f"leftImg8bit/{split}/ulm/{stem}_leftImg8bit.png")
        path = root / f"gtFine/{split}/ulm/{stem}_gtFine_instanceIds.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(ids).save(path)


def test_label_ids_of_cityscapes_alone_become_a_semantic_folder(tmp_path: Path):
    cityscapes(tmp_path / "src")
    for path in (tmp_path / "src").rglob("*_instanceIds.png"):
        ids = np.asarray(Image.open(path))
        labels = np.where(ids > 999, ids // 1000, ids).astype(np.uint8)
        Image.fromarray(labels).save(path.with_name(path.name.replace("instanceIds", "labelIds")))
        path.unlink()
    result = convert(tmp_path / "src", tmp_path / "out")
    assert (result.format, result.dataset, len(result.classes)) == ("cityscapes", "custom-semantic", 19)
    assert result.images == {"train": 1, "val": 1}
    labels = open_dataset("custom-semantic", tmp_path / "out", split="train")[0].read()[1]
    names = ["void" if i < 0 else result.classes[i] for i in labels[[0, 6, 9], 0]]
    assert names == ["person", "void", "sky"]


def test_classes_in_the_layout_of_cityscapes_are_their_own(tmp_path: Path):
    cityscapes(tmp_path / "src")
    table = np.array([[0, 0, 0], [200, 0, 10], [0, 50, 0], [9, 9, 9]], np.uint8)
    for path in (tmp_path / "src").rglob("*_instanceIds.png"):
        Image.fromarray(table[label_map() % 4]).save(
            path.with_name(path.name.replace("instanceIds", "color"))
        )
    text(tmp_path / "src/label_colors.txt", "0 0 0 background\n200 0 10 nut\n0 50 0 screw\n9 9 9 void\n")
    result = convert(tmp_path / "src", tmp_path / "out")
    assert (result.format, result.dataset, result.classes) == (
        "cityscapes",
        "custom-semantic",
        ("nut", "screw"),
    )
    labels = open_dataset("custom-semantic", tmp_path / "out", split="val")[0].read()[1]
    np.testing.assert_array_equal(labels, np.array([VOID, 0, 1] + [VOID] * 253)[label_map()])


def test_panoptic_classes_of_which_none_is_stuff_are_told(tmp_path: Path):
    panoptic(tmp_path / "src")
    for told in (False, True):
        out = tmp_path / f"out {told}"
        convert(tmp_path / "src", out)
        notes = [n for task in check_dataset("custom-panoptic", out, split="train").tasks for n in task.notes]
        assert any("every class is a thing" in n and '"isthing": 0' in n for n in notes) == told
        for path in (tmp_path / "src").glob("*.json"):
            data = json.loads(path.read_text())
            for category in data["categories"]:
                category.pop("isthing", None)
            text(path, data)


@pytest.mark.parametrize(
    ("name", "make", "damaged"),
    [
        ("labelme", labelme, "val/b.json"),
        ("voc", voc, "VOC2012/SegmentationClass/b.png"),
        ("masks", masks, "val/masks/b_mask.png"),
        ("coco-panoptic", panoptic, "my_val.json"),
        ("yolo", yolo, "valid/labels/b.txt"),
        ("labelstudio", labelstudio, "export.json"),
    ],
)
def test_files_that_cannot_be_read_and_images_without_labels_are_told(
    name: str, make: Callable[[Path], None], damaged: str, tmp_path: Path
):
    source = tmp_path / "src"
    make(source)
    assert not any("no labels" in skip.reason for skip in convert(source, tmp_path / "whole").skipped)
    if name == "labelstudio":
        tasks = json.loads((source / damaged).read_text())
        tasks[1]["annotations"].insert(0, -1)
        text(source / damaged, tasks)
    elif damaged.endswith(".json"):
        (source / damaged).write_text("{")
    else:
        (source / damaged).unlink()
    result = convert(source, tmp_path / "out", format=name)
    assert result.images == {"train": 1}
    reasons = [skip.reason for skip in result.skipped]
    (unlabeled,) = (reason for reason in reasons if reason.endswith("it has no labels that can be read"))
    assert "b.jpg" in unlabeled
    if damaged.endswith(".json"):
        assert any(str(source / damaged) in reason for reason in reasons)


def test_a_file_whose_first_image_is_no_object_is_no_panoptic_file(tmp_path: Path):
    panoptic(tmp_path)
    text(tmp_path / "my_val.json", {"images": [1.5], "annotations": [{"segments_info": []}]})
    assert convert(tmp_path, tmp_path / "out", format="coco-panoptic").images == {"train": 1}


def test_panoptic_maps_that_bear_the_images_names_are_not_taken_for_them(tmp_path: Path) -> None:
    source = tmp_path / "src"
    panoptic(source)
    for split, stem in (("train", "a"), ("val", "b")):
        (source / f"pictures/{stem}.jpg").rename(source / f"pictures/{stem}.png")
        file = source / f"my_{split}.json"
        file.write_text(file.read_text().replace(f"{stem}.jpg", f"{stem}.png"))
    result = convert(source, tmp_path / "out", format="coco-panoptic")
    assert result.images == {"train": 1, "val": 1}


MAKERS = {**INSTANCES, "voc": voc, "masks": masks, "coco-panoptic": panoptic, "cityscapes": cityscapes}


@pytest.mark.parametrize(("name", "make"), [("coco-panoptic", panoptic), ("cityscapes", cityscapes)])
def test_panoptic_sources_become_a_panoptic_folder(name: str, make: Callable[[Path], None], tmp_path: Path):
    make(tmp_path / "src")
    result = convert(tmp_path / "src", tmp_path / "out")
    assert (result.format, result.dataset) == (name, "custom-panoptic")
    assert result.images == {"train": 1, "val": 1}
    for split in ("train", "val"):
        data = open_dataset("custom-panoptic", tmp_path / "out", split=split)
        found = data[0].read()[1]
        named = {(data.vocabulary.classes[s.category], s.is_thing, s.area) for s in found.segments}
        stuff = "sky" if name == "cityscapes" else "mist"
        thing = "person" if name == "cityscapes" else "nut"
        assert named == {(thing, True, 5 * W), (stuff, False, 5 * W)}


def test_a_share_of_the_images_validates_chosen_by_name_alone(tmp_path: Path):
    for i in range(10):
        picture(tmp_path / f"src/{i}.jpg", gray=i)
        shapes = [{"label": "nut", "points": SQUARE, "shape_type": "polygon"}]
        text(tmp_path / f"src/{i}.json", {"imagePath": f"{i}.jpg", "shapes": shapes})
    chosen: list[set[str]] = []
    for out in ("one", "two"):
        result = convert(tmp_path / "src", tmp_path / out, val=0.3)
        assert result.images == {"train": 7, "val": 3}
        chosen.append({p.name for p in (tmp_path / out / "images/val").iterdir()})
    assert chosen[0] == chosen[1]
    assert convert(tmp_path / "src", tmp_path / "three").images == {"train": 10}


def test_images_of_one_name_in_two_folders_stay_two(tmp_path: Path):
    for folder in ("x", "y"):
        picture(tmp_path / f"src/{folder}/a.jpg")
        shapes = [{"label": "nut", "points": SQUARE, "shape_type": "polygon"}]
        text(tmp_path / f"src/{folder}/a.json", {"imagePath": "a.jpg", "shapes": shapes})
    assert convert(tmp_path / "src", tmp_path / "out").images == {"train": 2}
    assert len(open_dataset("custom-instances", tmp_path / "out", split="train")) == 2


def test_what_is_not_recognized_or_twofold_is_said(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no format recognized; known are .*labelme"):
        detect_format(tmp_path / "empty")
    labelme(tmp_path / "both")
    yolo(tmp_path / "both")
    with pytest.raises(ValueError, match=r"several formats \(labelme: .*; yolo: .*\); say which with --from"):
        detect_format(tmp_path / "both")
    with pytest.raises(
        ValueError, match=r"data\.yaml is a file; name the folder of labels and images, unpacked"
    ):
        convert(tmp_path / "both/data.yaml", tmp_path / "out")
    picture(tmp_path / "boxes/a.jpg")
    text(tmp_path / "boxes/a.txt", "0 0.5 0.5 0.1 0.1\n")
    text(tmp_path / "boxes/data.yaml", "names: [nut]\n")
    with pytest.raises(
        ValueError, match=r"no image with a mask was found as yolo; 2 left out.*a box is no mask"
    ):
        convert(tmp_path / "boxes", tmp_path / "out")


def test_an_xml_file_that_declares_entities_is_refused(tmp_path: Path):
    cvat(tmp_path / "src")
    path = tmp_path / "src/annotations.xml"
    path.write_text('<!DOCTYPE x [<!ENTITY a "b">]>' + path.read_text().split("?>", 1)[1])
    with pytest.raises(ValueError, match="declares a document type"):
        convert(tmp_path / "src", tmp_path / "out")


@pytest.mark.parametrize("name", FORMATS)
def test_convert_says_what_it_saw_and_what_is_next(name: str, tmp_path: Path):
    MAKERS[name](tmp_path / "src")
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["datasets", "convert", str(tmp_path / "src"), str(out), "--from", name])
    assert result.exit_code == 0, result.output
    assert f"read as {name} (" in result.stdout
    following = result.stdout.splitlines()[-1].removeprefix("next: xdecoder ").split()
    checked = CliRunner().invoke(app, [*following, "--picture", str(tmp_path / "sheet.png")])
    assert checked.exit_code == 0, checked.output
    again = CliRunner().invoke(app, ["datasets", "convert", str(tmp_path / "src"), str(out)])
    assert again.exit_code == 2
    assert "is not empty; name another folder" in again.output


def brush_code(mask: np.ndarray) -> list[int]:
    """Label Studio's run lengths of a mask in the alpha channel, one run a value: the naive encoder."""
    values = np.stack([np.where(mask, 255, 0)] * 4, axis=-1).ravel()
    bits = f"{values.size:032b}" + f"{7:05b}" + "".join(f"{n:04b}" for n in (2, 3, 7, 15))
    start = 0
    while start < values.size:
        end = start + 1
        while end < values.size and values[end] == values[start]:
            end += 1
        bits += "1" + "11" + f"{end - start - 1:016b}" + f"{values[start]:08b}"
        start = end
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


@given(mask=arrays(bool, (5, 7)))
def test_brush_strokes_hold_every_mask(mask: np.ndarray):
    np.testing.assert_array_equal(decode_brush(brush_code(mask), (5, 7)), mask)


@given(code=st.lists(st.integers(0, 255), max_size=60))
def test_damaged_brush_strokes_are_refused(code: list[int]):
    with pytest.raises(ValueError, match="brush strokes"):
        decode_brush(code, (5, 7))


def spoil_file(path: Path, draw: random.Random) -> None:
    """Spoil a JSON file's values, or any other file's bytes."""
    content = path.read_bytes()
    if path.suffix == ".json" and draw.random() < 0.8:
        path.write_text(json.dumps(spoil(json.loads(content), draw)))
        return
    changed = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(max(1, len(changed)))
        changed[place : place + draw.randint(0, 5)] = draw.choice(
            [b"", b"\x00", b"-1", b"nan", b"1e999", b"9" * 30, b"\xff", b'"', b"<", b",", b" ", b"../", b"\n"]
        )
    path.write_bytes(changed)


def convert_spoilt(count: int, seed: int, folder: Path) -> Counter[str]:
    """Convert `count` folders of which one file is spoilt; counts of what came of it."""
    draw = random.Random(seed)
    counts: Counter[str] = Counter()
    for number in range(count):
        name, make = draw.choice([*MAKERS.items()])
        root = folder / str(number)
        make(root / "src")
        files = sorted(p for p in (root / "src").rglob("*") if p.is_file() and p.suffix != ".jpg")
        spoil_file(draw.choice(files), draw)
        arguments = ["datasets", "convert", str(root / "src"), str(root / "out"), "--from", name]
        result = CliRunner().invoke(app, arguments)
        ended = result.exception is None or isinstance(result.exception, SystemExit)
        if not ended or "Traceback" in result.output or "unexpected" in result.output:
            counts[f"{name} died: {result.exception!r} {result.output[-200:]}"] += 1
        elif result.exit_code == 0:
            counts["converted"] += 1
        else:
            vague = str(root) not in result.output.replace("\n", "")
            counts[f"{name} names no file: {result.output}" if vague else "told"] += 1
    return counts


@pytest.mark.parametrize("seed", range(2))
def test_no_spoilt_source_ends_a_conversion_otherwise_than_told(seed: int, tmp_path: Path):
    counts = convert_spoilt(16, seed, tmp_path)
    assert set(counts) <= {"converted", "told"}, counts


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        print(dict(convert_spoilt(int(sys.argv[1]), 2026, Path(scratch))))
