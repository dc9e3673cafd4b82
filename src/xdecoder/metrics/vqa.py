"""VQA accuracy (Antol et al., "VQA", ICCV 2015; VQAv2's official evaluation).

An answer's accuracy is the mean, over the ten annotators left out one at a time, of

    min(1, how many of the other nine gave that answer / 3)

Where the annotators do not all agree, their answers and the model's are normalized first (see
`normalize_answer`); where they do, the official tool compares them as they are, and so does this one.
Oddities of the official tool that are kept: only the first 32 periods go, and "none" becomes "0".
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_PERIOD = re.compile(r"\.(?!\d)")
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_ARTICLES = frozenset(["a", "an", "the"])
_NUMBERS = {
    "none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5",
    "six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10",
}  # fmt: skip
# As the official tool spells them; a word without its apostrophes turns into the entry.
_CONTRACTIONS = """
ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd how'll how's
isn't it'd it'll ma'am might've mightn't must've mustn't needn't not've o'clock oughtn't shan't should've
shouldn't somebody'll somebody's someone'd someone'll someone's something'd something'll that's there'd
there're there's they'd they'll they're they've 'twas wasn't we've weren't what'll what're what's what've
when's where'd where's where've who'd who'll who's who've why'll why're why's won't would've wouldn't y'all
you'd you'll you're you've
"""
# Double contractions: both spellings that lack one apostrophe turn into the entry.
_DOUBLE_CONTRACTIONS = """
couldn't've hadn't've he'd've it'd've mightn't've she'd've shouldn't've somebody'd've someone'd've
something'd've there'd've they'd've we'd've who'd've wouldn't've you'd've
"""
_IRREGULAR_CONTRACTIONS = {
    "ow's'at": "'ow's'at", "'ows'at": "'ow's'at", "'ow'sat": "'ow's'at", "somebody'd": "somebodyd",
    "yall'll": "y'all'll", "y'allll": "y'all'll", "yall'd've": "y'all'd've", "y'alld've": "y'all'd've",
    "y'all'dve": "y'all'd've",
}  # fmt: skip


def _contraction_table() -> dict[str, str]:
    table = {entry.replace("'", ""): entry for entry in _CONTRACTIONS.split()}
    for entry in _DOUBLE_CONTRACTIONS.split():
        first, second, third = entry.split("'")
        table[f"{first}{second}'{third}"] = entry
        table[f"{first}'{second}{third}"] = entry
    return table | _IRREGULAR_CONTRACTIONS


_CONTRACTION_OF = _contraction_table()


@dataclass(frozen=True, kw_only=True)
class AnsweringResult:
    """Accuracies in 0..1.

    Attributes:
        accuracy: the mean over questions.
        per_answer_type: answer type ("yes/no", "number", "other") -> its mean.
        questions: how many questions were scored.
    """

    accuracy: float
    per_answer_type: Mapping[str, float]
    questions: int


def normalize_answer(answer: str) -> str:
    """The official normalization of an answer.

    Punctuation goes (it becomes a space, unless it stands at a space or the answer has a number such as
    1,000); so do periods that are no decimal point. Then, in lower case: number words up to ten become
    digits, articles go, and contractions that lack their apostrophe get it.
    """
    text = kept = answer.replace("\n", " ").replace("\t", " ").strip()
    for mark in _PUNCTUATION:
        joined = f"{mark} " in kept or f" {mark}" in kept or _COMMA_IN_NUMBER.search(kept)
        text = text.replace(mark, "" if joined else " ")
    text = _PERIOD.sub("", text, count=32)
    words = [_NUMBERS.get(word, word) for word in text.lower().split()]
    return " ".join(_CONTRACTION_OF.get(word, word) for word in words if word not in _ARTICLES)


def answer_accuracy(answer: str, annotators: Sequence[str]) -> float:
    """The accuracy of one answer against the annotators' answers, in 0..1.

    Raises:
        ValueError: there is no annotator's answer.
    """
    if isinstance(annotators, str) or not annotators:
        raise ValueError("an answer is scored against the annotators' answers (VQAv2 has ten): got none")
    given = _strip(answer)
    truths = [_strip(truth) for truth in annotators]
    if len(set(truths)) > 1:
        given, truths = normalize_answer(given), [normalize_answer(truth) for truth in truths]
    agreeing = sum(truth == given for truth in truths)
    # Leaving out an annotator who agrees leaves one fewer.
    scores = [min(1.0, (agreeing - (truth == given)) / 3) for truth in truths]
    return math.fsum(scores) / len(scores)


class VqaAccuracy:
    """Gathers the accuracy of answers."""

    def __init__(self) -> None:
        self._scores: dict[int | str, tuple[str, float]] = {}

    def update(
        self, question_id: int | str, answer: str, annotators: Sequence[str], *, answer_type: str = "other"
    ) -> None:
        """Adds one question.

        Args:
            question_id: refused when it was added before.
            answer: the model's.
            annotators: the annotators' answers, ten in VQAv2.
            answer_type: "yes/no", "number" or "other", for the breakdown.

        Raises:
            ValueError: the question was added before, or has no annotator's answer.
        """
        if question_id in self._scores:
            raise ValueError(f"question {question_id!r} was added before: answer every question once")
        self._scores[question_id] = (answer_type, answer_accuracy(answer, annotators))

    def result(self) -> AnsweringResult:
        """The accuracies so far.

        Raises:
            ValueError: no question was added.
        """
        if not self._scores:
            raise ValueError("no question was added: VQA accuracy needs at least one")
        by_type: dict[str, list[float]] = {}
        for answer_type, score in self._scores.values():
            by_type.setdefault(answer_type, []).append(score)
        scores = [score for _, score in self._scores.values()]
        return AnsweringResult(
            accuracy=math.fsum(scores) / len(scores),
            per_answer_type={t: math.fsum(s) / len(s) for t, s in sorted(by_type.items())},
            questions=len(scores),
        )


def _strip(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()
