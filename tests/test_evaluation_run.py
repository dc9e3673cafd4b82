"""Runs on a tiny model and tiny data: what they write, and that neither a kill nor company changes it."""

import contextlib
import dataclasses
import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from builders import (
    CATEGORIES,
    IMAGES,
    build_predictor,
    size_of,
    write_data,
    write_ids,
    write_image,
    write_json,
)
from xdecoder.evaluation.benchmarks import BENCHMARKS
from xdecoder.evaluation.panoptic import PanopticProtocol
from xdecoder.evaluation.plan import Overrides
from xdecoder.evaluation.report import BenchmarkReport, markdown_of
from xdecoder.evaluation.run import EvaluatedModel, evaluate
from xdecoder.evaluation.scoring import Truth, score
from xdecoder.jobs.journal import Journal
from xdecoder.predictor.predictor import Predictor
from xdecoder.weights.folder import load_model

SIDE = {
    name: 64 if row.kind in ("caption", "retrieval", "question") else 32 for name, row in BENCHMARKS.items()
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDECODER_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def model() -> EvaluatedModel:
    return EvaluatedModel.of("tiny", build_predictor())


def run(name: str, model: EvaluatedModel, data: Path, out: Path, **changes: Any) -> BenchmarkReport:
    report = evaluate(
        BENCHMARKS[name],
        model,
        data=data,
        out=out,
        overrides=Overrides(**{"short_side": SIDE[name], **changes}),
    )
    assert report is not None
    return report


KINDS = [
    "custom-panoptic",
    "custom-panoptic-semantic",
    "custom-instance",
    "refcocog-umd-val",
    "coco-karpathy-caption",
    "coco-karpathy-retrieval",
    "vqav2-val",
]


@pytest.mark.parametrize("name", KINDS)
def test_the_report_s_figures_are_those_of_its_result_file(
    name: str, model: EvaluatedModel, data: Path, tmp_path: Path
) -> None:
    report = run(name, model, data, tmp_path)
    again = score(name, report.predictions, Truth(data=data))
    assert again.figures == pytest.approx(report.scores.figures, nan_ok=True)
    assert again.images == report.scores.images
    stored = json.loads((tmp_path / name / "report.json").read_text())[0]
    assert list(stored["figures"]) == list(report.scores.figures)
    assert set(BENCHMARKS[name].metrics) <= set(stored["figures"])
    assert all(plot.is_file() for plot in report.plots)
    assert f"| {name} | {BENCHMARKS[name].metrics[0]} |" in (tmp_path / name / "report.md").read_text()


def test_result_files_bear_the_data_set_s_own_ids(model: EvaluatedModel, data: Path, tmp_path: Path) -> None:
    panoptic = json.loads(run("custom-panoptic", model, data, tmp_path).predictions.read_text())
    assert {s["category_id"] for row in panoptic["annotations"] for s in row["segments_info"]} <= {3, 8, 11}
    assert panoptic["categories"] == CATEGORIES
    report = run("custom-instance", model, data, tmp_path)
    detections = json.loads(report.predictions.read_text())
    assert {d["category_id"] for d in detections} <= {3, 8}
    assert {d["image_id"] for d in detections} == set(range(1, IMAGES + 1))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(report.predictions.with_name("truth.json"))
        evaluator = COCOeval(coco, coco.loadRes(str(report.predictions)), "segm")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    official = [math.nan if value == -1 else 100 * value for value in evaluator.stats]
    assert list(report.scores.figures.values())[:12] == pytest.approx(official, nan_ok=True)


def test_answers_are_written_as_vqa_s_results(model: EvaluatedModel, data: Path, tmp_path: Path) -> None:
    report = run("vqav2-val", model, data, tmp_path)
    rows = json.loads(report.predictions.read_text())
    assert [row["question_id"] for row in rows] == [42000, 42001]
    assert {row["answer"] for row in rows} <= {"yes", "no", "red"}
    assert all(set(row) == {"question_id", "answer"} for row in rows)
    truth = data / "vqa/v2_mscoco_val2014_annotations.json"
    assert score("vqa", report.predictions, Truth(file=truth)).figures == report.scores.figures
    write_json(report.predictions, [{"question_id": 42000, "answer": "yes"}])  # the truth of both is "yes"
    partly = score("vqav2-val", report.predictions, Truth(data=data))
    assert (partly.figures["accuracy"], partly.missing, partly.images) == (50.0, (42001,), 1)


def test_another_classifier_of_answers_is_another_model(model: EvaluatedModel) -> None:
    other = build_predictor()
    assert EvaluatedModel.of("tiny", other).digest != model.digest


def test_the_report_names_the_protocol_and_what_was_changed(
    model: EvaluatedModel, data: Path, tmp_path: Path
) -> None:
    report = run("custom-panoptic-semantic", model, data, tmp_path / "a", limit=3)
    assert report.protocol == (
        "short side 32, bicubic, rounded down; words: the data set's own, all classes, the bare "
        "name of each; mIoU over the classes in truth or prediction"
    )
    assert report.changes == (
        "input size 32 instead of the model's own",
        "the first 3 images alone",
        "the model's prompt_ensemble is False, the published True",
    )
    assert report.scores.images == 3
    present = run("custom-panoptic-semantic", model, data, tmp_path / "b", classes="present")
    assert "only the classes present in the image" in present.protocol
    assert "each image asked for the classes of its own truth alone" in present.changes
    assert (
        "not to be set beside published figures"
        in (tmp_path / "b/custom-panoptic-semantic/report.md").read_text()
    )


@pytest.mark.parametrize("name", ["custom-panoptic", "custom-panoptic-semantic"])
def test_an_image_s_id_never_leads_out_of_the_results_folder(
    name: str, model: EvaluatedModel, tmp_path: Path
) -> None:
    data = write_data(tmp_path / "data")
    path = data / "annotations/panoptic_val.json"
    renamed = {1: "../../../evil", 2: str(tmp_path / "evil")}
    file = json.loads(path.read_text())
    for row in file["images"]:
        row["id"] = renamed.get(row["id"], row["id"])
    for row in file["annotations"]:
        row["image_id"] = renamed.get(row["image_id"], row["image_id"])
    write_json(path, file)
    report = run(name, model, data, tmp_path / "out", limit=2)
    assert report.scores.images == 2
    pictures = {p for p in tmp_path.rglob("*.png") if not p.is_relative_to(tmp_path / "data")}
    written = {p for p in pictures if p.parent != tmp_path / "out" / name}  # but for plots
    assert len(written) == 2
    assert all(p.is_relative_to(report.predictions.with_suffix("")) for p in written)


def test_a_result_file_that_names_files_elsewhere_is_refused(
    model: EvaluatedModel, data: Path, tmp_path: Path
) -> None:
    report = run("custom-panoptic", model, data, tmp_path, limit=1)
    rows = json.loads(report.predictions.read_text())
    rows["annotations"][0]["file_name"] = "../panoptic/000000000001.png"
    write_json(report.predictions, rows)
    with pytest.raises(ValueError, match=r"file_name '\.\./panoptic.*' leads out of this folder"):
        score("custom-panoptic", report.predictions, Truth(data=data, limit=1))


def test_two_processes_on_one_folder_do_not_compute_the_same(
    model: EvaluatedModel, data: Path, tmp_path: Path
) -> None:
    run("custom-panoptic-semantic", model, data, tmp_path, limit=1)
    folder = tmp_path / "custom-panoptic-semantic"
    made_with = json.loads((folder / "journal-0.jsonl").read_text().splitlines()[0])["fingerprint"]
    with (
        Journal(folder, 0, made_with),
        pytest.raises(ValueError, match="another process is writing results to"),
    ):
        run("custom-panoptic-semantic", model, data, tmp_path)


def test_a_folder_of_label_maps_of_one_s_own_is_evaluated(model: EvaluatedModel, tmp_path: Path) -> None:
    for number in (1, 2):
        write_image(tmp_path / f"data/images/val/{number}.jpg", 20, 30)
        (tmp_path / "data/labels/val").mkdir(parents=True, exist_ok=True)
        labels = np.random.default_rng(number).choice([0, 1, 255], (20, 30)).astype(np.uint8)
        Image.fromarray(labels).save(tmp_path / f"data/labels/val/{number}.png")
    (tmp_path / "data/classes.txt").write_text("dog\ncat\n")
    report = evaluate(
        BENCHMARKS["custom-semantic"],
        model,
        data=tmp_path / "data",
        out=tmp_path / "out",
        overrides=Overrides(short_side=32),
    )
    assert report is not None
    assert list(report.scores.per_class) == ["dog", "cat"]
    assert report.scores.images == 2


def test_the_two_protocols_are_never_mixed_in_one_folder(
    model: EvaluatedModel, data: Path, tmp_path: Path
) -> None:
    run("custom-panoptic-semantic", model, data, tmp_path, limit=1)
    with pytest.raises(ValueError, match=r"made otherwise \(classes 'global' there, 'present' now\)"):
        run("custom-panoptic-semantic", model, data, tmp_path, limit=1, classes="present")
    other = EvaluatedModel.of("other", build_predictor(0.5))
    with pytest.raises(ValueError, match=r"weights '.*' there, '.*' now\): give another --out, or delete"):
        run("custom-panoptic-semantic", other, data, tmp_path, limit=1)


def test_only_the_asked_classes_are_answered_where_those_present_are_asked(
    model: EvaluatedModel, data: Path, tmp_path: Path
) -> None:
    """Without cats in the truth, no cat is found."""
    ids = np.full(size_of(1), 300)
    ids[2:9] = 1
    root = write_data(tmp_path / "data")
    write_ids(root / "panoptic_val/1.png", ids)
    path = run("custom-panoptic", model, root, tmp_path, classes="present", limit=1).predictions
    (row,) = json.loads(path.read_text())["annotations"]
    assert {s["category_id"] for s in row["segments_info"]} <= {3, 11}


def test_a_killed_run_goes_on_without_computing_anything_twice(
    model: EvaluatedModel, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run("custom-panoptic", model, data, tmp_path / "whole")
    computed: list[int | str] = []
    predict = PanopticProtocol.predict

    def counted(self: PanopticProtocol, predictor: Predictor, sample: Any, picture: Any) -> Any:
        if len(computed) == 4:
            raise KeyboardInterrupt
        computed.append(sample.image_id)
        return predict(self, predictor, sample, picture)

    monkeypatch.setattr(PanopticProtocol, "predict", counted)
    with pytest.raises(KeyboardInterrupt):
        run("custom-panoptic", model, data, tmp_path / "killed")
    journal = tmp_path / "killed/custom-panoptic/journal-0.jsonl"
    journal.write_bytes(journal.read_bytes()[:-7])  # the last line was cut short
    first, computed[:] = computed.copy(), []
    resumed = run("custom-panoptic", model, data, tmp_path / "killed")
    assert computed == [first[-1], *range(5, IMAGES + 1)]
    assert resumed.scores == whole.scores
    assert resumed.predictions.read_bytes() == whole.predictions.read_bytes()
    computed.clear()
    assert run("custom-panoptic", model, data, tmp_path / "killed").scores == whole.scores
    assert computed == []


PROCESS = """
import json, sys
from pathlib import Path
from xdecoder.weights.folder import load_model
from xdecoder.evaluation.benchmarks import BENCHMARKS
from xdecoder.evaluation.plan import Overrides
from xdecoder.evaluation.run import EvaluatedModel, evaluate
from xdecoder.predictor.predictor import Predictor
from xdecoder.jobs.distributed import join_world, leave_world

folder, data, out, sides = sys.argv[1:]
world = join_world("cpu")
model = EvaluatedModel.of("tiny", Predictor(*load_model(Path(folder))))
for name, side in json.loads(sides).items():
    overrides = Overrides(short_side=side)
    evaluate(BENCHMARKS[name], model, data=Path(data), out=Path(out), overrides=overrides, world=world)
leave_world()
"""


def test_two_processes_give_exactly_the_figures_of_one(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    build_predictor().save(folder)
    names = ["custom-panoptic", "custom-instance", "coco-karpathy-retrieval"]
    alone = EvaluatedModel.of("tiny", Predictor(*load_model(folder)))
    one = {name: run(name, alone, data, tmp_path / "one") for name in names}
    sides = json.dumps({name: SIDE[name] for name in names})
    program = tmp_path / "process.py"
    program.write_text(PROCESS)
    subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
            *map(str, (program, folder, data, tmp_path / "two")),
            sides,
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=240,
        check=True,
    )
    for name in names:
        stored = json.loads((tmp_path / "two" / name / "report.json").read_text())[0]
        expected = one[name].to_dict()
        for part in ("figures", "per_class", "images", "weights_digest"):
            assert stored[part] == expected[part]
        assert Path(stored["predictions"]).read_bytes() == one[name].predictions.read_bytes()
        lines = [len(p.read_bytes().splitlines()) for p in (tmp_path / "two" / name).glob("journal-*")]
        assert len(lines) == 2
        assert max(lines) - min(lines) <= 1


# Bad input.


def test_images_that_cannot_be_used_are_left_out_and_listed(model: EvaluatedModel, tmp_path: Path) -> None:
    root = write_data(tmp_path / "data")
    (root / "images/val/2.png").write_bytes(b"no picture")
    write_image(root / "images/val/3.png", 9, 9)
    write_ids(root / "panoptic_val/4.png", np.full((5, 6), 300))
    write_ids(root / "panoptic_val/5.png", np.full(size_of(5), 12))
    report = run("custom-panoptic", model, root, tmp_path)
    assert report.scores.images == IMAGES - 4
    reasons = {skip.item: skip.reason for skip in report.scores.skipped}
    assert "is not an image that can be read" in reasons["image 2"]
    assert "the annotation file says 28x23, the image is 9x9" in reasons["image 3"]
    assert "the image is 27x24, its annotation 6x5" in reasons["image 4"]
    assert "segment id(s) [12] are in the PNG but not in the annotation file" in reasons["image 5"]
    assert report.changes[-1] == "4 left out"
    text = (tmp_path / "custom-panoptic/report.md").read_text()
    assert "4 left out:" in text
    assert "- image 3: " in text


def test_missing_files_refuse_the_data_set_unless_they_may_be_skipped(
    model: EvaluatedModel, tmp_path: Path
) -> None:
    root = write_data(tmp_path / "data")
    (root / "panoptic_val/2.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 file\(s\) missing"):
        run("custom-panoptic", model, root, tmp_path)
    report = run("custom-panoptic", model, root, tmp_path, skip_missing=True)
    assert report.scores.images == IMAGES - 1
    assert "missing file" in report.scores.skipped[0].reason


def test_a_data_set_without_a_usable_image_is_an_error(model: EvaluatedModel, tmp_path: Path) -> None:
    root = write_data(tmp_path / "data")
    for path in (root / "images/val").iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"none of the 7 images could be used; the first: .*is not an image"):
        run("custom-instance", model, root, tmp_path)
    file = root / "annotations/panoptic_val.json"
    write_json(file, {**json.loads(file.read_text()), "annotations": []})
    with pytest.raises(ValueError, match="no samples"):
        run("custom-panoptic", model, root, tmp_path)


def test_duplicate_ids_in_the_truth_are_an_error(model: EvaluatedModel, tmp_path: Path) -> None:
    root = write_data(tmp_path / "data")
    file = root / "annotations/panoptic_val.json"
    content = json.loads(file.read_text())
    content["annotations"].append(content["annotations"][0])
    write_json(file, content)
    with pytest.raises(ValueError, match="duplicate image id 1: two annotations are of it"):
        run("custom-panoptic", model, root, tmp_path)


def test_classes_present_are_for_segmentation_alone(
    model: EvaluatedModel, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="--classes present is for segmentation"):
        run("coco-karpathy-caption", model, data, tmp_path, classes="present")
    with pytest.raises(ValueError, match="limit must be at least 1"):
        Overrides(limit=0)


def test_a_published_checkpoint_s_figures_stand_beside_ours(
    model: EvaluatedModel, data: Path, tmp_path: Path
) -> None:
    known = dataclasses.replace(model, checkpoint="xdecoder_focalt_last")
    report = run("refcocog-umd-val", known, data, tmp_path)
    assert report.published == {"mIoU": 63.2, "cIoU": 57.6}
    assert "| 63.2 | 1 |" in (tmp_path / "refcocog-umd-val/report.md").read_text()


def test_the_report_gives_seen_and_unseen_classes_apart(
    model: EvaluatedModel, data: Path, tmp_path: Path
) -> None:
    report = run("custom-instance", model, data, tmp_path, limit=2)
    assert report.by_seen == {}
    scores = dataclasses.replace(report.scores, per_class={"person": 40.0, "tower": 20.0, "kiosk": 10.0})
    ade20k = dataclasses.replace(report.run, benchmark=BENCHMARKS["ade20k-150-instance"])
    report = dataclasses.replace(report, run=ade20k, scores=scores)
    assert report.by_seen == {"seen": 40, "unseen": 15}
    assert "AP of classes seen in training and of others: seen 40.0, unseen 15.0." in markdown_of(
        [report], tmp_path
    )


def test_several_sets_in_the_wild_are_meaned(model: EvaluatedModel, data: Path, tmp_path: Path) -> None:
    report = run("custom-instance", model, data, tmp_path, limit=2)
    wild = [
        dataclasses.replace(
            report,
            run=dataclasses.replace(report.run, benchmark=BENCHMARKS[name]),
            scores=dataclasses.replace(report.scores, figures={"AP": ap}),
        )
        for name, ap in (("seginw-Hand", 10.0), ("seginw-Cows", 30.0))
    ]
    assert "| mean of 2 seginw sets | AP | 20.0 | – | |" in markdown_of(wild, tmp_path)
    assert "mean of" not in markdown_of(wild[:1], tmp_path)
