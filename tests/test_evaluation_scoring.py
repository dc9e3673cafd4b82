"""Result files scored without a model: truth against itself, damaged truth, and files that do not fit."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle

from builders import CATEGORIES, IMAGES, size_of, write_data, write_json
from goldens import CAPTION_SCORES, COCO100, PANOPTIC_QUALITY, Example, damaged_coco100, needs_coco100
from xdecoder.evaluation.protocol import Scores
from xdecoder.evaluation.scoring import Truth, score
from xdecoder.metrics.panoptic_quality import ScoredSegment

TRUTH = COCO100 / "annotations/panoptic_train2017.json"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path / "data")


def panoptic_truth(data: Path) -> Path:
    return data / "annotations/panoptic_val.json"


def copy_of(truth: Path, path: Path, **changes: Any) -> Path:
    write_json(path, {**json.loads(truth.read_text()), **changes})
    return path


def against_itself(kind: str, data: Path) -> Scores:
    if kind == "instance":
        truth = data / "annotations/instances_val.json"
        return score("instance", truth, Truth(file=truth))
    if kind == "semantic":
        labels = data / "labels"
        labels.mkdir()
        for seed in range(3):
            pixels = np.random.default_rng(seed).choice([0, 1, 2, 255], (5, 7)).astype(np.uint8)
            Image.fromarray(pixels).save(labels / f"{seed}.png")
        return score("semantic", labels, Truth(file=labels, vocabulary="dog, cat, sky"))
    truth = panoptic_truth(data)
    return score("panoptic", truth, Truth(file=truth))


@pytest.mark.parametrize(
    ("kind", "metric"), [("panoptic", "PQ"), ("instance", "AP"), ("instance", "box AP"), ("semantic", "mIoU")]
)
def test_truth_against_itself_scores_100(kind: str, metric: str, data: Path) -> None:
    scores = against_itself(kind, data)
    assert scores.figures[metric] == pytest.approx(100)
    assert scores.missing == scores.skipped == ()


@needs_coco100
def test_real_truth_against_itself_scores_100() -> None:
    scores = score("panoptic", TRUTH, Truth(file=TRUTH))
    assert (scores.figures["PQ"], scores.figures["PQ_th"], scores.figures["PQ_st"]) == (100, 100, 100)
    assert scores.images == 100


def panoptic_rows(maps: list[tuple[str, int, list[ScoredSegment]]]) -> dict[str, Any]:
    """A panoptic JSON over COCO's categories."""
    rows = [
        {
            "image_id": image_id,
            "file_name": name,
            "segments_info": [
                {"id": s.id, "category_id": s.category_id, "iscrowd": int(s.is_crowd)} for s in segments
            ],
        }
        for name, image_id, segments in maps
    ]
    return {"annotations": rows, "categories": json.loads(TRUTH.read_text())["categories"]}


