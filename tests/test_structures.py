import base64
import io
import json
import math
import os
import re
import sys
from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from pycocotools import mask as coco

from xdecoder.structures import (
    Answer,
    Candidate,
    Caption,
    Grounding,
    Instance,
    InstanceSegmentation,
    PanopticSegmentation,
    Segment,
    SegmentationResult,
    SemanticSegmentation,
    decode_rle,
    encode_rle,
    mask_box,
)
from xdecoder.structures import result as result_module
from xdecoder.vocabularies import Vocabulary

HEIGHT, WIDTH = 50, 70
IMAGE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
VOCABULARY = Vocabulary(classes=("person", "dog", "sky-other-merged"), things=frozenset({0, 1}))


def rectangle(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def panoptic() -> PanopticSegmentation:
    ids = np.zeros((HEIGHT, WIDTH), np.int32)
    ids[:20] = 1
    ids[25:45, 5:30] = 2
    ids[30:48, 40:69] = 3
    return PanopticSegmentation.from_ids(
        image=IMAGE, ids=ids, categories=[2, 0, 0], scores=[0.9, 0.8, 1 / 3], vocabulary=VOCABULARY
    )


def semantic() -> SemanticSegmentation:
    categories = np.full((HEIGHT, WIDTH), -1, np.int32)
    categories[:20] = 2
    categories[25:45, 5:30] = 0
    return SemanticSegmentation(image=IMAGE, categories=categories, vocabulary=VOCABULARY.classes)


def instance() -> InstanceSegmentation:
    masks = np.stack([rectangle(5, 25, 30, 45), rectangle(20, 20, 60, 49)])
    return InstanceSegmentation.from_masks(
        image=IMAGE, masks=masks, categories=[1, 0], scores=[0.7, 1 / 3], vocabulary=VOCABULARY.classes
    )


def grounding() -> Grounding:
    masks = np.stack([rectangle(5, 25, 30, 45), np.zeros((HEIGHT, WIDTH), np.bool_)])
    return Grounding.from_masks(image=IMAGE, phrases=["the dog", "a cat"], masks=masks, scores=[0.7, 0.1])


RESULTS = {"panoptic": panoptic, "semantic": semantic, "instance": instance, "grounding": grounding}


@pytest.fixture(params=RESULTS)
def result(request: pytest.FixtureRequest) -> SegmentationResult:
    return RESULTS[request.param]()


def assert_equal(actual: SegmentationResult, expected: SegmentationResult) -> None:
    assert type(actual) is type(expected)
    for name, value in vars(expected).items():
        if name == "instances":
            for a, b in zip(actual.instances, value, strict=True):
                assert (a.label, a.category, a.score, a.box) == (b.label, b.category, b.score, b.box)
                np.testing.assert_array_equal(a.mask, b.mask)
        elif isinstance(value, np.ndarray):
            assert getattr(actual, name).dtype == value.dtype
            np.testing.assert_array_equal(getattr(actual, name), value)
        else:
            assert getattr(actual, name) == value


masks = arrays.arrays(np.bool_, st.tuples(st.integers(1, 7), st.integers(1, 11)))


@given(masks)
def test_run_length_codes_are_exact(mask: np.ndarray):
    rle = json.loads(json.dumps(encode_rle(mask)))
    np.testing.assert_array_equal(decode_rle(rle), mask)
    assert coco.area({"size": rle["size"], "counts": rle["counts"].encode()}) == mask.sum()


@given(masks)
def test_the_box_of_a_mask_is_cocos(mask: np.ndarray):
    left, top, right, bottom = mask_box(mask)
    expected = coco.toBbox(coco.encode(np.asfortranarray(mask, dtype=np.uint8)))
    assert [left, top, right - left, bottom - top] == expected.tolist()


def test_the_box_of_a_pixel_is_one_wide():
    assert mask_box(rectangle(3, 5, 4, 6)) == (3, 5, 4, 6)


@pytest.mark.parametrize("rle", [{"size": [2, 3]}, {"size": 4, "counts": "a"}, {"size": [1, 2], "counts": 7}])
def test_a_malformed_run_length_code_says_what_was_expected(rle: Any):
    with pytest.raises(ValueError, match=r"expected COCO's run-length code, \{\"size\": \[height"):
        decode_rle(rle)


def test_records_are_frozen(result: SegmentationResult):
    with pytest.raises(FrozenInstanceError):
        result.image = None


def test_segments_know_their_area_box_and_kind():
    sky, first, _ = panoptic().segments
    assert (sky.label, sky.is_thing, sky.area, sky.box) == (
        "sky-other-merged",
        False,
        20 * WIDTH,
        (0, 0, WIDTH, 20),
    )
    assert first == Segment(
        id=2, label="person", category=0, is_thing=True, score=0.8, area=500, box=(5.0, 25.0, 30.0, 45.0)
    )


def test_the_mask_of_a_segment_is_where_it_is():
    segmentation = panoptic()
    np.testing.assert_array_equal(segmentation.mask(segmentation.segments[1]), rectangle(5, 25, 30, 45))


def test_instances_may_overlap():
    first, second = instance().instances
    assert (first.mask & second.mask).any()
    assert (first.label, second.box) == ("dog", (20, 20, 60, 49))


def test_json_rebuilds_every_result(result: SegmentationResult, tmp_path: Path):
    path = tmp_path / "r.json"
    result.save(path)
    assert_equal(type(result).load(path, image=IMAGE), result)


def test_json_rebuilds_without_the_picture(result: SegmentationResult, tmp_path: Path):
    path = tmp_path / "r.json"
    result.save(path)
    loaded = type(result).load(path)
    assert loaded.image is None
    assert loaded.draw().size == (WIDTH, HEIGHT)


def test_json_reads_the_picture_from_a_file(result: SegmentationResult, tmp_path: Path):
    Image.fromarray(IMAGE).save(tmp_path / "i.png")
    np.testing.assert_array_equal(
        type(result).from_dict(result.to_dict(), image=tmp_path / "i.png").image, IMAGE
    )


def test_to_dict_is_plain_json(result: SegmentationResult):
    data = result.to_dict()
    assert json.loads(json.dumps(data)) == data
    assert (data["kind"], data["height"], data["width"]) == (result.kind, HEIGHT, WIDTH)


@given(st.integers(1, 5), st.integers(1, 7), st.data())
def test_any_semantic_map_survives_json(height: int, width: int, data: st.DataObject):
    categories = data.draw(arrays.arrays(np.int32, (height, width), elements=st.integers(-1, 2)))
    map_ = SemanticSegmentation(image=None, categories=categories, vocabulary=("a", "b", "c"))
    assert_equal(SemanticSegmentation.from_dict(map_.to_dict()), map_)


def test_results_without_regions_survive_json():
    empty = np.zeros((0, 3, 4), np.bool_)
    for result in (
        PanopticSegmentation(image=None, ids=np.zeros((3, 4), np.int32), segments=(), vocabulary=("a",)),
        InstanceSegmentation(image=None, instances=(), vocabulary=("a",), height=3, width=4),
        Grounding.from_masks(image=None, phrases=[], masks=empty, scores=[]),
    ):
        assert_equal(type(result).from_dict(result.to_dict()), result)
        assert "0 regions" in str(result)
        assert result.draw().size == (4, 3)


def test_a_result_of_another_kind_is_refused(tmp_path: Path):
    path = tmp_path / "r.json"
    panoptic().save(path)
    with pytest.raises(ValueError, match=r"r\.json: expected a saved result of kind 'instance', got 'pan"):
        InstanceSegmentation.load(path)


def test_an_incomplete_result_names_what_is_missing():
    data = panoptic().to_dict()
    del data["segments"], data["width"]
    with pytest.raises(ValueError, match="the saved result lacks width, segments; save it again"):
        PanopticSegmentation.from_dict(data)


def test_a_file_that_is_no_json_is_named(tmp_path: Path):
    path = tmp_path / "r.json"
    path.write_text("{")
    with pytest.raises(ValueError, match=r"r\.json: Expecting property name"):
        Grounding.load(path)
    with pytest.raises(FileNotFoundError):
        Grounding.load(tmp_path / "nothing.json")


def test_a_region_of_another_size_is_refused_before_it_is_decoded(result: SegmentationResult):
    """Of this size a mask would take 10 gigabytes."""
    data = json.loads(json.dumps(result.to_dict()))
    regions = next(value for value in data.values() if isinstance(value, list) and isinstance(value[0], dict))
    regions[0]["segmentation"]["size"] = [100_000, 100_000]
    with pytest.raises(ValueError, match=f"the mask is 100000x100000 and its image {WIDTH}x{HEIGHT}"):
        type(result).from_dict(data)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((100_000, 100_000), "a result of 100000 x 100000 pixels is over the limit of 67,108,864"),
        ((0, 5), "height and width must be whole numbers of at least 1, got 0 and 5"),
        ((5, "7"), "height and width must be whole numbers of at least 1, got 5 and '7'"),
        ((5, None), "height and width must be whole numbers of at least 1, got 5 and None"),
    ],
)
def test_a_size_that_cannot_be_is_refused(result: SegmentationResult, size: tuple[Any, Any], message: str):
    with pytest.raises(ValueError, match=message):
        type(result).from_dict({**result.to_dict(), "height": size[0], "width": size[1]})


