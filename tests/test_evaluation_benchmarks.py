"""The table of benchmarks: it fits the data sets, the published scores and its documentation."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xdecoder.data.catalog import DATASETS
from xdecoder.data.selection import built_in_for
from xdecoder.evaluation.benchmark import METRICS
from xdecoder.evaluation.benchmarks import BENCHMARKS, GROUPS, find_benchmarks
from xdecoder.evaluation.classes import classes_of
from xdecoder.evaluation.published import checkpoint_of, published_scores
from xdecoder.evaluation.resizing import Resizing
from xdecoder.evaluation.table import protocol_table
from xdecoder.vocabularies import BUILT_IN, built_in
from xdecoder.weights.published_models import PUBLISHED

DOCS = Path(__file__).parents[1] / "docs/evaluation.md"


@pytest.mark.parametrize("name", [name for name, row in BENCHMARKS.items() if row.kind != "picturebook"])
def test_a_row_names_a_data_set_that_has_its_task_split_and_vocabulary(name: str) -> None:
    row = BENCHMARKS[name]
    info = DATASETS[row.data]
    assert row.task in info.tasks
    assert row.split in info.splits
    assert row.vocabulary is None or row.vocabulary in BUILT_IN


@pytest.mark.parametrize("name", [name for name, row in BENCHMARKS.items() if row.vocabulary])
def test_the_classes_asked_for_are_those_of_the_data_set_or_hold_its_things(
    name: str,
) -> None:
    row = BENCHMARKS[name]
    truth = built_in_for(DATASETS[row.data].vocabulary, row.task)
    names = classes_of(row, truth, ids := tuple(range(7, 7 + len(truth))))
    assert [names.asked.classes[i] for i, c in enumerate(names.category) if c is not None] == [*truth.classes]
    assert names.ids == ids


def test_classes_of_another_data_set_are_refused() -> None:
    with pytest.raises(
        ValueError, match="the data set's 19 classes are neither those of 'coco' nor its things"
    ):
        classes_of(BENCHMARKS["coco-panoptic"], built_in("cityscapes"), tuple(range(19)))


def test_every_published_score_belongs_to_one_row() -> None:
    rows = Counter(
        (row.published, metric) for row in BENCHMARKS.values() if row.published for metric in row.metrics
    )
    for model in PUBLISHED.values():
        for score in model.scores:
            assert rows[score.data, score.metric] == 1, score


def test_published_scores_are_those_of_the_row_and_the_checkpoint() -> None:
    (panoptic, refcocog) = find_benchmarks(["coco-panoptic", "refcocog-umd-val"])
    assert published_scores(panoptic, "xdecoder_focalt_last") == {"PQ": 50.8}
    assert published_scores(refcocog, "xdecoder_focalt_last") == {"mIoU": 63.2, "cIoU": 57.6}
    assert published_scores(refcocog, None) == {}
    with pytest.raises(ValueError, match="no published checkpoint 'mine'; there are xdecoder_focalt_last"):
        published_scores(panoptic, "mine")


def test_weights_are_a_checkpoint_by_their_name_or_their_folders() -> None:
    assert checkpoint_of("xdecoder_focall_last") == "xdecoder_focall_last"
    assert checkpoint_of("/models/xdecoder_focalt_last") == "xdecoder_focalt_last"
    assert checkpoint_of("/models/mine") is None


def test_input_sizes_and_interpolation_are_the_published_ones() -> None:
    ways = {name: str(row.resizing) for name, row in BENCHMARKS.items()}
    assert ways["coco-panoptic"] == "short side 800, long side at most 1333, bilinear"
    for name in ("ade20k-150-instance", "ade20k-847-semantic"):
        assert ways[name] == "short side 640, long side at most 2560, bilinear"
    assert ways["cityscapes-semantic"] == "short side 1024, long side at most 2048, bilinear"
    for name in ("sun-rgbd-37-semantic", "scannet-40-semantic", "refcocog-umd-val", "seginw-Cows"):
        assert ways[name] == "short side 512, bicubic, rounded down"
    assert ways["bdd100k-panoptic"] == ways["bdd100k-semantic"] == "short side 800, bicubic, rounded down"
    assert ways["coco-karpathy-retrieval"] == ways["coco-karpathy-caption"] == "224 x 224, bilinear"


def test_a_side_is_rounded_as_the_published_evaluation_rounds_it() -> None:
    assert Resizing(short_side=512).size(480, 640) == (512, 682)  # torchvision's Resize
    coco = Resizing(short_side=800, long_side=1333, interpolation="bilinear", rounding="nearest")
    assert coco.size(480, 640) == (800, 1067)  # Detectron2's ResizeShortestEdge
    assert coco.size(640, 427) == (1199, 800)
    assert coco.size(427, 800) == (711, 1333)
    assert coco.with_short_side(400).size(427, 800) == (355, 666)


def test_an_image_is_resized_by_pillow_with_the_row_s_filter() -> None:
    image = np.random.default_rng(0).integers(0, 255, (30, 41, 3)).astype(np.uint8)
    for interpolation, kind in (
        ("bilinear", Image.Resampling.BILINEAR),
        ("bicubic", Image.Resampling.BICUBIC),
    ):
        resized = Resizing(short_side=20, interpolation=interpolation)(image)
        assert resized.shape == (20, 27, 3)
        assert np.array_equal(resized, Image.fromarray(image).resize((27, 20), kind))


def test_panoptic_thresholds_are_those_of_the_published_open_vocabulary_evaluation() -> None:
    thresholds = {
        row.data: (row.object_threshold, row.overlap_threshold)
        for row in BENCHMARKS.values()
        if row.kind == "panoptic"
    }
    assert thresholds.pop("coco") == thresholds.pop("coco100") == (0.8, 0.8)
    assert thresholds.pop("custom-panoptic") == (None, None)
    assert set(thresholds) == {
        "ade20k-150",
        "cityscapes",
        "bdd100k-panoptic",
        "scannet-20",
        "mapillary-vistas",
    }
    assert set(thresholds.values()) == {(0.4, 0.8)}


def test_groups_stand_for_their_rows() -> None:
    assert len(GROUPS["seginw"]) == 25
    sets = {BENCHMARKS[name].data for name in GROUPS["open-vocabulary"]}
    assert len({name.removesuffix("-semantic").removesuffix("-panoptic") for name in sets}) == 10
    assert len({name.split("-")[0] if "scannet" in name or "bdd" in name else name for name in sets}) == 9
    assert [row.name for row in find_benchmarks(["coco", "coco-panoptic"])] == list(GROUPS["coco"])
    assert {BENCHMARKS[name].kind for name in GROUPS["vl"]} == {"referring", "retrieval", "caption"}


def test_an_unknown_name_is_told_with_a_likely_one() -> None:
    with pytest.raises(ValueError, match="no benchmark 'coco-panotic'; did you mean 'coco-panoptic'"):
        find_benchmarks(["coco-panotic"])
    with pytest.raises(
        ValueError, match="no benchmark named; groups are open-vocabulary, seginw, coco, vl, picturebook"
    ):
        find_benchmarks([])


def test_the_documentation_has_the_table_as_it_is() -> None:
    assert set(METRICS) == {row.kind for row in BENCHMARKS.values()}
    documented = DOCS.read_text(encoding="utf-8").split("<!-- benchmarks -->\n")[1]
    assert documented == protocol_table(), "paste it anew: python -m xdecoder.evaluation.table"
