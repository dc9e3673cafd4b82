"""The report as a page that needs nothing beside it: verdicts, a plot of all differences, the tables."""

from __future__ import annotations

import importlib
import io
import math
from collections.abc import Sequence
from html import escape
from typing import Any, Final

from PIL import Image

from xdecoder.html.frame import anchor, frame
from xdecoder.html.panels import inlined
from xdecoder.html.parts import chip, figure
from xdecoder.reproduction.cells import CELLS, Table
from xdecoder.reproduction.findings import Finding, Findings
from xdecoder.reproduction.scoring import FIGURES
from xdecoder.reproduction.wording import PAPER, not_run, shown, summary

_CHIPS: Final = {"holds": "good", "does not hold here": "bad"}
_STYLE: Final = """
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .4rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top; }
.wide { overflow-x: auto; }
"""


def findings_page(findings: Findings) -> str:
    """The page, as the text of an HTML file."""
    sections = ["claims", *findings.tables]
    main = [
        "<h1>The paper’s findings, measured again</h1>",
        f'<p class="lead">{escape(summary(findings))} {escape(PAPER)} {escape(not_run(findings))}</p>',
        '<section class="task" id="claims"><h2>Claims</h2>',
        _plot(findings),
        _claims(findings.claims),
        "</section>",
    ]
    for name, table in findings.tables.items():
        main.append(f'<section class="task" id="{anchor(name)}"><h2>{escape(table.title)}</h2>')
        main.append(_table(findings, table) + "</section>")
    return frame(
        title="The paper's findings, measured again",
        main="\n".join(main),
        footer="<p>Written by <code>xdecoder reproduce</code>.</p>",
        sections=sections,
        style=_STYLE,
    )


def _claims(claims: Sequence[Finding]) -> str:
    rows = [
        [
            escape(finding.claim.text),
            escape(f"{FIGURES[finding.claim.figure].name}, {finding.claim.cell} − {finding.claim.against}"),
            escape(shown(finding.difference, signed=True)),
            chip(finding.verdict, _CHIPS.get(finding.verdict, "")),
            escape(finding.claim.why_not),
        ]
        for finding in claims
    ]
    return _rows(["Claim", "measured by", "difference", "verdict", "why a drawn world may differ"], rows)


def _table(findings: Findings, table: Table) -> str:
    head = ["Cell", "seeds", *(FIGURES[name].name for name in table.figures)]
    rows = [
        [
            f"<code>{cell}</code> {escape(CELLS[cell].summary)}",
            str(len(findings.results[cell])),
            *(escape(shown(findings.mean(cell, name))) for name in table.figures),
        ]
        for cell in table.cells
    ]
    return _rows(head, rows)


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; its cells are HTML, its head is text."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _plot(findings: Findings) -> str:
    """Every difference with its interval, to the right where it goes the claimed way."""
    claims = findings.claims
    if not claims:
        return ""
    figures: Any = importlib.import_module("matplotlib.figure")
    drawn = figures.Figure(figsize=(9, 1 + 0.38 * len(claims)), layout="constrained")
    axes = drawn.add_subplot(xlabel="points in the claimed direction, with the 95 % interval")
    for place, finding in enumerate(reversed(claims)):
        sign = -1 if finding.claim.direction == "lower" else 1
        values = [sign * value for value in finding.difference.values]
        axes.plot(values, [place] * len(values), "o", color="0.6", markersize=3)
        width = finding.difference.half_width
        axes.errorbar(
            sign * finding.difference.mean,
            place,
            xerr=0 if math.isinf(width) else width,
            fmt="o",
            capsize=3,
            color={"holds": "tab:green", "does not hold here": "tab:red"}.get(finding.verdict, "tab:gray"),
        )
    names = [f"{f.claim.cell}: {FIGURES[f.claim.figure].name}" for f in reversed(claims)]
    axes.set_yticks(range(len(claims)), names, fontsize=8)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.grid(axis="x", alpha=0.3)
    stream = io.BytesIO()
    drawn.savefig(stream, dpi=120)
    picture = f'<img src="{inlined(Image.open(stream))}" alt="Differences and their intervals">'
    return figure(picture, "Small dots: seeds. Green: the claim holds; red: it does not here.")