@needs_coco100
def test_damaged_real_truth_scores_the_golden_figures(tmp_path: Path) -> None:
    examples: list[Example] = damaged_coco100()[0]
    names = [f"{row['file_name']}" for row in json.loads(TRUTH.read_text())["annotations"]]
    true, given = [], []
    for i, (name, e) in enumerate(zip(sorted(names), examples, strict=True)):
        true.append((name, i, e.truth_segments))
        if e.prediction is not None:
            given.append((name, i, e.predicted_segments))
            coded = np.stack([e.prediction >> shift & 255 for shift in (0, 8, 16)], axis=-1)
            (tmp_path / "results").mkdir(exist_ok=True)
            Image.fromarray(coded.astype(np.uint8)).save(tmp_path / "results" / name, compress_level=1)
    write_json(tmp_path / "truth.json", panoptic_rows(true))
    write_json(tmp_path / "results.json", panoptic_rows(given))
    scores = score(
        "panoptic",
        tmp_path / "results.json",
        Truth(file=tmp_path / "truth.json", maps=COCO100 / "panoptic_train2017"),
    )
    golden = json.loads(PANOPTIC_QUALITY.read_text(encoding="utf-8"))
    for ending, part in (("", "all"), ("_th", "things"), ("_st", "stuff")):
        found = [scores.figures[f"{name}{ending}"] for name in ("PQ", "SQ", "RQ")]
        assert found == pytest.approx([100 * value for value in golden[part]], abs=1e-9)
    assert scores.missing == (9,)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_files_of_captions_score_the_golden_figures(number: int, tmp_path: Path) -> None:
    golden = json.loads(CAPTION_SCORES.read_text(encoding="utf-8"))["corpora"][number]
    rows = golden["captions"]
    references = [{"image_id": r["image_id"], "caption": c} for r in rows for c in r["references"]]
    write_json(tmp_path / "truth.json", {"annotations": references})
    results = [{"image_id": r["image_id"], "caption": r["candidate"]} for r in rows]
    write_json(tmp_path / "results.json", results)
    figures = score("caption", tmp_path / "results.json", Truth(file=tmp_path / "truth.json")).figures
    expected = golden["scores"]
    found = [figures[name] for name in ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr")]
    official = [*expected["bleu"], expected["rouge_l"], expected["cider_d"]]
    assert found == pytest.approx([100 * value for value in official], rel=1e-9)


def test_captions_are_scored_and_a_missing_one_is_listed(tmp_path: Path) -> None:
    sentences = {1: "a dog runs on grass", 2: "two cats sleep in the sun", 3: "a red bird"}
    write_json(
        tmp_path / "truth.json",
        {"annotations": [{"image_id": i, "caption": text} for i, text in sentences.items()]},
    )
    write_json(tmp_path / "all.json", [{"image_id": i, "caption": text} for i, text in sentences.items()])
    perfect = score("caption", tmp_path / "all.json", Truth(file=tmp_path / "truth.json"))
    assert perfect.figures["BLEU-4"] == pytest.approx(100, abs=1e-3)
    assert perfect.figures["ROUGE-L"] == pytest.approx(100)
    write_json(tmp_path / "some.json", [{"image_id": 2, "caption": sentences[2]}])
    partial = score("caption", tmp_path / "some.json", Truth(file=tmp_path / "truth.json"))
    assert partial.missing == (1, 3)
    assert partial.figures["ROUGE-L"] == pytest.approx(100 / 3)


def test_answers_are_scored_and_a_missing_one_counts_nothing(tmp_path: Path) -> None:
    answers = [{"answer": "red"}] * 8 + [{"answer": "blue"}] * 2
    questions = [
        {"question_id": i, "image_id": 1, "answer_type": "other", "answers": answers} for i in (10, 11)
    ]
    write_json(tmp_path / "truth.json", {"annotations": questions})
    write_json(tmp_path / "results.json", [{"question_id": 10, "answer": "Red"}])
    scores = score("vqa", tmp_path / "results.json", Truth(file=tmp_path / "truth.json"))
    assert scores.figures["accuracy"] == 50
    assert (scores.missing, scores.images) == ((11,), 1)


def test_an_image_without_a_label_map_counts_as_missed(tmp_path: Path) -> None:
    for folder, numbers in (("truth", (1, 2)), ("results", (1,))):
        (tmp_path / folder).mkdir()
        for number in numbers:
            Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / folder / f"{number}.png")
    scores = score("semantic", tmp_path / "results", Truth(file=tmp_path / "truth", vocabulary="dog, cat"))
    assert scores.missing == ("2",)
    assert scores.figures["mIoU"] == 50
    assert math.isnan(scores.per_class["cat"])


# Files that do not fit.


def refused(data: Path, match: str, truth: Path | None = None, **changes: Any) -> None:
    results = copy_of(panoptic_truth(data), data / "results.json", **changes)
    with pytest.raises(ValueError, match=match):
        score(
            "panoptic",
            results,
            Truth(file=truth or panoptic_truth(data), predicted_maps=data / "panoptic_val"),
        )


