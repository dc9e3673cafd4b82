"""The report of a folder's runs, as Markdown, HTML and JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from xdecoder.jobs.files import write_whole
from xdecoder.reproduction.cells import CELLS, Table
from xdecoder.reproduction.findings import Findings, read_findings
from xdecoder.reproduction.page import findings_page
from xdecoder.reproduction.protocol import Protocol
from xdecoder.reproduction.scoring import FIGURES
from xdecoder.reproduction.statistics import Estimate
from xdecoder.reproduction.wording import PAPER, not_run, shown, summary


def write_report(out: Path, protocol: Protocol) -> Path:
    """Write `report.md`, `report.html` and `report.json` of the runs that are done; where the first lies.

    Args:
        out: the folder of all runs.
        protocol: what they have in common.

    Raises:
        ValueError: a file of the runs is damaged.
    """
    findings = read_findings(out, protocol)
    path = out / "report.md"
    write_whole(path, to_markdown(findings).encode())
    write_whole(out / "report.html", findings_page(findings).encode())
    write_whole(out / "report.json", json.dumps(to_json(findings), indent=1).encode())
    return path


def to_markdown(findings: Findings) -> str:
    """The report in words and tables."""
    parts = [summary(findings), PAPER, not_run(findings), _claims(findings)]
    parts += [_table(findings, table) for table in findings.tables.values()]
    parts += [_budget(findings), _figures()]
    return "\n\n".join(filter(None, parts)) + "\n"


def _claims(findings: Findings) -> str:
    lines = [
        "## Claims",
        "",
        "| Claim | measured by | difference | seeds | verdict | why a drawn world may differ |",
        "|---|---|---|---|---|---|",
    ]
    for finding in findings.claims:
        claim, difference = finding.claim, finding.difference
        lines.append(
            f"| {claim.text} | {FIGURES[claim.figure].name}, `{claim.cell}` less `{claim.against}` | "
            f"{shown(difference, signed=True)} | {len(difference.values)} | "
            f"**{finding.verdict}** | {claim.why_not} |"
        )
    return "\n".join(lines)


def _table(findings: Findings, table: Table) -> str:
    names = [FIGURES[figure].name for figure in table.figures]
    lines = [
        f"## {table.title}",
        "",
        f"| Cell | seeds | {' | '.join(names)} |",
        f"|---|---|{'---|' * len(names)}",
    ]
    for cell in table.cells:
        means = [shown(findings.mean(cell, figure)) for figure in table.figures]
        count = len(findings.results[cell])
        lines.append(f"| `{cell}`: {CELLS[cell].summary} | {count} | {' | '.join(means)} |")
    return "\n".join(lines)


def _budget(findings: Findings) -> str:
    lines = [
        "## What more time would decide",
        "",
        "| Claim | seeds so far | seeds to decide, if mean and spread stay | hours of one core more |",
        "|---|---|---|---|",
    ]
    for finding in findings.claims:
        if finding.verdict != "undecided at this budget":
            continue
        count = len(finding.difference.values)
        seeds = "at least 2" if count < 2 else finding.seeds_needed or "over 100"
        hours = "–" if finding.hours_needed is None else f"{finding.hours_needed:.1f}"
        lines.append(f"| {finding.claim.text} | {count} | {seeds} | {hours} |")
    return "\n".join(lines)


def _figures() -> str:
    lines = [f"- {figure.name}: {figure.meaning}." for figure in FIGURES.values()]
    return "\n".join(["## Figures", "", *lines])


def to_json(findings: Findings) -> dict[str, Any]:
    """Everything that was measured; what is not known is null."""
    return {
        "protocol": dataclasses.asdict(findings.protocol),
        "runs": [
            {
                "cell": name,
                "seed": seed,
                "cpu_seconds": result.cpu_seconds,
                "steps": result.steps,
                "scores": dict(result.scores),
            }
            for name, own in findings.results.items()
            for seed, result in own.items()
        ],
        "claims": [
            {
                **dataclasses.asdict(finding.claim),
                "difference": _numbers(finding.difference),
                "verdict": finding.verdict,
                "seeds_needed": finding.seeds_needed,
                "hours_needed": finding.hours_needed,
            }
            for finding in findings.claims
        ],
    }


def _numbers(value: Estimate) -> dict[str, Any]:
    half_width = None if math.isinf(value.half_width) else value.half_width
    return {"mean": value.mean, "half_width": half_width, "values": list(value.values)}
