"""Finetuning on questions in VQAv2's layout: the answers that are learned, and the model that comes out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

import xdecoder
from builders import save_tiny_model
from xdecoder.cli.app import app
from xdecoder.picturebook import draw_scene
from xdecoder.training.datasets.finetune import FinetuneAnswering

QUESTIONS = {
    # question -> what ten people answered
    "how many cats are there?": ["two"] * 6 + ["2"] + ["three"] * 3,
    "how many dogs are there?": ["2"] * 10,
    "is it day?": ["Yes."] * 5 + ["no"] * 4 + ["maybe"],
    "what is left of the tree?": ["a car"] * 10,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One question about each of four scenes, in VQAv2's files."""
    root = tmp_path_factory.mktemp("data")
    (root / "vqa").mkdir()
    (root / "coco/train2014").mkdir(parents=True)
    questions, annotations = [], []
    for number, (text, answers) in enumerate(QUESTIONS.items(), start=1):
        row = {"image_id": number, "question_id": number}
        picture = Image.fromarray(draw_scene(number, split="train", size=64).image)
        picture.save(root / f"coco/train2014/COCO_train2014_{number:012d}.jpg")
        questions.append({**row, "question": text})
        annotations.append({**row, "answer_type": "other", "answers": [{"answer": a} for a in answers]})
    files = {"v2_OpenEnded_mscoco_train2014_questions": {"questions": questions}}
    files["v2_mscoco_train2014_annotations"] = {"annotations": annotations}
    for name, content in files.items():
        (root / "vqa" / f"{name}.json").write_text(json.dumps(content))
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def test_answers_are_those_that_most_people_gave_to_enough_questions(data: Path, model: Path) -> None:
    def answers(least: int) -> tuple[str, ...]:
        return FinetuneAnswering(start=model, data=data, min_questions=least).open().answer_list

    assert answers(1) == ("2", "yes", "car")  # normalized as the metric does
    assert answers(2) == ("2",)
    with pytest.raises(
        ValueError, match="no answer is the commonest of 3 questions of vqav2: lower min_quest"
    ):
        answers(3)


def test_a_list_of_one_s_own_says_what_can_be_answered(data: Path, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "answers.json"

    def answers(text: str) -> tuple[str, ...]:
        path.write_text(text)
        return FinetuneAnswering(start=model, data=data, answers=path).open().answer_list

    assert answers('["no", "yes"]') == ("no", "yes")
    with pytest.raises(ValueError, match=r"answers\.json: not valid JSON"):
        answers("no, yes")
    for wrong in ("{}", "[]", "[1]", '["no", "no"]'):
        with pytest.raises(ValueError, match=r"answers\.json: expected a list of different texts"):
            answers(wrong)


def test_two_steps_give_a_model_that_answers(data: Path, model: Path, tmp_path: Path) -> None:
    small = ["steps=2", "min_questions=1", "questions.images=3", "questions.size=64", "run.log_every=1"]
    settings = [word for setting in small for word in ("--set", setting)]
    out = tmp_path / "run"
    words = ["train", "finetune_vqa", "--data", str(data), "--from", str(model), "--out", str(out), *settings]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2]
    assert all(row["loss/answers"] == pytest.approx(row["loss/total"]) for row in rows)
    trained = xdecoder.load(out / "model")
    assert trained.answer_head is not None
    assert (trained.answer_head.answers, trained.answer_head.question_length) == (("2", "yes", "car"), 24)
    image = draw_scene(1, split="val", size=64).image
    assert {c.text for c in trained.answer(image, "is it day?").candidates} == {"2", "yes", "car"}
