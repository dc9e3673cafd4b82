"""Pictures of scores: precision over recall, and a bar for each class."""

from __future__ import annotations

import importlib
import math
import warnings
from pathlib import Path
from typing import Any

from xdecoder.evaluation.protocol import Scores

_BARS = 60


def plot_scores(scores: Scores, folder: Path, *, title: str) -> tuple[Path, ...]:
    """Draw `precision-recall.png` and `per-class.png`; without matplotlib a warning and nothing."""
    classes = {name: value for name, value in scores.per_class.items() if not math.isnan(value)}
    curve = [p for p in scores.precision_at_50 if not math.isnan(p)]
    if not classes and not curve:
        return ()
    try:
        figures: Any = importlib.import_module("matplotlib.figure")
    except ImportError:
        warnings.warn("no plots: matplotlib is missing; pip install 'xdecoder[evaluate]'", stacklevel=2)
        return ()
    drawn: list[Path] = []
    if curve:
        figure = figures.Figure(figsize=(5, 4), layout="constrained")
        axes = figure.add_subplot(
            title=title, xlabel="recall", ylabel="precision at mask IoU 0.5", xlim=(0, 1), ylim=(0, 1.02)
        )
        axes.plot([n / (len(curve) - 1) for n in range(len(curve))], curve)
        axes.grid(alpha=0.3)
        drawn.append(folder / "precision-recall.png")
        figure.savefig(drawn[-1], dpi=120)
    if classes:
        ordered = sorted(classes.items(), key=lambda item: item[1])
        if len(ordered) > _BARS:  # the ends of the list are what one looks for
            ordered = ordered[: _BARS // 2] + ordered[-_BARS // 2 :]
            title += f" ({_BARS} of {len(classes)}: the worst and the best)"
        figure = figures.Figure(figsize=(7, 1.2 + 0.19 * len(ordered)), layout="constrained")
        axes = figure.add_subplot(title=title, xlabel=f"{scores.per_class_metric} in percent", xlim=(0, 100))
        axes.barh([name for name, _ in ordered], [value for _, value in ordered])
        axes.tick_params(axis="y", labelsize=7)
        axes.margins(y=0.01)
        axes.grid(axis="x", alpha=0.3)
        drawn.append(folder / "per-class.png")
        figure.savefig(drawn[-1], dpi=120)
    return tuple(drawn)
