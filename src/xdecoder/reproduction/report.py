"""The report of a folder's runs, as Markdown, HTML and JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from importlib.metadata import version
from pathlib import Path
from typing import Any

from xdecoder.jobs.files import write_whole
from xdecoder.reproduction.cells import CELLS, Table
from xdecoder.reproduction.findings import Findings, read_findings
from xdecoder.reproduction.metrics import METRICS
from xdecoder.reproduction.page import findings_page
from xdecoder.reproduction.protocol import Protocol
from xdecoder.reproduction.statistics import Estimate
from xdecoder.reproduction.wording import (
    BUDGET,
    COLUMNS,
    PAPER,
    TITLE,
    entry,
    not_run,
    shown,
    summary,
    to_decide,
    verdict,
)


def write_report(out: Path, protocol: Protocol) -> Path:
    """Write `report.md`, `report.html` and `report.json` of the runs that are done; where the first lies.

    Args:
        out: the folder of all runs.
        protocol: what they have in common.

    Raises:
        ImportError: SciPy or Matplotlib is not installed.
        ValueError: a run was made with other settings than its cell has.
    """
    findings = read_findings(out, protocol)
    path = out / "report.md"
    write_whole(path, to_markdown(findings).encode())
    write_whole(out / "report.html", findings_page(findings).encode())
    write_whole(out / "report.json", json.dumps(to_json(findings), indent=1, allow_nan=False).encode())
    return path


def to_markdown(findings: Findings) -> str:
    """The report in words and tables."""
    parts = [
        f"# {TITLE}",
        *summary(findings),
        PAPER,
        not_run(findings),
        _claims(findings),
        "## Tables",
        COLUMNS,
    ]
    parts += [_table(findings, table) for table in findings.tables.values()]
    parts += [_budget(findings), _metrics(findings)]
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
            f"| {claim.text} | {METRICS[claim.metric].name}, `{claim.cell}` minus `{claim.against}` | "
            f"{shown(difference, signed=True)} | {len(difference.values)} | "
            f"**{verdict(finding)}** | {claim.why_not} |"
        )
    return "\n".join(lines)


def _table(findings: Findings, table: Table) -> str:
    names = [METRICS[metric].name for metric in table.metrics]
    lines = [
        f"### {table.title}",
        "",
        f"| Cell | seeds | {' | '.join(names)} |",
        f"|---|---|{'---|' * len(names)}",
    ]
    for cell in table.cells:
        entries = [
            "<br>".join(filter(None, entry(findings, table, cell, metric))) for metric in table.metrics
        ]
        count = len(findings.results[cell])
        lines.append(f"| `{cell}`: {CELLS[cell].summary} | {count} | {' | '.join(entries)} |")
    return "\n".join(lines)


def _budget(findings: Findings) -> str:
    if not findings.undecided:
        return ""
    lines = [
        "## What more time would decide",
        "",
        BUDGET,
        "",
        "| Claim | seeds so far | seeds to decide, if mean and spread stay | hours more |",
        "|---|---|---|---|",
    ]
    for finding in findings.undecided:
        seeds, hours = to_decide(findings, finding)
        lines.append(f"| {finding.claim.text} | {len(finding.difference.values)} | {seeds} | {hours} |")
    return "\n".join(lines)


def _metrics(findings: Findings) -> str:
    lines = [f"- {METRICS[name].name}: {METRICS[name].meaning}." for name in findings.metrics]
    return "\n".join(["## Metrics", "", *lines]) if lines else ""


def to_json(findings: Findings) -> dict[str, Any]:
    """Everything that was measured; what is not known is null."""
    return {
        "xdecoder": version("xdecoder"),
        "protocol": dataclasses.asdict(findings.protocol),
        "cpu_hours": findings.hours,
        "runs": [
            {
                "cell": result.run.name,
                **{
                    name: getattr(result, name)
                    for name in ("cpu_seconds", "steps", "recipe", "start", "scores")
                },
                "seed": result.run.seed,
            }
            for result in findings.all
        ],
        "failures": [
            {"cell": run.name, "seed": run.seed, "reason": reason}
            for run, reason in findings.failures.items()
        ],
        "tables": {
            name: {
                cell: {
                    metric: {
                        "mean": _numbers(findings.mean(cell, metric)),
                        "difference": _numbers(findings.difference_in(table, cell, metric)),
                    }
                    for metric in table.metrics
                }
                for cell in table.cells
            }
            for name, table in findings.tables.items()
        },
        "claims": [
            {
                **dataclasses.asdict(finding.claim),
                "difference": _numbers(finding.difference),
                "verdict": finding.verdict,
                "because": finding.because,
                "seeds_needed": finding.seeds_needed,
                "missing": [{"cell": run.name, "seed": run.seed} for run in finding.missing],
                "hours_needed": findings.hours_of(finding.missing),
            }
            for finding in findings.claims
        ],
    }


def _numbers(value: Estimate | None) -> dict[str, Any] | None:
    if value is None:
        return None
    half_width = None if math.isinf(value.half_width) else value.half_width
    return {"mean": value.mean, "half_width": half_width, "values": list(value.values)}
