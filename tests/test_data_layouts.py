"""The layouts of the segmentation data sets beside COCO, each on a fixture of its own; H 5, W 7."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from builders import square, write_ids, write_image, write_json
from xdecoder.data.catalog import DATASETS
from xdecoder.data.dataset import Dataset
from xdecoder.data.decoding import LabelCoding
from xdecoder.data.opening import open_dataset, select
from xdecoder.data.pascal import pascal_context_459
from xdecoder.data.records import VOID
from xdecoder.structures import decode_rle, encode_rle
from xdecoder.vocabularies import built_in

H, W = 5, 7


def write_map(path: Path, values: list[int] | np.ndarray, dtype: Any = np.uint8) -> None:
    """A label map whose columns hold the values, cyclically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.asarray(values, dtype)
    Image.fromarray(np.tile(np.resize(array, W), (H, 1)) if array.ndim == 1 else array).save(path)


def labels_of(data: Dataset[Any]) -> list[int]:
    image, labels = data[0].read()
    assert image.shape == (H, W, 3)
    assert labels.dtype == np.int16
    return labels[0].tolist()


def names_of(data: Dataset[Any]) -> list[str]:
    assert data.vocabulary is not None
    return [data.vocabulary.classes[i] if i != VOID else "void" for i in labels_of(data)]


def test_ade20k_labels_start_at_one_as_downloaded_and_at_zero_as_prepared(tmp_path: Path) -> None:
    root = tmp_path / "ADEChallengeData2016"
    write_image(root / "images/validation/ADE_val_00000001.jpg", H, W)
    write_map(root / "annotations_detectron2/validation/ADE_val_00000001.png", [255, 0, 149])
    assert names_of(open_dataset("ade20k-150", tmp_path, task="semantic"))[:3] == ["void", "wall", "flag"]
    write_map(root / "annotations/validation/ADE_val_00000001.png", [0, 1, 150])
    assert names_of(open_dataset("ade20k-150", tmp_path, task="semantic"))[:3] == ["void", "wall", "flag"]


def test_ade20k_panoptic_as_prepared(tmp_path: Path) -> None:
    root = tmp_path / "ADEChallengeData2016"
    ids = np.zeros((H, W), np.int64)
    ids[:, 2:] = 500
    write_ids(root / "ade20k_panoptic_val/ADE_val_00000001.png", ids)
    write_image(root / "images/validation/ADE_val_00000001.jpg", H, W)
    info = {"id": 500, "category_id": 12, "iscrowd": 0, "area": 25, "bbox": [2, 0, 5, 5]}
    write_json(
        root / "ade20k_panoptic_val.json",
        {
            "images": [
                {"id": "ADE_val_00000001", "file_name": "ADE_val_00000001.jpg", "height": H, "width": W}
            ],
            "annotations": [
                {"image_id": "ADE_val_00000001", "file_name": "ADE_val_00000001.png", "segments_info": [info]}
            ],
            "categories": [],
        },
    )
    decoded = open_dataset("ade20k-150", tmp_path, task="panoptic")[0].panoptic()
    assert [(s.category, s.is_thing, s.area) for s in decoded.segments] == [(12, True, 25)]


def test_ade20k_instances_as_prepared_index_the_hundred_things(tmp_path: Path) -> None:
    root = tmp_path / "ADEChallengeData2016"
    write_image(root / "images/validation/ADE_val_00000001.jpg", H, W)
    write_json(
        root / "ade20k_instance_val.json",
        {
            "images": [
                {"id": "ADE_val_00000001", "file_name": "ADE_val_00000001.jpg", "height": H, "width": W}
            ],
            "annotations": [square(1, 12, image="ADE_val_00000001")],  # type: ignore[arg-type]
            "categories": [{"id": 12, "name": "person"}],
        },
    )
    data = open_dataset("ade20k-150", tmp_path, task="instance")
    assert data.vocabulary is not None
    assert len(data.vocabulary) == 100
    assert data.vocabulary.classes[data[0].regions()[0].category] == "person"


