"""What the report says in all its forms: how much was run, and every number and verdict as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

from xdecoder.reproduction.cells import TABLES, Table, is_trained
from xdecoder.reproduction.findings import LEAST, LEAST_OF_BASE, Finding, Findings
from xdecoder.reproduction.metrics import METRICS
from xdecoder.reproduction.runs import Run
from xdecoder.reproduction.statistics import LEAST_SEEDS, SEEDS_FOR_NONE, Estimate

TITLE: Final = "The paper's findings, measured again"
PAPER: Final = (
    "The paper's own numbers are not beside these: its tables could not be looked up where this was written, "
    "and the claims are in words of this report."
)
COLUMNS: Final = (
    "Of every cell: the mean over its seeds with its 95 % interval, and below it the difference from the "
    "first cell (of `single_...` from `finetuned_...`), paired by seed. A number in brackets scores an "
    "output that the cell does not learn."
)
BUDGET: Final = (
    "Hours of CPU time, those of the warm starts of new seeds included; runs that two claims need are "
    "counted in both. Adding seeds until a claim is decided raises the rate of false positives above 5 %."
)


def summary(findings: Findings) -> list[str]:
    """How much was run and how, in paragraphs."""
    protocol, claims = findings.protocol, len(findings.claims)
    reached = [
        f"{METRICS[name].name} {shown(findings.mean('base', name))} (wanted: {least:g})"
        for name, least in LEAST_OF_BASE.items()
    ]
    paragraphs = [
        f"{len(findings.all)} runs are done, {findings.hours:.1f} hours of CPU time in all, seeds "
        f"{_listed(findings.seeds)}; the report is by xdecoder {version('xdecoder')}. A pretraining has "
        f"{protocol.steps:,} steps of {protocol.images} scenes of {protocol.image_size} pixels, after a warm "
        f"start on texts and single things; the cells of a seed share it and the scenes, but for those of "
        f"other sizes, which have warm starts of their own, and finetunings, which see other scenes. Each is "
        f"scored on the same {protocol.scenes} scenes of each kind: intervals are over seeds of training, "
        "not over scenes.",
        "A claim **holds** where the whole interval of its difference lies on its side of 0, however near; "
        f"it **does not hold here** where the interval lies on the other side or, with {SEEDS_FOR_NONE} "
        f"seeds, shows an effect below {METRICS['val/pq'].smallest_effect:g} points "
        f"({METRICS['val/cider'].smallest_effect:g} of CIDEr). Fewer than {LEAST_SEEDS} seeds decide "
        f"nothing, nor does a score below {LEAST:g}, nor a base that is too weak: it reaches "
        f"{' and '.join(reached)}. "
        "Intervals are by Student's t, without correction for multiple comparisons: of "
        f"{claims} at 95 %, about {max(1, round(claims / 20))} would come out by chance.",
    ]
    if findings.unpaired:
        paragraphs.append(
            f"Cells of seed {_listed(findings.unpaired)} began with warm starts of different weights, as "
            "two machines make them: pairing by seed is weaker there."
        )
    if findings.failures:
        told = "; ".join(f"{run} ({reason})" for run, reason in findings.failures.items())
        paragraphs.append(f"Failed, and in no mean: {told}.")
    return paragraphs


def shown(value: Estimate | None, *, signed: bool = False) -> str:
    """A mean and its interval, as text."""
    if value is None:
        return "–"
    mean = f"{value.mean:+.1f}" if signed else f"{value.mean:.1f}"
    mean = mean.replace("-0.0", "0.0").replace("+0.0", "0.0")
    return mean if math.isinf(value.half_width) else f"{mean} ± {value.half_width:.1f}"


def entry(findings: Findings, table: Table, cell: str, metric: str) -> tuple[str, str]:
    """What stands in a table: the mean, and the difference from what the cell is compared with."""
    mean = shown(findings.mean(cell, metric))
    if mean != "–" and not is_trained(cell, METRICS[metric].task):
        return f"({mean})", ""
    difference = findings.difference_in(table, cell, metric)
    return mean, "" if difference is None else shown(difference, signed=True)


def verdict(finding: Finding) -> str:
    """A verdict, with what stands in the way of a decision."""
    return finding.verdict + (f": {finding.because}" if finding.because else "")


def to_decide(findings: Findings, finding: Finding) -> tuple[str, str]:
    """How many seeds would decide a claim, and the hours that they would take."""
    if finding.because:
        return "no number", "–"
    count = len(finding.difference.values)
    fewest = f"at least {LEAST_SEEDS}" if count < 2 else "over 100"
    seeds = str(finding.seeds_needed) if finding.seeds_needed is not None else fewest
    return seeds, f"{findings.hours_of(finding.missing):.1f}" if finding.missing else "–"


def not_run(findings: Findings) -> str:
    """What is missing, and how to run it; empty where nothing is."""
    run = findings.tables
    parts = [f"{table.title} (`{name}`)" for name, table in TABLES.items() if name not in run]
    for name, table in run.items():
        if missing := findings.missing(table):
            parts.append(f"of {table.title} (`{name}`) {_by_cell(missing)}")
    if not parts:
        return ""
    return f"Not run: {'; '.join(parts)}. `xdecoder reproduce TABLE` runs a table, by the name in brackets."


def _by_cell(runs: Sequence[Run]) -> str:
    seeds: dict[str, list[int]] = {}
    for run in runs:
        seeds.setdefault(run.name, []).append(run.seed)
    return ", ".join(f"{name} of seed {_listed(own)}" for name, own in seeds.items())


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"
