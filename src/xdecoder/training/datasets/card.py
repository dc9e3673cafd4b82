"""A model's card: `README.md` in its folder, which says what it knows, from what, and how well."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from xdecoder.config import ClassList, InferenceConfig
from xdecoder.jobs.files import write_whole
from xdecoder.training.progress import read_numbers, read_scores
from xdecoder.weights.folder import read_config

CARD: Final = "README.md"
CURVES: Final = "curves.png"


@final
@dataclass(frozen=True, kw_only=True)
class TrainingFacts:
    """What a card says of a training.

    Attributes:
        command: that trained the model.
        data: the name of the data's folder.
        dataset: what the folder is, a name of the catalog.
        task: what was learned.
        images: that were learned from.
        start: what was started from.
    """

    command: str
    data: str
    dataset: str
    task: str
    images: int
    start: str


def write_card(folder: Path, run: Path, facts: TrainingFacts) -> None:
    """Write a model's card, with the curves of its run if matplotlib is there.

    Args:
        folder: the model's.
        run: the folder of the run that exported it.
        facts: what else the card says.
    """
    settings, scores = read_config(folder).inference, read_scores(run)
    task = "" if facts.task == "panoptic" else f" --task {facts.task}"
    has_curves = draw_curves(run, folder / CURVES)
    lines = [
        f"# {run.resolve().name}",
        "",
        f"An X-Decoder model, trained on {facts.images:,} images of {facts.data} ({facts.dataset}, "
        f"{facts.task}) from {facts.start}.",
        "",
        "```sh",
        f"xdecoder segment photo.jpg --weights THIS_FOLDER{task}",
        "```",
        "",
        *_classes(settings),
        "## Settings",
        "",
        f"Images are resized to {settings.short_side} pixels on the shorter side, at most "
        f"{settings.long_side} on the longer. A panoptic segment counts above a class probability of "
        f"{settings.object_threshold:g} where it keeps {settings.overlap_threshold:g} of its mask"
        + ("; both were chosen on the validation split." if scores and facts.task == "panoptic" else "."),
        "",
        *_table(scores),
        *(["![losses and scores by step](" + CURVES + ")", ""] if has_curves else []),
        "## Training",
        "",
        "```sh",
        facts.command,
        "```",
    ]
    write_whole(folder / CARD, ("\n".join(lines) + "\n").encode())


def draw_curves(run: Path, path: Path) -> bool:
    """Draw the losses and scores of a run; whether there are any, and matplotlib."""
    losses, scores = read_numbers(run), read_scores(run)
    totals = {step: row["loss/total"] for step, row in losses.items() if "loss/total" in row}
    if not totals and not scores:
        return False
    try:
        figures: Any = importlib.import_module("matplotlib.figure")
    except ImportError:
        warnings.warn("no curves: matplotlib is missing; pip install 'xdecoder[train]'", stacklevel=2)
        return False
    figure = figures.Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(list(totals), list(totals.values()))
    left.set(title="loss", xlabel="step", yscale="log")
    names = list(dict.fromkeys(name for row in scores.values() for name in row))
    for name in names:
        own = {step: 100 * row[name] for step, row in scores.items() if name in row}
        right.plot(list(own), list(own.values()), marker="o", markersize=3, label=name)
    right.set(title="validation, percent", xlabel="step", ylim=(0, 100))
    if names:
        right.legend(fontsize=7)
    figure.savefig(path, dpi=100)
    return True


def _classes(settings: InferenceConfig) -> Sequence[str]:
    words = settings.vocabulary
    if not isinstance(words, ClassList):
        return ()
    things = [name for place, name in enumerate(words.classes) if place in words.things]
    stuff = [name for place, name in enumerate(words.classes) if place not in words.things]
    lines = ["## Classes", ""]
    lines += [f"Things: {', '.join(things)}", ""] if things else []
    lines += [f"Stuff: {', '.join(stuff)}", ""] if stuff else []
    return lines


def _table(scores: Mapping[int, Mapping[str, float]]) -> Sequence[str]:
    names = list(dict.fromkeys(name for row in scores.values() for name in row))
    if not names:
        return ["No validation split was there: nothing is known of how well it reads other images.", ""]
    rows = [
        f"| {step} | " + " | ".join(f"{100 * row[n]:.1f}" if n in row else "" for n in names) + " |"
        for step, row in scores.items()
    ]
    return [
        "## Scores",
        "",
        "On the validation split, in percent:",
        "",
        f"| step | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
        *rows,
        "",
    ]
