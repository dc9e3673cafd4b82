"""Pictures of a run: what the model sees in held-out scenes, and the learning curves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from xdecoder.model import XDecoder
from xdecoder.picturebook import STUFF_CATEGORIES, THING_CATEGORIES, draw_scene
from xdecoder.predictor.predictor import Predictor
from xdecoder.tokenizer import Tokenizer


def draw_samples(
    model: XDecoder, tokenizer: Tokenizer, path: Path, *, count: int = 6, size: int = 256
) -> None:
    """Draw held-out scenes, and below each what the model finds in it.

    Args:
        model: in evaluation mode.
        tokenizer: its tokenizer.
        path: the picture that is written.
        count: scenes.
        size: side of a scene in pixels.
    """
    predictor = Predictor(model, tokenizer)
    sheet = Image.new("RGB", (count * size, 2 * size))
    for place in range(count):
        scene = draw_scene(place, split="val", size=size)
        found = predictor.segment(
            scene.image,
            [*THING_CATEGORIES, *STUFF_CATEGORIES],
            task="panoptic",
            things=THING_CATEGORIES,
            stuff=STUFF_CATEGORIES,
        )
        sheet.paste(Image.fromarray(scene.image), (place * size, 0))
        sheet.paste(found.draw(), (place * size, size))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def draw_curves(runs: Sequence[Path], path: Path) -> None:
    """Draw the losses and scores of runs that followed one another.

    Args:
        runs: their folders, in order.
        path: the picture that is written.

    Raises:
        ImportError: matplotlib is not installed.
        FileNotFoundError: a run has no numbers yet.
    """
    try:
        from matplotlib import color_sequences
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("matplotlib is not installed: pip install 'xdecoder[train]'") from error
    losses, scores = (_series(runs, name) for name in ("metrics.jsonl", "scores.jsonl"))
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes in (left, right):
        axes.set_prop_cycle(color=color_sequences["tab20"])
    for name, points in losses.items():
        positive = all(value > 0 for _, value in points)  # a reward's loss is not
        if name.startswith("loss/") and name != "loss/total" and positive:
            left.plot(*zip(*points, strict=True), label=name.removeprefix("loss/"), linewidth=1)
    left.set(title="loss terms, weighted", xlabel="step", yscale="log")
    for name, points in scores.items():
        right.plot(*zip(*points, strict=True), label=name, marker=".", linewidth=1)
    right.set(title="scores on held-out scenes", xlabel="step", ylim=(0, 1))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=6, ncols=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _series(runs: Sequence[Path], name: str) -> dict[str, list[tuple[int, float]]]:
    """Name -> (step, value), the steps counted on from run to run."""
    series: dict[str, list[tuple[int, float]]] = {}
    before = 0
    for run in runs:
        path = run / name
        if not path.is_file():
            raise FileNotFoundError(f"{path}: the run has written no such numbers yet")
        rows: list[dict[str, float]] = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows:
            for key, value in row.items():
                if key != "step":
                    series.setdefault(key, []).append((before + int(row["step"]), value))
        before += max((int(row["step"]) for row in rows), default=0)
    return series
