"""The report as a page that needs nothing beside it: verdicts, plots of all differences, the tables."""

from __future__ import annotations

import importlib
import io
import math
import re
from collections.abc import Sequence
from html import escape
from typing import Any, Final

from PIL import Image

from xdecoder.html.frame import anchor, frame
from xdecoder.html.panels import inlined
from xdecoder.html.parts import chip, figure
from xdecoder.reproduction.cells import CELLS, Table
from xdecoder.reproduction.findings import Finding, Findings
from xdecoder.reproduction.metrics import METRICS
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
)

_CHIPS: Final = {"holds": "good", "does not hold here": "bad"}
_COLORS: Final = {"holds": "tab:green", "does not hold here": "tab:red"}
_LINEAR: Final = 10.0
_TICKS: Final = (-100, -50, -20, -10, -5, -2, 0, 2, 5, 10, 20, 50, 100)
_LEGEND: Final = (
    "Small dots: seeds; large: their mean, with its 95 % interval, hollow where one seed has none. Green: "
    "the claim holds; red: it does not here; gray: undecided. The band: effects that count as none. The axis "
    "is linear up to 10 points and logarithmic beyond."
)
_STYLE: Final = """
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .4rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td span, td small { white-space: nowrap; }
.wide { overflow-x: auto; }
"""


def findings_page(findings: Findings) -> str:
    """The page, as the text of an HTML file.

    Raises:
        ImportError: Matplotlib is not installed.
    """
    told = [*summary(findings), PAPER, not_run(findings)]
    main = [
        f"<h1>{escape(TITLE)}</h1>",
        *(f'<p class="lead">{_marked(text)}</p>' for text in told if text),
        *_section("claims", "Claims", _plots(findings.claims) + _claims(findings.claims)),
        f"<p>{escape(COLUMNS)}</p>",
    ]
    for name, table in findings.tables.items():
        main += _section(name, table.title, _table(findings, table))
    main += _section("budget", "What more time would decide", _budget(findings))
    main += _section("metrics", "Metrics", _metrics(findings))
    return frame(
        title=TITLE,
        main="\n".join(main),
        footer="<p>Written by <code>xdecoder reproduce</code>.</p>",
        sections=["claims", *findings.tables, "budget", "metrics"],
        style=_STYLE,
    )


def _section(name: str, title: str, content: str) -> list[str]:
    return [f'<section class="task" id="{anchor(name)}"><h2>{escape(title)}</h2>', content, "</section>"]


def _marked(text: str) -> str:
    """Text with Markdown's `code` and **strong** as HTML."""
    code = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
    return re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", code)


def _claims(claims: Sequence[Finding]) -> str:
    rows = [
        [
            escape(finding.claim.text),
            escape(f"{METRICS[finding.claim.metric].name}, {finding.claim.cell} − {finding.claim.against}"),
            f"<span>{escape(shown(finding.difference, signed=True))}</span>",
            str(len(finding.difference.values)),
            chip(finding.verdict, _CHIPS.get(finding.verdict, ""))
            + (f" {_marked(finding.because)}" if finding.because else ""),
            escape(finding.claim.why_not),
        ]
        for finding in claims
    ]
    head = ["Claim", "measured by", "difference", "seeds", "verdict", "why a drawn world may differ"]
    return _rows(head, rows)


def _table(findings: Findings, table: Table) -> str:
    head = ["Cell", "seeds", *(METRICS[name].name for name in table.metrics)]
    rows: list[list[str]] = []
    for cell in table.cells:
        entries = [entry(findings, table, cell, metric) for metric in table.metrics]
        rows.append(
            [
                f"<code>{cell}</code> {escape(CELLS[cell].summary)}",
                str(len(findings.results[cell])),
                *(f"<span>{mean}</span><br><small>{difference}</small>" for mean, difference in entries),
            ]
        )
    return _rows(head, rows)


def _budget(findings: Findings) -> str:
    rows = [
        [escape(finding.claim.text), str(len(finding.difference.values)), *to_decide(findings, finding)]
        for finding in findings.undecided
    ]
    head = ["Claim", "seeds so far", "seeds to decide, if mean and spread stay", "hours more"]
    return f"<p>{escape(BUDGET)}</p>{_rows(head, rows)}" if rows else "<p>Everything is decided.</p>"


def _metrics(findings: Findings) -> str:
    items = [
        f"<li>{escape(METRICS[name].name)}: {_marked(METRICS[name].meaning)}.</li>"
        for name in findings.metrics
    ]
    return f"<ul>{''.join(items)}</ul>"


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; its cells are HTML, its head is text."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _plots(claims: Sequence[Finding]) -> str:
    """Every difference with its interval, the metrics of one scale in one plot."""
    by_effect: dict[float, list[Finding]] = {}
    for finding in claims:
        by_effect.setdefault(METRICS[finding.claim.metric].smallest_effect, []).append(finding)
    return "".join(_plot(own, effect) for effect, own in sorted(by_effect.items()))


def _plot(claims: Sequence[Finding], smallest_effect: float) -> str:
    """The differences turned round, so that a claim holds to the right of 0."""
    figures: Any = importlib.import_module("matplotlib.figure")
    drawn = figures.Figure(figsize=(11, 1 + 0.38 * len(claims)), layout="constrained")
    axes = drawn.add_subplot(xlabel="points in the claimed direction")
    for place, finding in enumerate(reversed(claims)):
        values = [-value for value in finding.difference.values]
        axes.plot(values, [place] * len(values), "o", color="0.6", markersize=3)
        width, color = finding.difference.half_width, _COLORS.get(finding.verdict, "tab:gray")
        axes.errorbar(
            -finding.difference.mean,
            place,
            xerr=0 if math.isinf(width) else width,
            fmt="o",
            capsize=3,
            color=color,
            markerfacecolor="white" if math.isinf(width) else color,
        )
    names = [f"{finding.claim.text} {METRICS[finding.claim.metric].name}" for finding in reversed(claims)]
    axes.set_yticks(range(len(claims)), names, fontsize=8)
    axes.axvspan(-smallest_effect, smallest_effect, color="0.92", zorder=0)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xscale("symlog", linthresh=_LINEAR)  # one large effect leaves the others readable
    least, most = axes.get_xlim()
    ticks = [x for x in _TICKS if least <= x <= most]
    axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
    axes.grid(axis="x", alpha=0.3)
    stream = io.BytesIO()
    drawn.savefig(stream, dpi=120)
    picture = f'<img src="{inlined(Image.open(stream))}" alt="Differences and their intervals">'
    return figure(picture, _LEGEND)