def ade20k_download(root: Path, instance: np.ndarray) -> None:
    semantic = np.full((H, W), 3, np.uint8)  # sky
    semantic[:, 3:] = 13  # person
    write_image(root / "images/validation/ADE_val_00000001.jpg", H, W)
    write_map(root / "annotations/validation/ADE_val_00000001.png", semantic)
    write_map(root / "annotations_instance/validation/ADE_val_00000001.png", instance)


def test_ade20k_panoptic_and_instances_as_downloaded(tmp_path: Path) -> None:
    instance = np.zeros((H, W, 3), np.uint8)
    instance[:, 3:5, :2] = (4, 1)  # the fourth thing: person
    instance[:2, 5:, :2] = (4, 2)
    ade20k_download(tmp_path / "ADEChallengeData2016", instance)
    data = open_dataset("ade20k-150", tmp_path)
    assert data.vocabulary is not None
    decoded = data[0].panoptic()
    found = sorted((data.vocabulary.classes[s.category], s.is_thing, s.area) for s in decoded.segments)
    assert found == [("person", True, 4), ("person", True, 10), ("sky", False, 15)]
    assert decoded.ids[-1, -1] == 0
    regions = open_dataset("ade20k-150", tmp_path, task="instance")[0].regions()
    assert sorted(r.area for r in regions) == [4, 10]


def test_ade20k_instance_maps_with_unknown_things_are_refused(tmp_path: Path) -> None:
    instance = np.zeros((H, W, 3), np.uint8)
    instance[:, 3:5, :2] = (101, 1)
    ade20k_download(tmp_path / "ADEChallengeData2016", instance)
    with pytest.raises(ValueError, match="unknown thing 101; expected 1 to 100"):
        open_dataset("ade20k-150", tmp_path)[0].panoptic()


def test_ade20k_847_reads_sixteen_bits(tmp_path: Path) -> None:
    root = tmp_path / "ADE20K_2021_17_01"
    write_image(root / "images_detectron2/validation/ADE_val_00000001.jpg", H, W)
    write_map(
        root / "annotations_detectron2/validation/ADE_val_00000001.tif", [0, 846, 65535, 300], np.uint16
    )
    assert labels_of(open_dataset("ade20k-847", tmp_path))[:4] == [0, 846, VOID, 300]


def test_coco_stuff_s_values_are_its_ids_less_one(tmp_path: Path) -> None:
    write_image(tmp_path / "coco/val2017/1.jpg", H, W)
    write_map(tmp_path / "coco/stuffthingmaps/val2017/1.png", [0, 181, 255, 12])
    names = "\n".join(f"{i}: class {i}" for i in range(183))
    (tmp_path / "coco/stuffthingmaps/labels.txt").write_text(names)
    data = open_dataset("coco-stuff-171", tmp_path)
    assert names_of(data)[:4] == ["class 1", "class 182", "void", "class 13"]
    assert data.vocabulary is not None
    assert (len(data.vocabulary), len(data.vocabulary.things)) == (171, 80)
    (tmp_path / "coco/stuffthingmaps/labels.txt").write_text(names.replace("7: class 7\n", ""))
    with pytest.raises(ValueError, match=r"labels\.txt: lacks the names of the class ids \[7\]"):
        open_dataset("coco-stuff-171", tmp_path)


def test_nocaps_is_read_as_captions(tmp_path: Path) -> None:
    write_image(tmp_path / "nocaps/images/a.jpg", H, W)
    file = {
        "images": [{"id": 3, "file_name": "a.jpg"}],
        "annotations": [{"id": i, "image_id": 3, "caption": f"a goat {i}"} for i in range(10)],
    }
    write_json(tmp_path / "nocaps/nocaps_val_4500_captions.json", file)
    assert len(open_dataset("nocaps", tmp_path)[0].captions) == 10


CITY = "frankfurt_000000_000294"


def cityscapes(root: Path) -> Path:
    write_image(root / f"cityscapes/leftImg8bit/val/frankfurt/{CITY}_leftImg8bit.png", H, W)
    return root / "cityscapes/gtFine"