def test_a_malformed_region_is_an_error_of_the_file(tmp_path: Path):
    data = panoptic().to_dict()
    del data["segments"][1]["bbox"]
    path = tmp_path / "r.json"
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=r"r\.json: a malformed panoptic result \(KeyError\('bbox'\)\)"):
        PanopticSegmentation.load(path)


def test_a_picture_of_another_size_is_refused(result: SegmentationResult):
    with pytest.raises(ValueError, match=r"the image is 5 x 4 pixels, the result 70 x 50; give the image"):
        type(result).from_dict(result.to_dict(), image=np.zeros((4, 5, 3), np.uint8))


def test_png_is_the_drawn_picture(result: SegmentationResult, tmp_path: Path):
    result.save(str(tmp_path / "r.PNG"))
    with Image.open(tmp_path / "r.PNG") as saved:
        np.testing.assert_array_equal(np.asarray(saved), np.asarray(result.draw()))
    assert (np.asarray(result.draw()) != IMAGE).any()


def test_notebooks_show_the_drawn_picture_and_a_table(result: SegmentationResult):
    page = result._repr_html_()
    picture = re.search(r'src="data:image/png;base64,([^"]+)"', page)
    assert picture
    shown = Image.open(io.BytesIO(base64.b64decode(picture[1])))
    np.testing.assert_array_equal(np.asarray(shown), np.asarray(result.draw()))
    assert page.count("<tr>") == 1 + len(list(result.regions()))


