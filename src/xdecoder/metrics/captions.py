"""Caption scores of the COCO caption evaluation: BLEU-1..4, ROUGE-L and CIDEr-D over tokenized captions.

- BLEU (Papineni et al., ACL 2002), over the corpus: the geometric mean of the clipped n-gram precisions,
  times exp(1 - r / c) where the candidates' length c is below r, the sum of the closest reference lengths.
- ROUGE-L (Lin, 2004): with the best precision P and the best recall R of the longest common subsequence over
  an image's references, F = (1 + b^2) P R / (R + b^2 P), b = 1.2; the mean over images.
- CIDEr-D (Vedantam et al., CVPR 2015, section 4): 10 times the mean over n = 1..4 and over the references of
  the clipped cosine of tf-idf vectors times exp(-d^2 / (2 * 6^2)); the document frequencies count the images
  of the corpus at hand whose references hold an n-gram. Two oddities of the reference program are kept: the
  length difference d counts bigrams, and a corpus of one image scores 0 (its idf is log 1).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from xdecoder.metrics.tokenize import tokenize_caption

NGRAM = 4
_ROUGE_BETA = 1.2
_CIDER_SIGMA = 6.0

Ngram = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CaptionResult:
    """Scores as papers print them, but for the factor 100: BLEU and ROUGE-L in 0..1, CIDEr-D in 0..10.

    Attributes:
        bleu: BLEU-1 to BLEU-4.
        rouge_l: ROUGE-L.
        cider_d: CIDEr-D; 1.0 is "CIDEr 100" in a paper's table.
        images: how many images were scored.
    """

    bleu: tuple[float, float, float, float]
    rouge_l: float
    cider_d: float
    images: int


@dataclass(frozen=True, kw_only=True)
class TokenizedCaptions:
    """One image's tokens: of the candidate, and of every reference."""

    candidate: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]


def bleu(corpus: Sequence[TokenizedCaptions]) -> tuple[float, float, float, float]:
    """BLEU-1 to BLEU-4 of a corpus, in 0..1."""
    correct, guessed = [0] * NGRAM, [0] * NGRAM
    candidate_length = reference_length = 0
    for image in corpus:
        words, references = _words(image.candidate), [_words(r) for r in image.references]
        candidate_length += len(words)
        reference_length += min((abs(len(r) - len(words)), len(r)) for r in references)[1]
        most: Counter[Ngram] = Counter()
        for reference in references:
            most |= _ngrams(reference)
        for ngram, count in (_ngrams(words) & most).items():
            correct[len(ngram) - 1] += count
        for n in range(NGRAM):
            guessed[n] += max(0, len(words) - n)
    # The two small numbers are the reference program's: no division by zero, and no match stays near 0.
    tiny, small = 1e-15, 1e-9
    ratio = (candidate_length + tiny) / (reference_length + small)
    brevity = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    scores: list[float] = []
    product = 1.0
    for n in range(NGRAM):
        product *= (correct[n] + tiny) / (guessed[n] + small)
        scores.append(product ** (1 / (n + 1)) * brevity)
    return scores[0], scores[1], scores[2], scores[3]


def rouge_l(corpus: Sequence[TokenizedCaptions]) -> float:
    """ROUGE-L, the mean over images, in 0..1."""
    return math.fsum(_rouge_l(image) for image in corpus) / len(corpus)


