"""What the runs that are done say: of every cell its means, of every claim a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from xdecoder.reproduction.cells import CELLS, TABLES, Table
from xdecoder.reproduction.claims import CLAIMS, Claim
from xdecoder.reproduction.protocol import Protocol
from xdecoder.reproduction.runs import Result, Run, read_result
from xdecoder.reproduction.statistics import Estimate, Verdict, estimate, judge, seeds_to_decide

LEAST: Final[Mapping[str, float]] = {"val/pq": 40.0, "val/retrieval": 50.0}
"""What the base has to reach for a comparison with it to say anything, in percent."""


@final
@dataclass(frozen=True, kw_only=True)
class Finding:
    """A claim and what the runs say of it.

    Attributes:
        claim: the claim.
        difference: cell less what it is compared with, in points, by seed.
        verdict: what follows.
        seeds_needed: how many seeds would decide an undecided one; None if unknown.
        hours_needed: hours of one core that the seeds still missing would take; None if unknown.
    """

    claim: Claim
    difference: Estimate
    verdict: Verdict
    seeds_needed: int | None
    hours_needed: float | None


@final
@dataclass(frozen=True, kw_only=True)
class Findings:
    """All that the runs of a folder say.

    Attributes:
        protocol: what the runs have in common.
        results: cell -> its runs that are done, by seed.
        claims: in their order, those of which a seed has both cells.
    """

    protocol: Protocol
    results: Mapping[str, Mapping[int, Result]]
    claims: tuple[Finding, ...]

    @property
    def runs(self) -> int:
        """How many runs are done, warm starts too."""
        return sum(map(len, self.results.values()))

    @property
    def hours(self) -> float:
        """Hours of one core that these took."""
        return sum(r.cpu_seconds for own in self.results.values() for r in own.values()) / 3600

    @property
    def tables(self) -> dict[str, Table]:
        """Those of which another cell than the base has runs, by name."""
        return {
            name: table
            for name, table in TABLES.items()
            if any(self.results[cell] for cell in table.cells if cell != "base")
        }

    def mean(self, cell: str, figure: str) -> Estimate | None:
        """A figure of a cell over its seeds; None where no run is done."""
        return _mean(self.results, cell, figure)


def read_findings(out: Path, protocol: Protocol) -> Findings:
    """What the runs of a folder say.

    Raises:
        ValueError: a file of the runs is damaged.
    """
    results: dict[str, dict[int, Result]] = {}
    for name in CELLS:
        folders = sorted(
            (out / "runs" / name).glob("seed-*"), key=lambda f: int(f.name.removeprefix("seed-"))
        )
        seeds = [int(folder.name.removeprefix("seed-")) for folder in folders]
        done = {seed: read_result(out, Run(name=name, seed=seed)) for seed in seeds}
        results[name] = {seed: result for seed, result in done.items() if result is not None}
    return Findings(
        protocol=protocol,
        results=results,
        claims=tuple(
            _find(claim, difference, results)
            for claim in CLAIMS
            if (difference := _difference(results, claim.cell, claim.against, claim.figure))
        ),
    )


def _find(claim: Claim, difference: Estimate, results: Mapping[str, Mapping[int, Result]]) -> Finding:
    verdict = judge(claim, difference) if _is_any_good(results) else "undecided at this budget"
    seeds = seeds_to_decide(claim, difference) if verdict == "undecided at this budget" else None
    hours: float | None = None
    if seeds is not None:
        both = [r.cpu_seconds / 3600 for name in (claim.cell, claim.against) for r in results[name].values()]
        hours = 2 * (seeds - len(difference.values)) * sum(both) / len(both)
    return Finding(
        claim=claim, difference=difference, verdict=verdict, seeds_needed=seeds, hours_needed=hours
    )


def _is_any_good(results: Mapping[str, Mapping[int, Result]]) -> bool:
    """Whether the base reaches what it has to."""
    reached = {name: _mean(results, "base", name) for name in LEAST}
    return all(mean is not None and mean.mean >= LEAST[name] for name, mean in reached.items())


def _mean(results: Mapping[str, Mapping[int, Result]], cell: str, figure: str) -> Estimate | None:
    values = [r.scores[figure] for r in results[cell].values() if figure in r.scores]
    return estimate(values) if values else None


def _difference(
    results: Mapping[str, Mapping[int, Result]], cell: str, against: str, figure: str
) -> Estimate | None:
    one, other = results[cell], results[against]
    values = [
        one[seed].scores[figure] - other[seed].scores[figure]
        for seed in sorted(one.keys() & other.keys())
        if figure in one[seed].scores and figure in other[seed].scores
    ]
    return estimate(values) if values else None
