"""COCO's formats, on fixtures in COCO's layout; sizes H 6, W 8."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from builders import (
    PERSON,
    SKY_OTHER,
    H,
    W,
    coco_instances,
    coco_panoptic,
    panoptic_ids,
    segment,
    square,
    write_ids,
    write_image,
    write_json,
)
from xdecoder.data.dataset import Dataset
from xdecoder.data.opening import open_dataset
from xdecoder.data.records import VOID, CaptionSample, InstanceSample, PanopticSample, SemanticSample


def panoptic(root: Path, **options: Any) -> Dataset[PanopticSample]:
    return open_dataset("coco", root, task="panoptic", **options)


def test_panoptic_segments_carry_category_kind_crowd_and_recounted_area(tmp_path: Path) -> None:
    coco_panoptic(tmp_path)
    data = panoptic(tmp_path)
    image, decoded = data[0].read()
    assert image.shape == (H, W, 3)
    assert data.vocabulary is not None
    assert {
        s.id: (data.vocabulary.classes[s.category], s.is_thing, s.crowd, s.area) for s in decoded.segments
    } == {
        70001: ("sky-other-merged", False, False, 16),
        300: ("person", True, False, 9),
        7: ("person", True, False, 6),
        9: ("person", True, True, 9),
    }
    np.testing.assert_array_equal(decoded.ids, panoptic_ids())


def test_a_panoptic_map_serves_semantic_and_instance_too(tmp_path: Path) -> None:
    coco_panoptic(tmp_path)
    semantic: Dataset[SemanticSample] = open_dataset("coco", tmp_path, task="semantic")
    labels = semantic[0].labels()
    assert labels[0, 0] == VOID
    assert (labels[3:] == 0).all()
    write_json(
        tmp_path / "coco100/annotations/panoptic_train2017.json",
        json.loads((tmp_path / "coco/annotations/panoptic_val2017.json").read_text()),
    )
    write_image(tmp_path / "coco100/train2017/000000000005.jpg")
    write_ids(tmp_path / "coco100/panoptic_train2017/000000000005.png", panoptic_ids())
    instances: Dataset[InstanceSample] = open_dataset("coco100", tmp_path, task="instance")
    assert instances.vocabulary is not None
    assert len(instances.vocabulary) == 80
    regions = {r.id: r for r in instances[0].regions()}
    assert set(regions) == {300, 7, 9}
    assert regions[9].crowd
    assert regions[300].box == (0, 3, 3, 6)
    np.testing.assert_array_equal(regions[7].mask(H, W), panoptic_ids() == 7)


def test_a_listed_segment_without_pixels_is_named_as_covered(tmp_path: Path) -> None:
    data = coco_panoptic(tmp_path)
    data["annotations"][0]["segments_info"].append(segment(12, 1))
    write_json(tmp_path / "coco/annotations/panoptic_val2017.json", data)
    assert panoptic(tmp_path)[0].panoptic().covered == (12,)


def test_ids_in_the_png_that_the_json_lacks_are_refused(tmp_path: Path) -> None:
    data = coco_panoptic(tmp_path)
    data["annotations"][0]["segments_info"].pop()
    write_json(tmp_path / "coco/annotations/panoptic_val2017.json", data)
    with pytest.raises(ValueError, match=r"segment id\(s\) \[9\] are in the PNG but not in the annotation"):
        panoptic(tmp_path)[0].panoptic()


def test_unknown_category_ids_are_refused(tmp_path: Path) -> None:
    data = coco_panoptic(tmp_path)
    data["annotations"][0]["segments_info"][0]["category_id"] = 999
    write_json(tmp_path / "coco/annotations/panoptic_val2017.json", data)
    with pytest.raises(ValueError, match="unknown category id 999"):
        panoptic(tmp_path)


def test_categories_outside_the_vocabulary_are_refused(tmp_path: Path) -> None:
    coco_panoptic(tmp_path, categories=[PERSON, {"id": 187, "name": "moon", "isthing": 0}])
    with pytest.raises(ValueError, match=r"moon.*not in the vocabulary 'coco'"):
        panoptic(tmp_path)


def test_duplicate_image_ids_are_refused(tmp_path: Path) -> None:
    data = coco_panoptic(tmp_path)
    coco_panoptic(tmp_path, images=data["images"] * 2)
    with pytest.raises(ValueError, match=r"duplicate image id\(s\) \[5\]"):
        panoptic(tmp_path)


def test_an_empty_data_set_is_refused(tmp_path: Path) -> None:
    coco_panoptic(tmp_path, annotations=[])
    with pytest.raises(ValueError, match="no samples"):
        panoptic(tmp_path)


def test_missing_pngs_are_an_error_or_a_listed_skip(tmp_path: Path) -> None:
    data = coco_panoptic(tmp_path)
    more = {**data["annotations"][0], "image_id": 8, "file_name": "8.png"}
    image = {**data["images"][0], "id": 8}
    coco_panoptic(tmp_path, annotations=[*data["annotations"], more], images=[*data["images"], image])
    with pytest.raises(FileNotFoundError, match=r"1 file\(s\) missing.*\n.*8\.png"):
        panoptic(tmp_path)
    kept = panoptic(tmp_path, missing="skip")
    assert len(kept) == 1
    assert [s.reason for s in kept.skipped] == [f"missing file {tmp_path / 'coco/panoptic_val2017/8.png'}"]


def test_a_png_of_another_size_than_its_image_is_refused(tmp_path: Path) -> None:
    coco_panoptic(tmp_path)
    write_ids(tmp_path / "coco/panoptic_val2017/000000000005.png", panoptic_ids()[:-1])
    with pytest.raises(ValueError, match="the image is 8x6, its annotation 8x5"):
        panoptic(tmp_path)[0].read()


def test_an_image_of_another_size_than_stated_is_refused(tmp_path: Path) -> None:
    coco_panoptic(tmp_path)
    write_image(tmp_path / "coco/val2017/000000000005.jpg", height=W, width=H)
    with pytest.raises(ValueError, match="annotation file says 8x6, the image is 6x8"):
        panoptic(tmp_path)[0].image()


def test_an_unreadable_image_names_its_file(tmp_path: Path) -> None:
    coco_panoptic(tmp_path)
    (tmp_path / "coco/val2017/000000000005.jpg").write_bytes(b"not a jpeg")
    with pytest.raises(ValueError, match=r"000000000005\.jpg is not an image that can be read"):
        panoptic(tmp_path)[0].image()


def test_a_truncated_image_is_unreadable(tmp_path: Path) -> None:
    coco_panoptic(tmp_path)
    path = tmp_path / "coco/val2017/000000000005.jpg"
    write_image(path, height=64, width=64)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ValueError, match="cut short or damaged"):
        panoptic(tmp_path)[0].image()


def test_malformed_json_is_refused(tmp_path: Path) -> None:
    coco_panoptic(tmp_path)
    (tmp_path / "coco/annotations/panoptic_val2017.json").write_text('{"images": [')
    with pytest.raises(ValueError, match="not valid JSON"):
        panoptic(tmp_path)


def test_instances_decode_polygons_and_both_forms_of_run_lengths(tmp_path: Path) -> None:
    crowd = square(2, 18, iscrowd=1, segmentation={"size": [H, W], "counts": [6, 12, 30]})
    coco_instances(tmp_path, [square(1, 1), crowd])
    data: Dataset[InstanceSample] = open_dataset("coco", tmp_path, task="instance")
    assert data.vocabulary is not None
    first, second = data[0].regions()
    expected = np.zeros((H, W), bool)
    expected[2:4, 1:4] = True
    np.testing.assert_array_equal(first.mask(H, W), expected)
    column = np.zeros((H, W), bool)
    column[:, 1:3] = True
    np.testing.assert_array_equal(second.mask(H, W), column)
    assert (data.vocabulary.classes[second.category], second.crowd) == ("dog", True)
    assert data[1].regions() == ()


def test_run_lengths_of_another_size_are_refused(tmp_path: Path) -> None:
    coco_instances(tmp_path, [square(1, 1, segmentation={"size": [W, H], "counts": [6, 12, 30]})])
    region = open_dataset("coco", tmp_path, task="instance")[0].regions()[0]
    with pytest.raises(ValueError, match="annotation 1: the mask is 6x8 and its image 8x6"):
        region.mask(H, W)


def test_an_annotation_without_a_mask_is_a_listed_skip(tmp_path: Path) -> None:
    coco_instances(tmp_path, [square(1, 1), square(2, 1, segmentation=[[1, 2, 3, 4]])])
    data = open_dataset("coco", tmp_path, task="instance")
    assert len(data[0].regions()) == 1
    assert [s.item for s in data.skipped] == ["annotation 2"]


def test_duplicate_annotations_and_unlisted_images_are_refused(tmp_path: Path) -> None:
    coco_instances(tmp_path, [square(1, 1), square(1, 1)])
    with pytest.raises(ValueError, match=r"duplicate annotation id\(s\) \[1\]"):
        open_dataset("coco", tmp_path, task="instance")
    coco_instances(tmp_path, [square(1, 1, image=77)])
    with pytest.raises(ValueError, match=r'"images" lacks: \[77\]'):
        open_dataset("coco", tmp_path, task="instance")


def test_captions_are_grouped_by_image(tmp_path: Path) -> None:
    write_json(
        tmp_path / "coco/annotations/captions_val2017.json",
        {
            "images": [
                {"id": 5, "file_name": "5.jpg", "height": H, "width": W},
                {"id": 6, "file_name": "6.jpg", "height": H, "width": W},
            ],
            "annotations": [
                {"id": 1, "image_id": 5, "caption": "A dog. "},
                {"id": 2, "image_id": 5, "caption": "A brown dog."},
            ],
        },
    )
    write_image(tmp_path / "coco/val2017/5.jpg")
    write_image(tmp_path / "coco/val2017/6.jpg")
    data: Dataset[CaptionSample] = open_dataset("coco", tmp_path, task="caption")
    assert [s.captions for s in data] == [("A dog.", "A brown dog.")]
    (skip,) = data.skipped
    assert skip.reason.endswith("captions_val2017.json: image 6 has no caption")


@pytest.mark.parametrize(
    ("annotations", "images"),
    [("annotations/instances_train.json", "images/train"), ("train/_annotations.coco.json", "train")],
)
def test_a_folder_of_ones_own_has_its_own_vocabulary(tmp_path: Path, annotations: str, images: str) -> None:
    write_json(
        tmp_path / annotations,
        {
            "images": [{"id": 5, "file_name": "a.png", "height": H, "width": W}],
            "annotations": [square(1, 30)],
            "categories": [{"id": 30, "name": "screw"}, {"id": 2, "name": "nut"}],
        },
    )
    write_image(tmp_path / images / "a.png")
    data = open_dataset("custom-instances", tmp_path, split="train")
    assert data.vocabulary is not None
    assert data.vocabulary.classes == ("nut", "screw")
    assert data.category_ids == (2, 30)
    assert data[0].regions()[0].category == 1


def test_a_panoptic_folder_of_ones_own(tmp_path: Path) -> None:
    source = coco_panoptic(
        tmp_path / "x", categories=[{**PERSON, "name": "crane"}, {**SKY_OTHER, "name": "mist"}]
    )
    write_json(tmp_path / "annotations/panoptic_val.json", source)
    write_image(tmp_path / "images/val/000000000005.jpg")
    write_ids(tmp_path / "panoptic_val/000000000005.png", panoptic_ids())
    data = open_dataset("custom-panoptic", tmp_path)
    assert data.vocabulary is not None
    assert (data.vocabulary.classes, data.vocabulary.things) == (("crane", "mist"), frozenset({0}))
    assert {s.category for s in data[0].panoptic().segments} == {0, 1}
    assert data.category_ids == (1, 187)
    assert data.first(1).category_ids == (1, 187)
    assert open_dataset("custom-panoptic", tmp_path, task="instance").category_ids == (1,)


def test_segmentation_in_the_wild_reads_its_reduced_annotations(tmp_path: Path) -> None:
    folder = tmp_path / "seginw/Hand-Metal/valid"
    write_json(
        folder / "_annotations_min1cat.coco.json",
        {
            "images": [{"id": 0, "file_name": "h_jpg.rf.1.jpg", "height": H, "width": W}],
            "annotations": [square(0, 2, image=0)],
            "categories": [{"id": 1, "name": "hand"}, {"id": 2, "name": "metal"}],
        },
    )
    write_image(folder / "h_jpg.rf.1.jpg")
    data = open_dataset("seginw-Hand-Metal", tmp_path)
    assert data.vocabulary is not None
    assert data.vocabulary.classes[data[0].regions()[0].category] == "metal"


def test_samples_and_data_sets_survive_pickling(tmp_path: Path) -> None:
    coco_panoptic(tmp_path)
    data = panoptic(tmp_path)
    again: Dataset[PanopticSample] = pickle.loads(pickle.dumps(data))
    assert again[0] == data[0] == pickle.loads(pickle.dumps(data[0]))
    assert again.vocabulary == data.vocabulary
    assert len(again[-1:]) == 1
    with pytest.raises(IndexError):
        again[1]


def test_reading_is_lazy(tmp_path: Path) -> None:
    coco_panoptic(tmp_path)
    data = panoptic(tmp_path)
    (tmp_path / "coco/panoptic_val2017/000000000005.png").unlink()
    sample = data[0]
    assert sample.image().shape == (H, W, 3)
    with pytest.raises(FileNotFoundError, match="no such image file"):
        sample.panoptic()


def test_only_keeps_the_named_images(tmp_path: Path) -> None:
    coco_instances(tmp_path, [square(1, 1)])
    data = open_dataset("coco", tmp_path, task="instance", only=frozenset({6}))
    assert [s.image_id for s in data] == [6]


def test_wrong_names_say_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="did you mean 'ade20k-150'"):
        open_dataset("ade20k-151", tmp_path)
    with pytest.raises(ValueError, match="coco has no split 'dev'; it has val, train"):
        open_dataset("coco", tmp_path, split="dev")
    with pytest.raises(ValueError, match="coco has no task 'question'"):
        open_dataset("coco", tmp_path, task="question")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        open_dataset("coco", tmp_path / "nowhere")


def semantic_folder(root: Path, *, split: str = "val", names: str = "nut\nscrew\n") -> Path:
    write_image(root / f"images/{split}/a.jpg")
    (root / f"labels/{split}").mkdir(parents=True)
    labels = np.zeros((H, W), np.uint8)
    labels[2:], labels[4:] = 1, 255
    Image.fromarray(labels).save(root / f"labels/{split}/a.png")
    (root / "classes.txt").write_text(names)
    return root


@pytest.mark.parametrize("split", ["val", "valid", "validation"])
def test_label_maps_of_ones_own(split: str, tmp_path: Path) -> None:
    data = open_dataset("custom-semantic", semantic_folder(tmp_path, split=split))
    assert data.vocabulary is not None
    assert data.vocabulary.classes == ("nut", "screw")
    _image, labels = data[0].read()
    assert [labels[0, 0], labels[2, 0], labels[4, 0]] == [0, 1, VOID]
    assert open_dataset("custom-semantic", tmp_path, split="valid").split == "val"


def test_a_background_among_ones_own_classes_is_void(tmp_path: Path) -> None:
    data = open_dataset("custom-semantic", semantic_folder(tmp_path, names="Background\nscrew\n"))
    assert data.vocabulary is not None
    assert data.vocabulary.classes == ("screw",)
    assert np.unique(data[0].labels()).tolist() == [VOID, 0]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("nut\nnut\n", r"names \['nut'\] twice"),
        ("\n", "no class"),
        ("nut\n", r"unknown category value\(s\) \[1\]"),
    ],
)
def test_class_names_that_do_not_fit_are_refused(names: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        open_dataset("custom-semantic", semantic_folder(tmp_path, names=names))[0].labels()
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"classes\.txt: no such file; it names the classes"):
        open_dataset("custom-semantic", tmp_path)


def test_roboflows_valid_is_the_validation_split(tmp_path: Path) -> None:
    write_json(
        tmp_path / "valid/_annotations.coco.json",
        {
            "images": [{"id": 5, "file_name": "a.jpg", "height": H, "width": W}],
            "annotations": [square(1, 1)],
            "categories": [{"id": 1, "name": "hand"}],
        },
    )
    write_image(tmp_path / "valid/a.jpg")
    assert len(open_dataset("custom-instances", tmp_path, split="val")) == 1


@pytest.mark.parametrize(
    ("group", "used", "classes"),
    [
        ("tools", (1,), ("hand", "never seen")),
        ("hand", (1,), ("hand", "never seen")),  # bears the name of a class
        ("tools", (0, 1), ("tools", "hand", "never seen")),
    ],
)
def test_a_group_that_roboflow_lists_first_is_no_class_unless_it_is_used(
    group: str, used: tuple[int, ...], classes: tuple[str, ...], tmp_path: Path
) -> None:
    write_json(
        tmp_path / "train/_annotations.coco.json",
        {
            "images": [{"id": 5, "file_name": "a.jpg", "height": H, "width": W}],
            "annotations": [square(number, category) for number, category in enumerate(used)],
            "categories": [
                {"id": 0, "name": group, "supercategory": "none"},
                {"id": 1, "name": "hand", "supercategory": group},
                {"id": 2, "name": "never seen", "supercategory": group},
            ],
        },
    )
    write_image(tmp_path / "train/a.jpg")
    data = open_dataset("custom-instances", tmp_path, split="train")
    assert data.vocabulary is not None
    assert data.vocabulary.classes == classes
    assert [classes[r.category] for r in data[0].regions()][-1] == "hand"


@pytest.mark.parametrize("own", ["none", "", None, "alone"])
def test_a_class_that_never_occurs_stays_one(own: str | None, tmp_path: Path) -> None:
    rows = [{"id": 1, "name": "hand", "supercategory": "body"}, {"id": 3, "name": "alone"}]
    source = {
        "images": [{"id": 5, "file_name": "a.jpg", "height": H, "width": W}],
        "annotations": [square(1, 1)],
        "categories": [rows[0], {**rows[1], "supercategory": own}],
    }
    write_json(tmp_path / "annotations/instances_val.json", source)
    write_image(tmp_path / "images/val/a.jpg")
    data = open_dataset("custom-instances", tmp_path)
    assert data.vocabulary is not None
    assert data.vocabulary.classes == ("hand", "alone")


def test_instances_of_a_panoptic_folder_without_things_are_refused(tmp_path: Path) -> None:
    source = coco_panoptic(tmp_path / "x", categories=[{**PERSON, "isthing": 0}, SKY_OTHER])
    write_json(tmp_path / "annotations/panoptic_val.json", source)
    write_image(tmp_path / "images/val/000000000005.jpg")
    write_ids(tmp_path / "panoptic_val/000000000005.png", panoptic_ids())
    with pytest.raises(ValueError, match="custom-panoptic has no instances: none of its classes is a thing"):
        open_dataset("custom-panoptic", tmp_path, task="instance")
