"""VQAv2: questions about COCO's images, with ten answers each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from xdecoder.data.captions import coco_image, coco_number
from xdecoder.data.dataset import Dataset, ExistingFiles, group_by
from xdecoder.data.decoding import FileImage, read_json
from xdecoder.data.problems import Problems, has_fields, refuse_duplicates, rows_of
from xdecoder.data.records import ImageId, Question, QuestionSample
from xdecoder.data.selection import Selection


def open_vqav2(selection: Selection) -> Dataset[QuestionSample]:
    """VQAv2 under `vqa/`, images under `coco/`; a test split has no annotation file and no answers.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: duplicate question ids, or questions without an annotation.
    """
    questions = selection.path("vqa/v2_OpenEnded_mscoco_{word}_questions.json")
    answered = selection.split in ("train", "val")
    folder = "test2015" if selection.split.startswith("test") else selection.word

    def image_of(key: ImageId) -> tuple[ImageId, str]:
        image_id = coco_number(key, questions)
        return image_id, str(coco_image(selection, image_id, folder))

    return read_questions(
        selection,
        questions,
        selection.path("vqa/v2_mscoco_{word}_annotations.json") if answered else None,
        ExistingFiles(selection.name, selection.missing),
        image_of,
    )


def read_questions(
    selection: Selection,
    questions: Path,
    answers: Path | None,
    existing: ExistingFiles,
    image_of: Callable[[ImageId], tuple[ImageId, str]],
) -> Dataset[QuestionSample]:
    """VQA's format.

    Args:
        selection: what is asked for.
        questions: the JSON file of questions, in VQA's format.
        answers: the file of their answers; None for a split without.
        existing: what looks for files.
        image_of: an image's id and path from the id that a question names.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is malformed, or questions have no answers.
    """
    rows = rows_of(read_json(questions), "questions", questions, "VQA questions")
    problems = Problems(questions)
    fields = {"question_id": int, "image_id": (int, str), "question": str}
    for place, row in enumerate(rows):
        has_fields(row, fields, f"questions[{place}]", problems)
    problems.refuse()
    refuse_duplicates((row["question_id"] for row in rows), what="question", where=questions)
    annotation_of: dict[int, dict[str, Any]] = {}
    if answers is not None:
        annotation_of = _answers(answers)
        bare = [row["question_id"] for row in rows if row["question_id"] not in annotation_of]
        if bare:
            raise ValueError(
                f"{answers}: no answers for {len(bare)} question(s): {bare[:5]}; both files must "
                "be of one release"
            )
    samples: list[QuestionSample] = []
    for key, group in group_by(rows, lambda row: row["image_id"]).items():
        image_id, path = image_of(key if isinstance(key, int) else str(key))
        if selection.wants(image_id) and existing.has(path):
            asked = tuple(_question(row, annotation_of.get(row["question_id"])) for row in group)
            samples.append(QuestionSample(image_id=image_id, source=FileImage(path=path), questions=asked))
    return Dataset(
        samples, name=selection.name, task="question", split=selection.split, skipped=existing.finish()
    )


def _answers(path: Path) -> dict[int, dict[str, Any]]:
    rows = rows_of(read_json(path), "annotations", path, "VQA annotations")
    problems = Problems(path)
    for place, row in enumerate(rows):
        where = f"annotations[{place}]"
        if has_fields(row, {"question_id": int, "answers": list}, where, problems) and not all(
            isinstance(answer, dict) and isinstance(answer.get("answer"), str) for answer in row["answers"]
        ):
            problems.add(f'{where}: an answer is an object with a text under "answer"')
    problems.refuse()
    return {row["question_id"]: row for row in rows}


def _question(row: dict[str, Any], annotation: dict[str, Any] | None) -> Question:
    text = str(row["question"]).strip()
    if annotation is None:
        return Question(id=row["question_id"], text=text)
    return Question(
        id=row["question_id"],
        text=text,
        answers=tuple(str(a["answer"]) for a in annotation["answers"]),
        kind=str(annotation.get("answer_type", "")),
    )