def test_cityscapes_semantic_maps_label_ids_to_the_nineteen(tmp_path: Path) -> None:
    fine = cityscapes(tmp_path)
    write_map(fine / f"val/frankfurt/{CITY}_gtFine_labelIds.png", [7, 33, 4, 26, 0])
    found = names_of(open_dataset("cityscapes", tmp_path, task="semantic"))
    assert found[:5] == ["road", "bicycle", "void", "car", "void"]


def test_cityscapes_instances_tell_groups_from_objects(tmp_path: Path) -> None:
    fine = cityscapes(tmp_path)
    ids = np.resize(np.array([26001, 26002, 26, 7, 29000], np.int32), W)
    path = fine / f"val/frankfurt/{CITY}_gtFine_instanceIds.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.tile(ids, (H, 1)).astype(np.uint16)).save(path)
    data = open_dataset("cityscapes", tmp_path, task="instance")
    assert data.vocabulary is not None
    found = [(data.vocabulary.classes[r.category], r.crowd, r.area) for r in data[0].regions()]
    assert sorted(found) == [("car", False, 10), ("car", False, 10), ("car", True, 5)]


def test_cityscapes_panoptic_finds_images_by_city(tmp_path: Path) -> None:
    fine = cityscapes(tmp_path)
    ids = np.full((H, W), 7, np.int64)
    ids[:, 3:] = 26001
    write_ids(fine / f"cityscapes_panoptic_val/{CITY}_gtFine_panoptic.png", ids)
    segments = [
        {"id": 7, "category_id": 7, "iscrowd": 0, "area": 15, "bbox": [0, 0, 3, 5]},
        {"id": 26001, "category_id": 26, "iscrowd": 0, "area": 20, "bbox": [3, 0, 4, 5]},
    ]
    write_json(
        fine / "cityscapes_panoptic_val.json",
        {
            "images": [{"id": CITY, "file_name": f"{CITY}_gtFine_leftImg8bit.png", "height": H, "width": W}],
            "annotations": [
                {"image_id": CITY, "file_name": f"{CITY}_gtFine_panoptic.png", "segments_info": segments}
            ],
            "categories": [{"id": 7, "name": "road", "isthing": 0}, {"id": 26, "name": "car", "isthing": 1}],
        },
    )
    data = open_dataset("cityscapes", tmp_path)
    assert data.vocabulary is not None
    _image, decoded = data[0].read()
    assert [(data.vocabulary.classes[s.category], s.is_thing) for s in decoded.segments] == [
        ("road", False),
        ("car", True),
    ]


def test_bdd100k_semantic(tmp_path: Path) -> None:
    write_image(tmp_path / "bdd100k/images/10k/val/7d2f7975-e0c1c5a7.jpg", H, W)
    write_map(tmp_path / "bdd100k/labels/sem_seg/masks/val/7d2f7975-e0c1c5a7.png", [0, 18, 255])
    assert names_of(open_dataset("bdd100k-semantic", tmp_path))[:3] == ["road", "bicycle", "void"]


def test_bdd100k_panoptic_bit_masks(tmp_path: Path) -> None:
    write_image(tmp_path / "bdd100k/images/10k/val/a.jpg", H, W)
    mask = np.zeros((H, W, 4), np.uint8)
    mask[:, 0] = (7, 0, 0, 1)  # road
    mask[:, 1] = (35, 0, 1, 2)  # car, instance 258
    mask[:, 2] = (35, 2, 0, 3)  # crowd of cars
    mask[:, 3] = (35, 1, 0, 4)  # ignored
    path = tmp_path / "bdd100k/labels/pan_seg/bitmasks/val/a.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(mask).save(path)
    data = open_dataset("bdd100k-panoptic", tmp_path)
    assert data.vocabulary is not None
    decoded = data[0].panoptic()
    found = sorted((data.vocabulary.classes[s.category], s.is_thing, s.crowd) for s in decoded.segments)
    assert found == [("car", True, False), ("car", True, True), ("road", False, False)]
    assert (decoded.ids[:, 3:] == 0).all()