def cider_d(corpus: Sequence[TokenizedCaptions]) -> float:
    """CIDEr-D, the mean over images, in 0..10."""
    references = [[_ngrams(_words(r)) for r in image.references] for image in corpus]
    frequency = Counter(ngram for image in references for ngram in set[Ngram]().union(*image))
    log_images = math.log(len(corpus))

    def weigh(counts: Counter[Ngram]) -> tuple[list[dict[Ngram, float]], list[float], int]:
        vectors: list[dict[Ngram, float]] = [{} for _ in range(NGRAM)]
        for ngram, count in counts.items():
            idf = log_images - math.log(max(1, frequency[ngram]))
            vectors[len(ngram) - 1][ngram] = count * idf
        norms = [math.sqrt(math.fsum(v * v for v in vector.values())) for vector in vectors]
        return vectors, norms, sum(count for ngram, count in counts.items() if len(ngram) == 2)

    scores: list[float] = []
    for image, image_references in zip(corpus, references, strict=True):
        candidate, candidate_norms, candidate_length = weigh(_ngrams(_words(image.candidate)))
        total = 0.0
        for counts in image_references:
            reference, reference_norms, reference_length = weigh(counts)
            penalty = math.exp(-((candidate_length - reference_length) ** 2) / (2 * _CIDER_SIGMA**2))
            for n in range(NGRAM):
                shared = candidate[n].keys() & reference[n].keys()
                dot = math.fsum(min(candidate[n][g], reference[n][g]) * reference[n][g] for g in shared)
                norm = candidate_norms[n] * reference_norms[n]
                total += penalty * (dot / norm if norm else dot)
        scores.append(10 * total / NGRAM / len(image_references))
    return math.fsum(scores) / len(scores)


class CaptionScores:
    """Gathers candidates and references; tokenizes and scores them together in `result`.

    CIDEr-D weighs n-grams by the whole corpus, so nothing can be scored before all is gathered.
    """

    def __init__(self) -> None:
        self._captions: dict[int | str, tuple[str, tuple[str, ...]]] = {}

    def update(self, image_id: int | str, candidate: str, references: Sequence[str]) -> None:
        """Adds one image.

        Args:
            image_id: refused when it was added before.
            candidate: the caption to score.
            references: one or more true captions.

        Raises:
            ValueError: the image was added before or has no reference.
        """
        if image_id in self._captions:
            raise ValueError(f"image {image_id!r} was added before: add one caption for every image")
        if isinstance(references, str) or not references:
            raise ValueError(f"image {image_id!r} needs a list of at least one reference caption")
        self._captions[image_id] = (candidate, tuple(references))

    def tokenized(self) -> tuple[TokenizedCaptions, ...]:
        """Everything gathered, in tokens.

        Raises:
            ValueError: no image was added.
        """
        if not self._captions:
            raise ValueError("no image was added: caption scores need at least one")
        return tuple(
            TokenizedCaptions(
                candidate=tuple(tokenize_caption(candidate)),
                references=tuple(tuple(tokenize_caption(r)) for r in references),
            )
            for candidate, references in self._captions.values()
        )

    def result(self) -> CaptionResult:
        """The scores over everything gathered; errors as `tokenized`."""
        corpus = self.tokenized()
        return CaptionResult(
            bleu=bleu(corpus), rouge_l=rouge_l(corpus), cider_d=cider_d(corpus), images=len(corpus)
        )


def _words(tokens: Sequence[str]) -> list[str]:
    # BLEU and CIDEr split tokens such as "3 1/2" at their no-break space; ROUGE does not.
    return " ".join(tokens).split()


def _ngrams(words: Sequence[str]) -> Counter[Ngram]:
    return Counter(tuple(words[i : i + n]) for n in range(1, NGRAM + 1) for i in range(len(words) - n + 1))


def _rouge_l(image: TokenizedCaptions) -> float:
    candidate = image.candidate or ("",)  # the reference splits the empty caption into one empty token
    precision = recall = 0.0
    for tokens in image.references:
        reference = tokens or ("",)
        common = _longest_common_subsequence(candidate, reference)
        precision = max(precision, common / len(candidate))
        recall = max(recall, common / len(reference))
    if precision == 0 or recall == 0:
        return 0.0
    return (1 + _ROUGE_BETA**2) * precision * recall / (recall + _ROUGE_BETA**2 * precision)


def _longest_common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    row = [0] * (len(b) + 1)
    for x in a:
        diagonal = 0
        for j, y in enumerate(b, 1):
            above = row[j]
            row[j] = diagonal + 1 if x == y else max(above, row[j - 1])
            diagonal = above
    return row[-1]