def test_the_table_of_a_notebook_is_cut_and_names_in_it_are_text():
    phrases = ["<b>&", *["x"] * 44]
    many = Grounding.from_masks(
        image=None, phrases=phrases, masks=np.zeros((45, 2, 3), np.bool_), scores=[0.5] * 45
    )
    page = many._repr_html_()
    assert "<td>&lt;b&gt;&amp;</td><td>0.50</td><td>0.0 %</td>" in page
    assert "... and 5 more" in page
    wide = SemanticSegmentation(image=None, categories=np.zeros((5, 3000), np.int32), vocabulary=("a",))
    picture = wide._repr_html_().split("base64,")[1].split('"')[0]
    assert Image.open(io.BytesIO(base64.b64decode(picture))).size == (1024, 2)


def test_every_result_becomes_a_table(result: SegmentationResult):
    table = result.to_pandas()
    regions = list(result.regions())
    assert table["label"].tolist() == [region.label for region in regions]
    assert table["area"].tolist() == [np.count_nonzero(region.mask) for region in regions]
    np.testing.assert_allclose(table["share"] * HEIGHT * WIDTH, table["area"])
    np.testing.assert_array_equal(
        table[["left", "top", "right", "bottom"]].to_numpy(), [mask_box(region.mask) for region in regions]
    )
    scores = [math.nan if region.score is None else region.score for region in regions]
    np.testing.assert_array_equal(table["score"].to_numpy(float), scores)