def test_bdd100k_panoptic_in_coco_form_reads_unlabeled_as_void(tmp_path: Path) -> None:
    write_image(tmp_path / "bdd100k/images/10k/val/a.jpg", H, W)
    ids = np.full((H, W), 3, np.int64)
    ids[:, 4:] = 4
    write_ids(tmp_path / "bdd100k/labels/pan_seg/coco_pano/val/a.png", ids)
    segments = [{"id": 3, "category_id": 0, "area": 1}, {"id": 4, "category_id": 40, "area": 1}]
    write_json(
        tmp_path / "bdd100k/labels/pan_seg/meta/coco_val.json",
        {
            "images": [{"id": 1, "file_name": "a.jpg", "height": H, "width": W}],
            "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": segments}],
            "categories": [],
        },
    )
    data = open_dataset("bdd100k-panoptic", tmp_path)
    assert data.vocabulary is not None
    decoded = data[0].panoptic()
    assert [data.vocabulary.classes[s.category] for s in decoded.segments] == ["truck"]
    assert decoded.ids[0, 0] == 0


def test_sun_rgbd_matches_files_by_number(tmp_path: Path) -> None:
    for number, name in ((1, "wall"), (2, "bag")):
        write_image(tmp_path / f"sun_rgbd/image/test/img-{number:06d}.jpg", H, W)
        stored = [0, built_in("sun").classes.index(name) + 1]
        write_map(tmp_path / f"sun_rgbd/label37/test/img37labels-{number:06d}.png", stored)
    data = open_dataset("sun-rgbd-37", tmp_path)
    assert data.vocabulary is not None
    assert [data.vocabulary.classes[s.labels()[0, 1]] for s in data] == ["wall", "bag"]
    assert names_of(data)[0] == "void"


@pytest.mark.parametrize("prepared", [True, False])
def test_scannet_semantic_as_prepared_and_as_downloaded(tmp_path: Path, prepared: bool) -> None:
    base = tmp_path / "scannet_frames_25k"
    scenes = base / "images" if prepared else base
    write_image(scenes / "scene0011_00/color/000100.jpg", H, W)
    (base / "meta").mkdir()
    if prepared:
        (base / "meta/val.txt").write_text("scene0011_00/color/000100.jpg scene0011_00/label/000100.png\n")
        write_map(scenes / "scene0011_00/label21/000100.png", [0, 1, 13, 20])
        write_map(scenes / "scene0011_00/label41/000100.png", [0, 1, 14, 40])
    else:
        (base / "meta/val.txt").write_text("scene0011_00\n")
        write_map(scenes / "scene0011_00/label/000100.png", [0, 1, 14, 39])
    twenty = names_of(open_dataset("scannet-20", tmp_path, task="semantic"))
    assert twenty[:4] == ["void", "wall", "desk", "otherfurniture"]
    forty = names_of(open_dataset("scannet-40", tmp_path))
    assert forty[:4] == ["void", "wall", "desk", "otherprop" if prepared else "otherfurniture"]


def test_scannet_panoptic_finds_frames_by_the_maps_names(tmp_path: Path) -> None:
    base = tmp_path / "scannet_frames_25k"
    write_image(base / "images/scene0011_00/color/000100.jpg", H, W)
    write_ids(base / "scannet_panoptic/scene0011_00__000100.png", np.full((H, W), 39001))
    info = {"id": 39001, "category_id": 39, "area": 35}
    write_json(
        base / "scannet_panoptic.json",
        {
            "images": [{"id": "scene0011_00__000100", "file_name": "scene0011_00__000100.jpg"}],
            "annotations": [
                {
                    "image_id": "scene0011_00__000100",
                    "file_name": "scene0011_00__000100.png",
                    "segments_info": [info],
                }
            ],
            "categories": [],
        },
    )
    decoded = open_dataset("scannet-20", tmp_path, task="panoptic")[0].panoptic()
    assert [(s.category, s.is_thing, s.area) for s in decoded.segments] == [(19, True, 35)]


