import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdecoder.metrics.vqa import VqaAccuracy, answer_accuracy, normalize_answer

answers = st.sampled_from(["yes", "Yes.", "no", "two", "2", "a dog", "dog", "isnt", "1,000", "red/blue", ""])
questions = st.dictionaries(
    st.integers(0, 99),
    st.tuples(answers, st.lists(answers, min_size=10, max_size=10)),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize(
    ("answer", "normalized"),
    [
        ("Yes.", "yes"),
        ("The dog", "dog"),
        ("an apple and a pear", "apple and pear"),
        ("None", "0"),
        ("Ten", "10"),
        ("eleven", "eleven"),
        ("isnt", "isn't"),
        ("couldnt've", "couldn't've"),
        ("couldn'tve", "couldn't've"),
        ("youre", "you're"),
        ("somebody'd", "somebodyd"),
        ("yall'd've", "y'all'd've"),
        ("red/blue", "red blue"),
        ("red / blue", "red blue"),
        ("red, blue", "red blue"),
        ("red,blue", "red blue"),
        ("1,000 cats-dogs", "1000 catsdogs"),
        ("3.5", "3.5"),
        ("5 p.m.", "5 pm"),
        ("don't", "don't"),
        ("black-white", "black white"),
        (" what?\n", "what"),
        ("." * 33, "."),
    ],
)
def test_answers_are_normalized_as_the_official_tool_does(answer: str, normalized: str) -> None:
    assert normalize_answer(answer) == normalized


def naive_accuracy(answer: str, annotators: list[str]) -> float:
    """Leave each annotator out in turn."""

    def clean(text: str) -> str:
        kept = text
        for mark in [
            ";",
            "/",
            "[",
            "]",
            '"',
            "{",
            "}",
            "(",
            ")",
            "=",
            "+",
            "\\",
            "_",
            "-",
            ">",
            "<",
            "@",
            "`",
            ",",
            "?",
            "!",
        ]:
            if mark + " " in kept or " " + mark in kept or re.search(r"(\d)(\,)(\d)", kept) is not None:
                text = text.replace(mark, "")
            else:
                text = text.replace(mark, " ")
        text = re.sub(r"(?!<=\d)(\.)(?!\d)", "", text, count=32)
        digits = {"two": "2"}
        kept_words = [digits.get(w, w) for w in text.lower().split() if w not in ("a", "an", "the")]
        return " ".join({"isnt": "isn't"}.get(w, w) for w in kept_words)

    if len(set(annotators)) > 1:
        answer, annotators = clean(answer), [clean(a) for a in annotators]
    scores = []
    for i in range(len(annotators)):
        others = annotators[:i] + annotators[i + 1 :]
        scores.append(min(1, sum(other == answer for other in others) / 3))
    return sum(scores) / len(scores)


@given(answers, st.lists(answers, min_size=1, max_size=10))
def test_accuracy_equals_the_naive_version(answer: str, annotators: list[str]) -> None:
    assert answer_accuracy(answer, annotators) == pytest.approx(naive_accuracy(answer, annotators))


@pytest.mark.parametrize(("agreeing", "accuracy"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (10, 1)])
def test_leaving_one_out_gives_the_known_steps(agreeing: int, accuracy: float) -> None:
    assert answer_accuracy("cat", ["cat"] * agreeing + ["dog"] * (10 - agreeing)) == pytest.approx(accuracy)


def test_where_annotators_agree_answers_are_compared_as_they_are() -> None:
    assert answer_accuracy("two", ["2"] * 10) == 0
    assert answer_accuracy("two", ["2"] * 9 + ["3"]) == 1


def gather(drawn: dict) -> VqaAccuracy:
    accuracy = VqaAccuracy()
    for question_id, (answer, annotators) in drawn.items():
        accuracy.update(question_id, answer, annotators, answer_type="number" if question_id % 2 else "other")
    return accuracy


@given(answers)
def test_the_annotators_own_answer_scores_one(answer: str) -> None:
    assert answer_accuracy(answer, [answer] * 10) == 1


def test_types_are_told_apart() -> None:
    accuracy = VqaAccuracy()
    accuracy.update(1, "cat", ["cat"] * 10)
    accuracy.update(2, "3", ["2"] * 10, answer_type="number")
    result = accuracy.result()
    assert (result.accuracy, result.questions) == (0.5, 2)
    assert result.per_answer_type == {"number": 0, "other": 1}


def test_bad_input_says_what_to_do() -> None:
    accuracy = VqaAccuracy()
    with pytest.raises(ValueError, match="no question was added"):
        accuracy.result()
    with pytest.raises(ValueError, match="VQAv2 has ten"):
        accuracy.update(1, "cat", [])
    accuracy.update(1, "cat", ["cat"])
    with pytest.raises(ValueError, match="question 1 was added before"):
        accuracy.update(1, "cat", ["cat"])
