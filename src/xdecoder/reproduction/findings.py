"""What the runs that are done say: of every cell its means, of every claim a verdict."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from xdecoder.reproduction.cells import CELLS, TABLES, Table, is_trained
from xdecoder.reproduction.claims import CLAIMS, Claim
from xdecoder.reproduction.metrics import METRICS
from xdecoder.reproduction.protocol import Protocol
from xdecoder.reproduction.runs import (
    DamagedRunError,
    Result,
    Run,
    expected_hours,
    read_failure,
    read_result,
    runs_begun,
    training_cpu_seconds,
)
from xdecoder.reproduction.statistics import LEAST_SEEDS, Estimate, Verdict, estimate, judge, seeds_to_decide

LEAST_OF_BASE: Final[Mapping[str, float]] = {"val/pq": 40.0, "val/retrieval": 50.0}
"""What the base has to reach for a comparison with it to say anything."""

LEAST: Final = 10.0
"""A score below this is so near 0 that a difference from it says nothing."""


@final
@dataclass(frozen=True, kw_only=True)
class Finding:
    """A claim and what the runs say of it.

    Attributes:
        claim: the claim.
        difference: the cell minus what it is compared with, by seed.
        verdict: what follows.
        because: why more seeds would not decide it; empty where they may, or where it is decided.
        seeds_needed: how many seeds would decide an undecided one; None if unknown.
        missing: the runs of these seeds that are still to be made, warm starts too.
    """

    claim: Claim
    difference: Estimate
    verdict: Verdict
    because: str
    seeds_needed: int | None
    missing: tuple[Run, ...]


@final
@dataclass(frozen=True, kw_only=True)
class Findings:
    """All that the runs of a folder say.

    Attributes:
        protocol: what the runs have in common.
        results: cell -> its runs that are done, by seed.
        failures: runs that came to no end, and why.
        claims: in their order, those of which a seed has both cells.
    """

    protocol: Protocol
    results: Mapping[str, Mapping[int, Result]]
    failures: Mapping[Run, str]
    claims: tuple[Finding, ...]

    @property
    def all(self) -> list[Result]:
        """The runs that are done, warm starts too."""
        return [result for own in self.results.values() for result in own.values()]

    @property
    def hours(self) -> float:
        """Hours of CPU time that these took."""
        return sum(result.cpu_seconds for result in self.all) / 3600

    @property
    def seeds(self) -> list[int]:
        """The seeds of which a run is done."""
        return sorted({result.run.seed for result in self.all})

    @property
    def tables(self) -> dict[str, Table]:
        """Those of which another cell than the first has runs, by name."""
        return {
            name: table
            for name, table in TABLES.items()
            if any(self.results[cell] for cell in table.cells[1:])
        }

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics of these tables, each once."""
        return list(dict.fromkeys(metric for table in self.tables.values() for metric in table.metrics))

    @property
    def undecided(self) -> list[Finding]:
        """The claims that are neither held nor refuted."""
        return [finding for finding in self.claims if finding.verdict == "undecided at this budget"]

    def missing(self, table: Table) -> list[Run]:
        """The runs of a table that are not done, of the seeds of which others are."""
        return [
            Run(name=cell, seed=seed)
            for cell in table.cells
            for seed in self.seeds
            if seed not in self.results[cell]
        ]

    def mean(self, cell: str, metric: str) -> Estimate | None:
        """A score of a cell over its seeds; None where no run is done."""
        values = [r.scores[metric] for r in self.results[cell].values() if metric in r.scores]
        return estimate(values) if values else None

    def difference(self, cell: str, against: str, metric: str) -> Estimate | None:
        """A cell's score minus another's, by seed; None where no seed has both or one does not learn it."""
        task, one, other = METRICS[metric].task, self.results[cell], self.results[against]
        values = [
            one[seed].scores[metric] - other[seed].scores[metric]
            for seed in sorted(one.keys() & other.keys())
            if metric in one[seed].scores and metric in other[seed].scores
        ]
        return estimate(values) if values and is_trained(cell, task) and is_trained(against, task) else None

    def difference_in(self, table: Table, cell: str, metric: str) -> Estimate | None:
        """The difference of a table's cell from the one that it is compared with; None for the first."""
        against = table.compared_with(cell)
        return None if against is None else self.difference(cell, against, metric)

    @property
    def unpaired(self) -> list[int]:
        """Seeds of which cells went on from different models of the same warm start, as of two machines."""
        starts: defaultdict[Run, set[str]] = defaultdict(set)
        for result in self.all:
            if result.run.start is not None:
                starts[result.run.start].add(result.start)
        return sorted({run.seed for run, digests in starts.items() if len(digests) > 1})

    def hours_of(self, runs: Iterable[Run]) -> float:
        """What runs take, as these cells took with other seeds, or as the pilot says."""
        return sum(expected_hours(self.results[run.name].values(), self.protocol) for run in runs)


def read_findings(out: Path, protocol: Protocol) -> Findings:
    """What the runs of a folder say.

    Raises:
        ValueError: a run was made with other settings than its cell has.
    """
    results: dict[str, dict[int, Result]] = {}
    failures: dict[Run, str] = {}
    for name in CELLS:
        results[name] = {}
        for run in runs_begun(out, name):
            failure = read_failure(out, run)
            try:
                result = read_result(out, run, protocol)
                training_cpu_seconds(out, run)
            except DamagedRunError as error:
                result, failure = None, str(error)
            if result is not None:
                results[name][run.seed] = result
            elif failure is not None:
                failures[run] = failure
    found = Findings(protocol=protocol, results=results, failures=failures, claims=())
    claims = (_find(claim, found) for claim in CLAIMS)
    return Findings(
        protocol=protocol,
        results=results,
        failures=failures,
        claims=tuple(finding for finding in claims if finding is not None),
    )


def _find(claim: Claim, found: Findings) -> Finding | None:
    difference = found.difference(claim.cell, claim.against, claim.metric)
    if difference is None:
        return None
    because = _says_nothing(claim, found)
    smallest = METRICS[claim.metric].smallest_effect
    verdict = "undecided at this budget" if because else judge(difference, smallest_effect=smallest)
    undecided = verdict == "undecided at this budget" and not because
    seeds = seeds_to_decide(difference, smallest_effect=smallest) if undecided else None
    wanted = range(seeds or (LEAST_SEEDS if undecided and len(difference.values) < LEAST_SEEDS else 0))
    runs = [Run(name=name, seed=seed) for seed in wanted for name in (claim.cell, claim.against)]
    missing = {run: None for run in runs if run.seed not in found.results[run.name]}
    starts = {run.start: None for run in missing if run.start is not None}
    needed = {run: None for run in starts if run.seed not in found.results[run.name]} | missing
    return Finding(
        claim=claim,
        difference=difference,
        verdict=verdict,
        because=because,
        seeds_needed=seeds,
        missing=tuple(needed),
    )


def _says_nothing(claim: Claim, found: Findings) -> str:
    """Why a claim cannot be judged, however many seeds there are; empty where it can."""
    for name, least in LEAST_OF_BASE.items():
        mean = found.mean("base", name)
        if mean is None or mean.mean < least:
            return f"the base has a {METRICS[name].name} below {least:g}"
    mean = found.mean(claim.against, claim.metric)
    if mean is None or mean.mean < LEAST:
        return f"`{claim.against}` has a {METRICS[claim.metric].name} below {LEAST:g}"
    return ""