def test_pascal_voc_reads_palette_pngs_of_the_split_and_background_as_void(tmp_path: Path) -> None:
    root = tmp_path / "VOCdevkit/VOC2012"
    for name in ("2007_000033", "2007_000042"):
        write_image(root / f"JPEGImages/{name}.jpg", H, W)
    path = root / "SegmentationClass/2007_000033.png"
    path.parent.mkdir()
    image = Image.fromarray(np.tile(np.resize(np.array([0, 1, 20, 255], np.uint8), W), (H, 1)))
    image.putpalette([i // 3 for i in range(768)])
    image.save(path)
    listing = root / "ImageSets/Segmentation/val.txt"
    listing.parent.mkdir(parents=True)
    listing.write_text("2007_000033\n")
    data = open_dataset("pascal-voc-20", tmp_path)
    assert [s.image_id for s in data] == ["2007_000033"]
    assert names_of(data)[:4] == ["void", "aeroplane", "tvmonitor", "void"]


def test_pascal_context_59(tmp_path: Path) -> None:
    write_image(tmp_path / "pascal_ctx_d2/images/validation/2008_000002.jpg", H, W)
    write_map(tmp_path / "pascal_ctx_d2/annotations_ctx59/validation/2008_000002.png", [0, 58, 255, 49])
    found = names_of(open_dataset("pascal-context-59", tmp_path))
    assert found[:4] == ["aeroplane", "wood", "void", "diningtable"]


def context_names(root: Path) -> None:
    """A labels.txt of 459 names, "table" and all of the 59 but "diningtable" among them."""
    vocabulary = open_dataset("pascal-context-59", root).vocabulary
    assert vocabulary is not None
    known = [name for name in vocabulary.classes if name != "diningtable"]
    names = sorted([*known, "table", *(f"rare {i}" for i in range(400))])
    lines = "\n".join(f"{i}: {name}" for i, name in enumerate(names, start=1))
    (root / "pascal_ctx_d2/labels.txt").write_text(lines)


def test_backgrounds_are_classes_that_stand_for_other_names(tmp_path: Path) -> None:
    voc = tmp_path / "VOCdevkit/VOC2012"
    write_image(voc / "JPEGImages/2007_000033.jpg", H, W)
    write_map(voc / "SegmentationClass/2007_000033.png", [0, 1, 20, 255])
    (voc / "ImageSets/Segmentation").mkdir(parents=True)
    (voc / "ImageSets/Segmentation/val.txt").write_text("2007_000033\n")
    data = open_dataset("pascal-voc-21", tmp_path)
    background = "background (any other class)"
    assert names_of(data)[:4] == [background, "aeroplane", "tvmonitor", "void"]
    assert len(data.background) == 39
    assert {"sky", "wood"} <= set(data.background)
    assert "cat" not in data.background

    write_image(tmp_path / "pascal_ctx_d2/images/validation/2008_000002.jpg", H, W)
    write_map(tmp_path / "pascal_ctx_d2/annotations_ctx59/validation/2008_000002.png", [0, 58, 255])
    context_names(tmp_path)
    data = open_dataset("pascal-context-60", tmp_path)
    assert names_of(data)[:3] == ["aeroplane", "wood", background]
    assert set(data.background) == {f"rare {i}" for i in range(400)}


def mapillary(root: Path, labels: list[tuple[str, bool, bool]]) -> Path:
    rows = [{"readable": n, "name": "x", "instances": i, "evaluate": e} for n, i, e in labels]
    write_json(root / "mapillary_vistas/config_v1.2.json", {"labels": rows})
    folder = root / "mapillary_vistas/validation"
    write_image(folder / "images/abc.jpg", H, W)
    return folder


def test_mapillary_vistas_takes_its_classes_from_its_configuration(tmp_path: Path) -> None:
    folder = mapillary(tmp_path, [("Bird", True, True), ("Sky", False, True), ("Unlabeled", False, False)])
    write_map(folder / "v1.2/labels/abc.png", [1, 0, 2])
    data = open_dataset("mapillary-vistas", tmp_path, task="semantic")
    assert names_of(data)[:3] == ["Sky", "Bird", "void"]
    ids = np.zeros((H, W), np.int64)
    ids[:, 2:4], ids[:, 4:] = 300, 65536
    write_ids(folder / "v1.2/panoptic/abc.png", ids)
    infos = [{"id": 300, "category_id": 1, "iscrowd": 0}, {"id": 65536, "category_id": 3, "iscrowd": 0}]
    write_json(
        folder / "v1.2/panoptic/panoptic_2018.json",
        {
            "images": [{"id": "abc", "file_name": "abc.jpg", "height": H, "width": W}],
            "annotations": [{"image_id": "abc", "file_name": "abc.png", "segments_info": infos}],
        },
    )
    panoptic = open_dataset("mapillary-vistas", tmp_path)[0].panoptic()
    assert [(s.category, s.is_thing, s.area) for s in panoptic.segments] == [(0, True, 2 * H)]
    assert (panoptic.ids[:, 4:] == 0).all()
    mapillary(tmp_path, [("Bird", True, False)])
    with pytest.raises(ValueError, match=r"config_v1.2.json: the vocabulary is empty"):
        open_dataset("mapillary-vistas", tmp_path)


def test_pascal_context_459_takes_its_names_from_the_download(tmp_path: Path) -> None:
    root = tmp_path / "pascal_ctx_d2"
    write_image(root / "images/validation/2008_000002.jpg", H, W)
    write_map(root / "annotations_ctx459/validation/2008_000002.tif", [0, 458, 65535], np.uint16)
    with pytest.raises(FileNotFoundError, match=r"names the classes in the Pascal Context download"):
        open_dataset("pascal-context-459", tmp_path)
    (root / "labels.txt").write_text("\n".join(f"{i}: class {i}" for i in range(1, 460)))
    assert names_of(open_dataset("pascal-context-459", tmp_path))[:3] == ["class 1", "class 459", "void"]
    (root / "labels.txt").write_text("1: accordion\n")
    with pytest.raises(ValueError, match="expected 459 classes"):
        pascal_context_459(select("pascal-context-459", tmp_path))


def test_unknown_label_values_are_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "bdd100k/images/10k/val/a.jpg", H, W)
    write_map(tmp_path / "bdd100k/labels/sem_seg/masks/val/a.png", [0, 19])
    with pytest.raises(ValueError, match=r"unknown category value\(s\) \[19\]; expected 0 to 18"):
        labels_of(open_dataset("bdd100k-semantic", tmp_path))


def test_a_colored_label_map_is_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "bdd100k/images/10k/val/a.jpg", H, W)
    write_image(tmp_path / "bdd100k/labels/sem_seg/masks/val/a.png", H, W)
    with pytest.raises(ValueError, match="a label map has one channel"):
        labels_of(open_dataset("bdd100k-semantic", tmp_path))


