"""What the published checkpoints are known to reach on a benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from xdecoder.evaluation.benchmark import Benchmark
from xdecoder.weights.published_models import PUBLISHED


def checkpoint_of(weights: str) -> str | None:
    """The published checkpoint that `--weights` names: by its name, or by its folder's."""
    name = Path(weights).name
    return name if name in PUBLISHED else None


def published_scores(benchmark: Benchmark, checkpoint: str | None) -> Mapping[str, float]:
    """The published figures of a checkpoint on a benchmark, in percent.

    Raises:
        ValueError: there is no such checkpoint.
    """
    if checkpoint is None or benchmark.published is None:
        return {}
    if checkpoint not in PUBLISHED:
        raise ValueError(f"no published checkpoint {checkpoint!r}; there are {', '.join(PUBLISHED)}")
    return {
        score.metric: score.value
        for score in PUBLISHED[checkpoint].scores
        if score.data == benchmark.published and score.metric in benchmark.metrics
    }