def test_panoptic_results_that_do_not_fit_are_refused(data: Path) -> None:
    rows = json.loads(panoptic_truth(data).read_text())["annotations"]
    refused(
        data,
        r"1 image_id\(s\) that the truth lacks: \[99\]; score results against the split",
        annotations=[{**rows[0], "image_id": 99}],
    )
    refused(data, r"1 duplicate image_id\(s\): \[1\]; give each one result", annotations=rows + rows[:1])
    strange = [{**s, "category_id": 77} for s in rows[0]["segments_info"]]
    refused(data, r"unknown category 77", annotations=[{**rows[0], "segments_info": strange}])
    refused(data, r"the prediction is 22 x 29, the truth 21 x 30", annotations=[{**rows[1], "image_id": 1}])
    refused(
        data,
        r"segment ids 1, which its list",
        annotations=[{**rows[0], "segments_info": [s for s in rows[0]["segments_info"] if s["id"] != 1]}],
    )
    refused(data, r"entry 0: lacks 'segments_info'", annotations=[{"image_id": 1, "file_name": "1.png"}])
    refused(data, r'expected an object with a list "annotations"', annotations=None)
    empty = copy_of(panoptic_truth(data), data / "annotations/empty.json", annotations=[])
    (data / "annotations/empty").mkdir()
    refused(data, "nothing to score against", truth=empty)


def test_a_result_s_missing_picture_is_an_error_and_a_truth_s_a_listed_skip(data: Path) -> None:
    truth = panoptic_truth(data)
    copy_of(truth, data / "results.json")
    (data / "results").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no such image file: .*results/1\.png"):
        score("panoptic", data / "results.json", Truth(file=truth))
    for number in range(1, IMAGES + 1):
        (data / "results" / f"{number}.png").write_bytes(
            (data / "panoptic_val" / f"{number}.png").read_bytes()
        )
    (data / "panoptic_val/3.png").unlink()
    (data / "panoptic_val/4.png").write_bytes(b"no picture")
    scores = score("panoptic", data / "results.json", Truth(file=truth))
    assert [skip.item for skip in scores.skipped] == ["image 3", "image 4"]
    assert scores.images == IMAGES - 2


def instance_rows(data: Path) -> tuple[Path, list[dict[str, Any]]]:
    truth = data / "annotations/instances_val.json"
    return truth, [{**row, "score": 0.5} for row in json.loads(truth.read_text())["annotations"]]


def test_detections_that_do_not_fit_are_refused(data: Path) -> None:
    truth, rows = instance_rows(data)

    def refused(changed: Any, match: str) -> None:
        write_json(data / "results.json", changed)
        with pytest.raises(ValueError, match=match) as error:
            score("instance", data / "results.json", Truth(file=truth))
        assert "results.json" in str(error.value)

    code = {"size": [21, 30], "counts": [0, 30, 600]}
    refused([{**rows[0], "image_id": 99}], r"1 image_id\(s\) that the truth lacks: \[99\]")
    refused([{**rows[0], "category_id": 99}], r"detections name the categories \[99\]")
    refused([{k: v for k, v in rows[0].items() if k != "score"}], "entry 0: lacks 'score'")
    refused([{**rows[0], "score": None}], "entry 0: 'score' is null, expected a number")
    refused([{**rows[0], "score": float("nan")}], "entry 0: 'score' is nan, expected a finite number")
    refused([{**rows[0], "score": 10**400}], "entry 0: 'score' is 1000.*, expected a finite number")
    refused([{**rows[0], "image_id": [1]}], "entry 0: 'image_id' is a list")
    refused(
        [{**rows[0], "segmentation": {**code, "size": [10**5, 10**5]}}],
        "entry 0: a mask of 100000x100000 pixels",
    )
    refused([{**rows[0], "segmentation": {**code, "counts": [0, 30]}}], "entry 0: the run lengths cover 30")
    refused([{**rows[0], "segmentation": [[1e400, 0, 1, 1, 2, 2]]}], "coordinates that are infinite")
    refused([{**rows[0], "segmentation": None, "bbox": None}], "entry 0: neither a segmentation nor a bbox")
    refused([{**rows[0], "bbox": [1, 2, 3]}], "entry 0: its bbox is")
    refused([{**rows[0], "bbox": [1, 2, 3, 10**400]}], "entry 0: its bbox is")
    refused([rows[0], None], "entry 1 is 'None', expected an object with image_id, category_id, score")
    refused({"detections": rows}, "expected a list of objects")