def test_nothing_becomes_an_empty_table():
    nothing = InstanceSegmentation(image=None, instances=(), vocabulary=("a",), height=3, width=4)
    assert nothing.to_pandas().empty
    assert "bottom" in nothing.to_pandas().columns


def test_plot_draws_in_axes_of_its_own_or_given(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    from matplotlib import pyplot

    ax = panoptic().plot(labels=False)
    np.testing.assert_array_equal(ax.images[0].get_array(), np.asarray(panoptic().draw(labels=False)))
    assert grounding().plot(ax, opacity=0.2) is ax
    assert len(ax.images) == 2
    pyplot.close("all")


@pytest.mark.parametrize(("package", "verb"), [("pandas", "to_pandas"), ("matplotlib.pyplot", "plot")])
def test_without_the_package_the_error_says_how_to_install_it(
    package: str, verb: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r'is not installed; pip install "xdecoder\[notebook\]"'):
        getattr(panoptic(), verb)()


def test_labels_can_be_left_out():
    segmentation = panoptic()
    assert (np.asarray(segmentation.draw()) != np.asarray(segmentation.draw(labels=False))).any()


def test_another_suffix_is_refused(result: SegmentationResult, tmp_path: Path):
    with pytest.raises(ValueError, match=r"r\.jpg: expected a name ending in \.png \(drawn picture\) or"):
        result.save(tmp_path / "r.jpg")


def test_a_missing_folder_is_named(result: SegmentationResult, tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere to write r\.json to; make it first"):
        result.save(tmp_path / "nowhere" / "r.json")


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    path = tmp_path / "r.json"
    path.write_text("old")
    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), full)
    with pytest.raises(OSError, match="No space left"):
        panoptic().save(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_saved_files_have_the_usual_permissions(tmp_path: Path):
    (tmp_path / "plain").touch()
    result_module.write_whole(tmp_path / "a", b"x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_panoptic_results_become_cocos_panoptic_format():
    annotation, coded = panoptic().to_coco(image_id=37, category_ids={0: 1, 2: 187})
    assert (annotation["image_id"], annotation["file_name"]) == (37, "000000000037.png")
    assert [(s["id"], s["category_id"], s["isthing"]) for s in annotation["segments_info"]] == [
        (1, 187, 0),
        (2, 1, 1),
        (3, 1, 1),
    ]
    assert annotation["segments_info"][1]["bbox"] == [5, 25, 25, 20]
    json.dumps(annotation)
    ids = coded.astype(int) @ [1, 256, 65536]
    np.testing.assert_array_equal(ids, panoptic().ids)


def test_large_panoptic_ids_use_all_color_channels():
    ids = np.array([[0, 255, 256], [65535, 65536, 16777215]], np.int32)
    segmentation = PanopticSegmentation(image=None, ids=ids, segments=(), vocabulary=("a",))
    annotation, coded = segmentation.to_coco(image_id="a b")
    np.testing.assert_array_equal(coded.astype(int) @ [1, 256, 65536], ids)
    assert annotation["file_name"] == "a b.png"


def test_instances_become_coco_results():
    first, second = instance().to_coco(image_id=37, category_ids=[11, 18, 99])
    assert (first["image_id"], first["category_id"], second["category_id"]) == (37, 18, 11)
    assert first["bbox"] == [5, 25, 25, 20]
    assert coco.area(first["segmentation"]) == 500
    json.dumps([first, second])


def test_semantic_results_become_one_coco_result_a_class():
    results = semantic().to_coco(image_id=37)
    assert [r["category_id"] for r in results] == [0, 2]
    assert coco.area(results[1]["segmentation"]) == 20 * WIDTH


def test_coco_s_results_are_of_image_1_unless_told_otherwise(result: SegmentationResult):
    assert result.to_coco()[0]["image_id"] == 1


def test_groundings_become_one_coco_result_a_phrase():
    results = grounding().to_coco(image_id=37)
    assert [(r["phrase"], r["category_id"], r["score"]) for r in results] == [
        ("the dog", 0, 0.7),
        ("a cat", 1, 0.1),
    ]


@pytest.mark.parametrize("category_ids", [{0: 1}, [1, 2]])
def test_a_category_without_an_id_is_named(category_ids: Any):
    with pytest.raises(ValueError, match=r"no id for category 2 \('sky-other-merged'\); give one for every"):
        panoptic().to_coco(image_id=37, category_ids=category_ids)


@dataclass
class Detections:
    xyxy: np.ndarray
    mask: np.ndarray
    confidence: np.ndarray
    class_id: np.ndarray
    data: dict[str, Any]


@pytest.fixture
def supervision(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("supervision")
    module.Detections = Detections
    monkeypatch.setitem(sys.modules, "supervision", module)


@pytest.mark.usefixtures("supervision")
def test_every_result_becomes_supervision_detections(result: SegmentationResult):
    detections = result.to_supervision()
    parts = list(result.regions())
    assert detections.xyxy.shape == (len(parts), 4)
    assert detections.mask.shape == (len(parts), HEIGHT, WIDTH)
    assert (detections.xyxy.dtype, detections.mask.dtype) == (np.float32, np.bool_)
    np.testing.assert_array_equal(detections.class_id, [part.category for part in parts])
    assert detections.data["class_name"].tolist() == [part.label for part in parts]
    np.testing.assert_allclose(detections.confidence, [1 if p.score is None else p.score for p in parts])


@pytest.mark.usefixtures("supervision")
def test_nothing_becomes_empty_supervision_detections():
    nothing = InstanceSegmentation(image=None, instances=(), vocabulary=("a",), height=3, width=4)
    detections = nothing.to_supervision()
    assert detections.xyxy.shape == (0, 4)
    assert detections.mask.shape == (0, 3, 4)
    assert detections.confidence.shape == detections.class_id.shape == (0,)


def test_real_supervision_takes_every_result(result: SegmentationResult):
    pytest.importorskip("supervision")
    assert len(result.to_supervision()) == len(list(result.regions()))


def test_without_supervision_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ImportError, match=r'supervision is not installed; pip install "xdecoder\[superv'):
        panoptic().to_supervision()


def test_printing_lists_the_regions():
    assert str(panoptic()) == (
        "PanopticSegmentation of 70 x 50 pixels: 3 regions\n"
        "  sky     0.90   40.0 %\n"
        "  person  0.80   14.3 %\n"
        "  person  0.33   14.9 %"
    )
    assert repr(semantic()) == "<SemanticSegmentation of 70 x 50 pixels: 2 regions>"


def test_printing_many_regions_is_cut():
    many = Grounding.from_masks(
        image=None, phrases=["x"] * 45, masks=np.zeros((45, 2, 3), np.bool_), scores=[0.5] * 45
    )
    assert str(many).endswith("  ... and 5 more")
    assert len(str(many).splitlines()) == 42


def test_captions_and_answers_print_as_their_text():
    caption = Caption(text="a dog", score=-0.5, token_ids=(320, 1929))
    assert str(caption) == "a dog"
    assert caption.to_dict() == {"text": "a dog", "score": -0.5, "token_ids": [320, 1929]}
    answer = Answer(
        question="how many?",
        candidates=(Candidate(text="two", score=math.exp(-1)), Candidate(text="one", score=0.25)),
    )
    assert f"{answer}" == answer.text == "two"
    assert answer.score == math.exp(-1)
    assert answer.to_dict()["candidates"][1] == {"text": "one", "score": 0.25}
    assert json.loads(json.dumps(answer.to_dict())) == answer.to_dict()


def test_instances_are_compared_by_identity():
    mask = rectangle(0, 0, 2, 2)
    first, second = (
        Instance(label="a", category=0, score=0.5, mask=mask, box=(0.0, 0.0, 2.0, 2.0)) for _ in "ab"
    )
    assert first != second
