"""The benchmarks in words: `python -m xdecoder.evaluation.table` prints the table of docs/evaluation.md."""

from __future__ import annotations

from xdecoder.evaluation.benchmark import Benchmark
from xdecoder.evaluation.benchmarks import BENCHMARKS
from xdecoder.evaluation.published import published_scores
from xdecoder.evaluation.resizing import Resizing
from xdecoder.weights.published_models import PUBLISHED


def input_size(resizing: Resizing | None) -> str:
    """An input size in words."""
    return "the model's own input size" if resizing is None else str(resizing)


def prompts_of(benchmark: Benchmark, *, ensemble: bool = True) -> str:
    """What words the model is given, in words.

    Args:
        benchmark: whose prompts are told.
        ensemble: whether the model embeds a class by its 81 prompts, as published.
    """
    match benchmark.kind:
        case "referring" if benchmark.data in ("grefcoco", "phrasecut"):
            return "each phrase, lower case; all of an image together"
        case "referring":
            return "the first phrase of each object, lower case; all of an image together"
        case "caption":
            return "none; greedy decoding unless the model has beams of its own, cut at the first full stop"
        case "retrieval":
            return "the captions; decoder and backbone cosines averaged"
        case "question":
            return "the question; the likeliest of the model's answers"
        case "picturebook":
            return "the drawn world's classes, phrases, captions and questions"
        case _:
            names = f"`{benchmark.vocabulary}`" if benchmark.vocabulary else "the data set's own"
            prompts = "81-prompt ensemble" if ensemble else "the bare name of each"
            asked = "all classes" if benchmark.asked == "all" else "its things"
            return f"{names}, {asked}, {prompts}"


def protocol_table() -> str:
    """The benchmarks and their protocols as a Markdown table."""
    lines = [
        "| benchmark | data set (split) | input | words | scores | published (PQ / AP / mIoU unless said) |",
        "|---|---|---|---|---|---|",
    ]
    for row in BENCHMARKS.values():
        thresholds = (
            f"; object threshold {row.object_threshold}, overlap {row.overlap_threshold}"
            if row.object_threshold is not None
            else ""
        )
        remark = f"; {row.remark}" if row.remark else ""
        lines.append(
            f"| `{row.name}` | {row.data} ({row.split}) | {input_size(row.resizing)}{thresholds}{remark} "
            f"| {prompts_of(row)} "
            f"| {', '.join(row.metrics)} | {_published(row)} |"
        )
    return "\n".join(lines) + "\n"


def _published(row: Benchmark) -> str:
    told: list[str] = []
    for name in PUBLISHED:
        scores = published_scores(row, name)
        if scores:
            named = len(row.metrics) > 1 or row.kind == "caption"
            figures = ", ".join(f"{m} {v}" if named else f"{v}" for m, v in scores.items())
            told.append(f"{name.removeprefix('xdecoder_')} {figures}")
    return "; ".join(told) or "–"


if __name__ == "__main__":
    print(protocol_table(), end="")
