"""Question answering: VQA's result list, scored by VQA accuracy."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

from xdecoder.data.records import ImageId, QuestionSample
from xdecoder.evaluation.protocol import BenchmarkProtocol, Picture, Predictor, Scores
from xdecoder.evaluation.result_files import ID, Entry, by_id, read_list, write_list
from xdecoder.metrics.vqa import VqaAccuracy


@final
@dataclass(frozen=True, kw_only=True)
class AnsweredQuestion:
    """What people answered.

    Attributes:
        image_id: the image that was asked about; None where the file does not say.
        answers: one for each of them, ten in VQAv2.
        kind: "yes/no", "number" or "other".
    """

    image_id: ImageId | None
    answers: tuple[str, ...]
    kind: str


@final
class VqaProtocol(BenchmarkProtocol[QuestionSample]):
    """Benchmarks of questions."""

    file: ClassVar[str] = "answers.json"

    def read(self, sample: QuestionSample) -> Picture:
        return Picture(pixels=sample.image())

    def predict(self, predictor: Predictor, sample: QuestionSample, picture: Picture) -> Entry:
        asked = [question.text for question in sample.questions]
        answers = predictor.answer(self.encode(predictor, picture.pixels), asked, top_k=1)
        return {
            "image_id": sample.image_id,
            "answers": [
                {"question_id": question.id, "answer": answer.text}
                for question, answer in zip(sample.questions, answers, strict=True)
            ],
        }

    def write(self, entries: Iterable[Entry], path: Path) -> None:
        def rows() -> Iterator[Entry]:
            for entry in entries:
                yield from entry["answers"]

        write_list(rows(), path)

    def score(self, path: Path, left_out: Collection[ImageId] = ()) -> Scores:
        return _score(
            path,
            {
                question.id: AnsweredQuestion(
                    image_id=sample.image_id, answers=question.answers, kind=question.kind
                )
                for sample in self.dataset
                if sample.image_id not in left_out
                for question in sample.questions
            },
        )


def score_answer_files(predictions: Path, truth: Path) -> Scores:
    """Score a VQA result file, a list of `question_id` and `answer`, against VQAv2's annotation file.

    A question without an answer counts 0 and is listed.

    Raises:
        ValueError: a file is malformed, or names a question twice or an unknown one.
        FileNotFoundError: a file does not exist.
    """
    listed = read_list(
        truth, {"question_id": ID, "answers": list}, key="annotations", nested={"answers": {"answer": str}}
    )
    if not listed:
        raise ValueError(f"{truth}: a truth without annotations; nothing to score against")
    if bare := [row["question_id"] for row in listed if not row["answers"]]:
        raise ValueError(f"{truth}: {len(bare)} question(s) without an answer to score against: {bare[:5]}")
    rows = by_id(listed, truth, id_field="question_id")
    return _score(
        predictions,
        {
            question_id: AnsweredQuestion(
                image_id=row.get("image_id"),
                answers=tuple(answer["answer"] for answer in row["answers"]),
                kind=str(row.get("answer_type", "other")),
            )
            for question_id, row in rows.items()
        },
    )


def _score(path: Path, questions: Mapping[ImageId, AnsweredQuestion]) -> Scores:
    rows = by_id(read_list(path, {"question_id": ID, "answer": str}), path, questions, id_field="question_id")
    gathered = VqaAccuracy()
    for question_id, question in questions.items():
        answer = rows[question_id]["answer"] if question_id in rows else ""
        gathered.update(question_id, answer, question.answers, answer_type=question.kind)
    result = gathered.result()
    return Scores(
        figures={
            "accuracy": 100 * result.accuracy,
            **{name: 100 * accuracy for name, accuracy in result.per_answer_type.items()},
        },
        images=len({question.image_id for question in questions.values()} - {None}),
        missing=tuple(i for i in questions if i not in rows),
    )