def test_an_empty_list_of_detections_scores_0(data: Path) -> None:
    write_json(data / "results.json", [])
    scores = score("instance", data / "results.json", Truth(file=instance_rows(data)[0]))
    assert scores.figures["AP"] == scores.figures["box AR@100"] == 0
    assert len(scores.missing) == IMAGES


def test_masks_are_read_in_each_of_coco_s_forms(data: Path) -> None:
    truth, rows = instance_rows(data)
    bare = [{k: row[k] for k in ("image_id", "category_id", "score", "segmentation")} for row in rows]
    for row in bare[::2]:
        code: Any = rle.frPyObjects(row["segmentation"], *size_of(row["image_id"]))[0]
        pixels = rle.decode(code).T.ravel()
        starts = [0, *(np.flatnonzero(np.diff(pixels)) + 1).tolist(), pixels.size]
        counts = np.diff(starts).tolist()
        row["segmentation"] = {
            "size": list(size_of(row["image_id"])),
            "counts": ([0] if pixels[0] else []) + counts,
        }
    write_json(data / "results.json", bare)
    scores = score("instance", data / "results.json", Truth(file=truth))
    assert scores.figures["AP"] == scores.figures["box AP"] == pytest.approx(100)


def test_boxes_alone_are_scored_as_boxes(data: Path) -> None:
    truth, rows = instance_rows(data)
    write_json(data / "results.json", [{k: v for k, v in row.items() if k != "segmentation"} for row in rows])
    scores = score("instance", data / "results.json", Truth(file=truth))
    assert scores.figures["box AP"] == pytest.approx(100)
    assert "AP" not in scores.figures


def test_a_truth_without_areas_boxes_and_ids_is_scored_by_its_masks(data: Path) -> None:
    truth, rows = instance_rows(data)
    file = json.loads(truth.read_text())
    for row in file["images"]:
        row["id"] = f"image {row['id']}"
    for row in file["annotations"]:
        row["image_id"] = f"image {row['image_id']}"
        for name in ("id", "area", "bbox", "iscrowd"):
            row.pop(name)
    write_json(data / "bare.json", file)
    found = [{**row, "image_id": f"image {row['image_id']}"} for row in rows]
    write_json(data / "results.json", found)
    scores = score("instance", data / "results.json", Truth(file=data / "bare.json"))
    assert scores.figures["AP"] == scores.figures["APs"] == pytest.approx(100)


CAPTION = {"image_id": 1, "caption": "a dog"}
ANSWER = {"question_id": 1, "answer": "yes"}


@pytest.mark.parametrize(
    ("kind", "truth", "results", "message"),
    [
        ("caption", CAPTION, {"caption": None}, "'caption' is null, expected a text"),
        ("caption", CAPTION, {"caption": ["a"]}, "'caption' is a list"),
        ("caption", CAPTION, {"image_id": {}}, "'image_id' is an object"),
        ("vqa", ANSWER, {"answer": None}, "'answer' is null, expected a text"),
        ("vqa", ANSWER, {"answer": ["yes"]}, "'answer' is a list"),
    ],
)
def test_a_text_that_is_none_is_named(
    kind: str, truth: dict[str, Any], results: dict[str, Any], message: str, tmp_path: Path
) -> None:
    write_json(tmp_path / "results.json", [{**truth, **results}])
    write_json(tmp_path / "truth.json", {"annotations": [{**truth, "answers": [{"answer": "yes"}]}]})
    with pytest.raises(ValueError, match=rf"results\.json: entry 0: {message}"):
        score(kind, tmp_path / "results.json", Truth(file=tmp_path / "truth.json"))


