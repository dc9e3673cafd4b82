"""Tokens and caption scores against the stored answers of the reference tools."""

import json
import math
import sys
import types
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xdecoder.metrics import reference_captions
from xdecoder.metrics.captions import CaptionScores, TokenizedCaptions, bleu, cider_d, rouge_l
from xdecoder.metrics.tokenize import PUNCTUATION, tokenize_caption

GOLDENS = Path(__file__).parent / "goldens" / "metrics"
TOKENS = json.loads((GOLDENS / "ptb_tokens.json").read_text(encoding="utf-8"))
CORPORA = json.loads((GOLDENS / "caption_scores.json").read_text(encoding="utf-8"))["corpora"]

words = st.sampled_from(
    ["a", "man", "dog's", "isn't", "red-and-white", "rides", "on", "the", "3", "1/2", "(big)", "street"]
)
sentences = st.lists(words, min_size=1, max_size=9).map(" ".join)
corpora = st.dictionaries(
    st.integers(0, 99),
    st.tuples(sentences, st.lists(sentences, min_size=1, max_size=3)),
    min_size=2,
    max_size=5,
)


@pytest.mark.parametrize("row", TOKENS, ids=lambda row: row["caption"][:40])
def test_tokens_are_those_of_the_reference_tool(row: dict) -> None:
    assert tokenize_caption(row["caption"]) == row["tokens"]


@given(st.text(max_size=40))
def test_any_text_has_lower_case_tokens_without_punctuation(text: str) -> None:
    tokens = tokenize_caption(text)
    assert not PUNCTUATION & set(tokens)
    assert all(token and token == token.lower() for token in tokens)


def gather(captions: dict[int, tuple[str, list[str]]]) -> CaptionScores:
    scores = CaptionScores()
    for image_id, (candidate, references) in captions.items():
        scores.update(image_id, candidate, references)
    return scores


@pytest.mark.parametrize("corpus", CORPORA, ids=lambda corpus: f"{len(corpus['captions'])} images")
def test_scores_are_those_of_coco_caption(corpus: dict) -> None:
    rows = corpus["captions"]
    result = gather({row["image_id"]: (row["candidate"], row["references"]) for row in rows}).result()
    assert result.bleu == pytest.approx(corpus["scores"]["bleu"], rel=1e-9)
    assert result.rouge_l == pytest.approx(corpus["scores"]["rouge_l"], rel=1e-9)
    assert result.cider_d == pytest.approx(corpus["scores"]["cider_d"], rel=1e-9)


def tokenized(candidate: str, *references: str) -> TokenizedCaptions:
    return TokenizedCaptions(
        candidate=tuple(candidate.split()), references=tuple(tuple(r.split()) for r in references)
    )


@pytest.mark.parametrize(
    ("caption", "tokens"),
    [
        ("a nai\u0308ve cafe\u0301 owner", ["a", "nai\u0308ve", "cafe\u0301", "owner"]),
        ("don't touch Rene\u0301e's bag", ["do", "n't", "touch", "rene\u0301e", "'s", "bag"]),
        ("a\u0301b c\u0327a va?", ["a\u0301b", "c\u0327a", "va"]),
        ("the re\u0301sume\u0301s' pages", ["the", "re\u0301sume\u0301s", "pages"]),
    ],
)
def test_decomposed_letters_are_letters_as_for_the_reference_tokenizer(
    caption: str, tokens: list[str]
) -> None:
    assert tokenize_caption(caption) == tokens


def test_bleu_is_hand_computed() -> None:
    scores = bleu([tokenized("the the cat sat", "the cat sat down today", "a cat")])
    brevity = math.exp(1 - 5 / 4)  # 5 words are nearer to 4 than 2 are
    assert scores[0] == pytest.approx(brevity * 3 / 4)  # "the" counts once: clipped
    assert scores[1] == pytest.approx(brevity * math.sqrt(3 / 4 * 2 / 3))
    assert scores[2] == pytest.approx(brevity * (3 / 4 * 2 / 3 * 1 / 2) ** (1 / 3))
    assert scores[3] == pytest.approx(0, abs=1e-3)


