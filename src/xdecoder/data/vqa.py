"""VQAv2: questions about COCO's images, with ten answers each."""

from __future__ import annotations

from typing import Any

from xdecoder.data.captions import coco_image
from xdecoder.data.dataset import Dataset, ExistingFiles, group_by, refuse_duplicates
from xdecoder.data.decoding import FileImage, read_json
from xdecoder.data.records import Question, QuestionSample
from xdecoder.data.selection import Selection


def open_vqav2(selection: Selection) -> Dataset[QuestionSample]:
    """VQAv2 under `vqa/`, images under `coco/`; a test split has no annotation file and no answers.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: duplicate question ids, or questions without an annotation.
    """
    questions_path = selection.path("vqa/v2_OpenEnded_mscoco_{word}_questions.json")
    rows: list[dict[str, Any]] = read_json(questions_path)["questions"]
    refuse_duplicates((row["question_id"] for row in rows), what="question", where=questions_path)
    annotation_of: dict[int, dict[str, Any]] = {}
    if selection.split in ("train", "val"):
        path = selection.path("vqa/v2_mscoco_{word}_annotations.json")
        annotation_of = {row["question_id"]: row for row in read_json(path)["annotations"]}
        bare = [row["question_id"] for row in rows if row["question_id"] not in annotation_of]
        if bare:
            raise ValueError(
                f"{path}: no answers for {len(bare)} question(s): {bare[:5]}; both files must "
                "be of one release"
            )
    folder = "test2015" if selection.split.startswith("test") else selection.word
    existing = ExistingFiles(selection.name, selection.missing)
    samples: list[QuestionSample] = []
    for key, group in group_by(rows, lambda row: row["image_id"]).items():
        image_id = int(str(key))
        path = str(coco_image(selection, image_id, folder))
        if selection.wants(image_id) and existing.has(path):
            questions = tuple(_question(row, annotation_of.get(row["question_id"])) for row in group)
            samples.append(
                QuestionSample(image_id=image_id, source=FileImage(path=path), questions=questions)
            )
    return Dataset(
        samples, name=selection.name, task="question", split=selection.split, skipped=existing.finish()
    )


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
