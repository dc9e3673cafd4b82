"""What the report says in all its forms: how much was run, and every number and verdict as text."""

from __future__ import annotations

import math
from typing import Final

from xdecoder.reproduction.cells import TABLES
from xdecoder.reproduction.findings import LEAST, Findings
from xdecoder.reproduction.scoring import FIGURES
from xdecoder.reproduction.statistics import SMALLEST_EFFECT, Estimate

PAPER: Final = (
    "The paper's own figures are not beside these: its tables could not be looked up where this was written, "
    "and the claims are in words of this report."
)


def summary(findings: Findings) -> str:
    """How much was run, and how."""
    protocol = findings.protocol
    seeds = sorted({seed for own in findings.results.values() for seed in own})
    reached = [
        f"{FIGURES[name].name} {shown(findings.mean('base', name))} (wanted: {least:g})"
        for name, least in LEAST.items()
    ]
    return (
        f"{findings.runs} runs are done, {findings.hours:.1f} hours of one core in all, seeds "
        f"{', '.join(map(str, seeds)) or 'none'}. A pretraining has {protocol.steps:,} steps of "
        f"{protocol.images} scenes of {protocol.image_size} pixels, after a warm start on words and single "
        f"things that all cells of a seed share; each cell is scored on {protocol.scenes} scenes of each "
        "kind. Figures are percent: the mean over seeds and its 95 % interval by Student's t. Differences "
        "are points, paired by seed. A claim holds where the whole interval lies on its side of 0; it does "
        "not hold here where the interval lies on the other side or shows an effect below "
        f"{SMALLEST_EFFECT} points; and nothing is decided unless the base is any good: it reaches "
        f"{' and '.join(reached)}."
    )


def shown(value: Estimate | None, *, signed: bool = False) -> str:
    """A mean and its interval, as text."""
    if value is None:
        return "–"
    mean = f"{value.mean:+.1f}" if signed else f"{value.mean:.1f}"
    return mean if math.isinf(value.half_width) else f"{mean} ± {value.half_width:.1f}"


def not_run(findings: Findings) -> str:
    """The tables without runs, and how to run them; empty where all have some."""
    run = findings.tables
    missing = {name: table.title for name, table in TABLES.items() if name not in run}
    if not missing:
        return ""
    return f"Not run: {'; '.join(missing.values())} (xdecoder reproduce {' '.join(missing)})."