def test_rouge_takes_the_best_precision_and_the_best_recall() -> None:
    score = rouge_l([tokenized("a b c d", "a x b", "b c d e f g")])
    precision, recall = 3 / 4, 2 / 3  # from the second reference, from the first
    assert score == pytest.approx(2.44 * precision * recall / (recall + 1.44 * precision))


def naive_cider(corpus: list[TokenizedCaptions]) -> float:
    def grams(tokens: tuple[str, ...], n: int) -> Counter:
        return Counter(tokens[i : i + n] for i in range(len(tokens) - n + 1))

    total = 0.0
    for image in corpus:
        score = 0.0
        for reference in image.references:
            for n in (1, 2, 3, 4):
                c, r = grams(image.candidate, n), grams(reference, n)

                def idf(gram: tuple[str, ...], n: int = n) -> float:
                    holders = sum(any(gram in grams(x, n) for x in other.references) for other in corpus)
                    return math.log(len(corpus) / max(1, holders))

                dot = sum(min(c[g] * idf(g), r[g] * idf(g)) * r[g] * idf(g) for g in c)
                norm = math.sqrt(sum((v * idf(g)) ** 2 for g, v in c.items()))
                norm *= math.sqrt(sum((v * idf(g)) ** 2 for g, v in r.items()))
                bigrams = max(0, len(image.candidate) - 1) - max(0, len(reference) - 1)
                score += (dot / norm if norm else 0) * math.exp(-(bigrams**2) / 72) / 4
        total += 10 * score / len(image.references)
    return total / len(corpus)


plain = st.lists(st.sampled_from("abcdef"), max_size=6).map(tuple)


@given(st.lists(st.tuples(plain, st.lists(plain, min_size=1, max_size=3)), min_size=1, max_size=4))
def test_cider_equals_the_naive_version(drawn: list) -> None:
    corpus = [TokenizedCaptions(candidate=c, references=tuple(r)) for c, r in drawn]
    assert cider_d(corpus) == pytest.approx(naive_cider(corpus), abs=1e-9)


@given(corpora)
@settings(max_examples=30)
def test_a_candidate_that_is_a_reference_scores_one(captions: dict) -> None:
    result = gather({i: (references[0], [references[0]]) for i, (_, references) in captions.items()}).result()
    assert result.bleu[0] == pytest.approx(1)
    assert result.rouge_l == pytest.approx(1)


def test_bad_input_says_what_to_do() -> None:
    scores = CaptionScores()
    with pytest.raises(ValueError, match="no image was added"):
        scores.result()
    with pytest.raises(ValueError, match="image 3 needs a list of at least one reference"):
        scores.update(3, "a cat", [])
    scores.update(3, "a cat", ["a dog"])
    with pytest.raises(ValueError, match="image 3 was added before"):
        scores.update(3, "a cat", ["a dog"])


class Program:
    """Stands for a reference program."""

    def compute_score(self, references: dict, candidates: dict) -> tuple[float, list[float]]:
        assert candidates == {0: ["a dog"], 1: [""]}
        assert references == {0: ["a dog runs", "dogs"], 1: ["a cat"]}
        return 0.25, [0.5, 0.0]


CORPUS = [tokenized("a dog", "a dog runs", "dogs"), tokenized("", "a cat")]


def test_meteor_and_spice_are_their_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise OSError("no network")

    monkeypatch.setattr(reference_captions, "has_reference_programs", lambda: True)
    for name, program in (("Meteor", Program), ("Spice", broken)):
        module = types.SimpleNamespace(**{name: program})
        monkeypatch.setitem(sys.modules, f"pycocoevalcap.{name.lower()}.{name.lower()}", module)
        monkeypatch.setitem(sys.modules, f"pycocoevalcap.{name.lower()}", module)
    monkeypatch.setitem(sys.modules, "pycocoevalcap", types.SimpleNamespace())
    with pytest.warns(UserWarning, match=r"no SPICE: its reference program failed \(no network\)"):
        assert reference_captions.reference_scores(CORPUS) == {"METEOR": 0.25}


def test_without_java_or_the_package_they_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference_captions, "has_reference_programs", lambda: False)
    assert reference_captions.reference_scores(CORPUS) == {}
