"""Question answering: the accuracy of a VQA result file. Nothing here needs a model."""

from __future__ import annotations

from pathlib import Path

from xdecoder.data.decoding import read_json
from xdecoder.evaluation.pipeline import Scores, by_id, read_list
from xdecoder.metrics.answering import VqaAccuracy


def score_answer_files(predictions: Path, truth: Path) -> Scores:
    """Score a VQA result file, a list of `question_id` and `answer`, against VQAv2's annotation file.

    A question without an answer counts 0 and is listed.

    Raises:
        ValueError: a file is malformed, or names a question twice or an unknown one.
        FileNotFoundError: a file does not exist.
    """
    data = read_json(truth)
    if not isinstance(data, dict) or not isinstance(data.get("annotations"), list) or not data["annotations"]:
        raise ValueError(f'{truth}: not a VQA annotation file; expected an object with "annotations"')
    questions = by_id(data["annotations"], truth, id_field="question_id")
    rows = by_id(
        read_list(predictions, ("question_id", "answer")), predictions, questions, id_field="question_id"
    )
    gathered = VqaAccuracy()
    for question_id, question in questions.items():
        answer = str(rows[question_id]["answer"]) if question_id in rows else ""
        answers = [str(a["answer"]) for a in question["answers"]]
        gathered.update(question_id, answer, answers, answer_type=str(question.get("answer_type", "other")))
    result = gathered.result()
    return Scores(
        figures={
            "accuracy": 100 * result.accuracy,
            **{name: 100 * accuracy for name, accuracy in result.per_answer_type.items()},
        },
        images=len({question["image_id"] for question in questions.values() if "image_id" in question}),
        missing=tuple(i for i in questions if i not in rows),
    )