def test_label_maps_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    def write(path: Path, value: int, size: tuple[int, int] = (4, 5)) -> None:
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full(size, value, np.uint8)).save(path)

    truth = Truth(file=tmp_path / "truth", vocabulary="dog, cat")
    write(tmp_path / "truth/1.png", 0)
    write(tmp_path / "values/1.png", 7)
    with pytest.raises(ValueError, match=r"unknown category value\(s\) \[7\]; expected 0 to 1"):
        score("semantic", tmp_path / "values", truth)
    write(tmp_path / "sizes/1.png", 0, (4, 6))
    with pytest.raises(ValueError, match="the prediction is 4 x 6, the truth 4 x 5"):
        score("semantic", tmp_path / "sizes", truth)
    write(tmp_path / "names/2.png", 0)
    with pytest.raises(ValueError, match=r"1 label map\(s\) that the truth lacks: \['2'\]"):
        score("semantic", tmp_path / "names", truth)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no label maps"):
        score("semantic", tmp_path / "values", Truth(file=tmp_path / "empty", vocabulary="dog, cat"))
    with pytest.raises(ValueError, match="say which with --vocabulary"):
        score("semantic", tmp_path / "values", Truth(file=tmp_path / "truth"))


def test_masks_of_another_size_or_object_are_refused(data: Path) -> None:
    code = {"size": [3, 3], "counts": "09"}
    write_json(data / "results.json", [{"ref_id": 10, "segmentation": code}])
    with pytest.raises(ValueError, match=r"the mask of ref 10 is 3 x 3, its image 6 x 8"):
        score("refcocog-umd-val", data / "results.json", Truth(data=data))
    write_json(data / "results.json", [{"ref_id": 99, "segmentation": code}])
    with pytest.raises(ValueError, match=r"1 ref_id\(s\) that the truth lacks: \[99\]"):
        score("refcocog-umd-val", data / "results.json", Truth(data=data))


def test_what_to_score_against_must_be_told(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_json(path, [])
    with pytest.raises(ValueError, match="caption results are scored against a truth: add --truth FILE"):
        score("caption", path, Truth())
    with pytest.raises(ValueError, match=r"coco-panoptic: where are the data sets\? Add --data"):
        score("coco-panoptic", path, Truth())
    with pytest.raises(ValueError, match="no kind of result file or benchmark 'boxes'; kinds are panoptic"):
        score("boxes", path, Truth())
    write_json(tmp_path / "truth.json", {"annotations": [{"image_id": 1, "caption": "a"}]})
    with pytest.raises(FileNotFoundError, match="no such result file"):
        score("caption", tmp_path / "none.json", Truth(file=tmp_path / "truth.json"))
    rows = [{"image_id": 1, "file_name": "1.png", "segments_info": []}]
    write_json(tmp_path / "panoptic.json", {"annotations": rows, "categories": CATEGORIES})
    with pytest.raises(FileNotFoundError, match="name it with --maps or --truth-maps"):
        score("panoptic", tmp_path / "panoptic.json", Truth(file=tmp_path / "panoptic.json"))


def test_files_are_scored_without_torch() -> None:
    command = (
        "import sys, xdecoder.evaluation.kinds, xdecoder.evaluation.scoring; print('torch' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", command], check=True, capture_output=True, text=True)
    assert told.stdout.strip() == "False"


def test_a_category_that_is_no_number_is_told_with_its_annotation(tmp_path: Path) -> None:
    square = [[0, 0, 4, 0, 4, 4, 0, 4]]
    truth = {
        "images": [{"id": 1, "file_name": "1.png", "height": 6, "width": 8}],
        "categories": [{"id": 1, "name": "nut"}],
        "annotations": [{"id": 7, "image_id": 1, "category_id": {"a": 1}, "segmentation": square}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "found.json").write_text("[]")
    with pytest.raises(ValueError, match=r"truth\.json: annotation 7: unknown category id \{'a': 1\}"):
        score("instance", tmp_path / "found.json", Truth(file=tmp_path / "truth.json"))
