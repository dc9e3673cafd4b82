"""`xdecoder reproduce`: the paper's findings measured again in the drawn world."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from xdecoder.cli.console import FAILED, print_notice
from xdecoder.cli.options import Device

EPILOG = (
    "xdecoder reproduce list\n\n"
    "xdecoder reproduce tasks interactions --seeds 3 --out runs/reproduce\n\n"
    "xdecoder reproduce --budget 8 --out runs/reproduce\n\n"
    "xdecoder reproduce report --out runs/reproduce\n\n"
    "Several processes with the same --out share the runs; one that was stopped goes on where it was.\n\n"
    "Exit codes: 0 done, 1 a run failed, 2 usage or bad input, 130 interrupted."
)


def reproduce(
    tables: Annotated[
        list[str] | None,
        typer.Argument(
            help="What to compare, all by default; list names everything, report writes the report of the "
            "runs that are done.",
            metavar="[TABLE...]|list|report",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each cell.")] = 3,
    budget: Annotated[
        float | None,
        typer.Option(
            help="Hours of CPU time that this process may use: it begins no run that would take more; "
            "by default as many as it takes.",
            metavar="HOURS",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The folder of all runs and of the report.")
    ] = Path("reproduction"),
    smoke: Annotated[
        bool,
        typer.Option(
            "--smoke", help="Tiny models and runs of seconds: shows that all works, and nothing else."
        ),
    ] = False,
    device: Device = None,
) -> int:
    """Train small models on drawn scenes with and without each part, and compare them.

    Every claim of the paper's tables that a small world can test gets a verdict: it
    holds, it does not hold here, or it is undecided at this budget.
    """
    names = tables or []
    if names == ["list"]:
        _list()
        return 0
    if {"list", "report"} & set(names) and len(names) > 1:
        raise ValueError(f"list and report stand alone, got {' '.join(names)}")
    _check_packages()
    from xdecoder.reproduction.cells import find_tables, needed_cells
    from xdecoder.reproduction.protocol import FULL, SMOKE
    from xdecoder.reproduction.report import write_report
    from xdecoder.reproduction.runs import check_folder, enter_folder, plan_runs, read_failure

    protocol = SMOKE if smoke else FULL
    if names == ["report"]:
        check_folder(out, protocol)
        print_notice(f"report: {write_report(out, protocol)}")
        return 0
    runs = plan_runs(needed_cells(find_tables(names)), seeds)

    from xdecoder.jobs.distributed import find_world
    from xdecoder.reproduction.runner import Work

    world = find_world(device)
    if world.size > 1:
        raise ValueError(
            "reproduce runs in one process: start it without torchrun, several times for several processes"
        )
    work = Work(out=out, protocol=protocol, world=world, budget=budget, say=print_notice)
    enter_folder(out, protocol)
    left = work.run_all(runs)
    failed = [run for run in runs if run in work.failed or read_failure(out, run) is not None]
    print_notice(f"report: {write_report(out, protocol)}")
    if failed:
        print_notice(f"{len(failed)} of {len(runs)} runs failed: {'; '.join(map(str, failed))}")
    if len(left) > len(failed):
        print_notice(
            f"{len(left) - len(failed)} of {len(runs)} runs are left, or with another process: the same "
            "command goes on with them"
        )
    return FAILED if failed else 0


def _check_packages() -> None:
    """Refuse to begin hours of runs whose report could not be written.

    Raises:
        ImportError: a package of the extra `train` is not installed.
    """
    for name in ("scipy", "matplotlib"):
        if find_spec(name) is None:
            raise ImportError(f"the report needs {name}; install it with: pip install 'xdecoder[train]'")


def _list() -> None:
    from xdecoder.reproduction.cells import CELLS, TABLES

    for name, table in TABLES.items():
        typer.echo(f"{name}: {table.title}")
        for cell in table.cells:
            typer.echo(f"    {cell}: {CELLS[cell].summary}")