def test_a_label_map_without_its_image_is_an_error_or_a_skip(tmp_path: Path) -> None:
    write_image(tmp_path / "bdd100k/images/10k/val/a.jpg", H, W)
    for name in ("a", "b"):
        write_map(tmp_path / f"bdd100k/labels/sem_seg/masks/val/{name}.png", [0])
    with pytest.raises(FileNotFoundError, match=r"1 file\(s\) missing"):
        open_dataset("bdd100k-semantic", tmp_path)
    assert len(open_dataset("bdd100k-semantic", tmp_path, missing="skip").skipped) == 1


@given(
    stored=arrays(np.uint8, (3, 5), elements=st.sampled_from([0, 3, 9, 11, 200, 255])),
    others_void=st.booleans(),
)
def test_label_codings_do_what_a_loop_over_pixels_does(stored: np.ndarray, others_void: bool) -> None:
    coding = LabelCoding(classes=3, stored=(9, 0, 11), void=(255,), others_void=others_void)
    index_of = {9: 0, 0: 1, 11: 2, 255: VOID}
    if not others_void and set(stored.ravel().tolist()) - set(index_of):
        with pytest.raises(ValueError, match="unknown category value"):
            coding.decode(stored, "x")
        return
    expected = [[index_of.get(int(v), VOID) for v in row] for row in stored]
    assert coding.decode(stored, "x").tolist() == expected


@given(mask=arrays(bool, (5, 7)))
def test_run_lengths_hold_every_mask(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(decode_rle(encode_rle(mask)), mask)


def test_the_table_is_whole() -> None:
    assert len([name for name in DATASETS if name.startswith("seginw-")]) == 25
    for name, info in DATASETS.items():
        assert info.tasks, name
        assert info.splits, name
        for texts in (info.title, info.origin.size, info.origin.source, info.origin.license, info.vocabulary):
            assert texts, name
