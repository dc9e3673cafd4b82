"""Work on a Ray cluster: rows read, mapped by actors that each hold a model, results as they come.

Ray runs again what was on an actor or a node that died, so that a row may be worked on twice: what a worker
writes has to be the same however often it is written.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xdecoder.bounds import require

Row = dict[str, Any]
"""Names and plain JSON values."""


@dataclass(frozen=True, kw_only=True)
class Actors:
    """How many workers there are, and what each takes.

    Attributes:
        least: as many are there from the beginning.
        most: as many there are at the most, as the work and the cluster allow.
        cpus: cores that each takes.
        gpus: GPUs that each takes; a share, such as 0.5, lets several use one.
    """

    least: int = 1
    most: int = 1
    cpus: float = 1
    gpus: float = 0

    def __post_init__(self) -> None:
        require(
            1 <= self.least <= self.most,
            f"actors must be at least 1 and no more than their limit, got {self.least} to {self.most}",
        )

    @classmethod
    def parse(cls, text: str, *, gpus: float = 0) -> Actors:
        """Actors as the command line names them: "4", or "1-16" for as many as the cluster has room for.

        Raises:
            ValueError: it is neither.
        """
        found = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", text)
        if not found:
            raise ValueError(f"--actors takes a number or a range, such as 4 or 1-16; got {text!r}")
        return cls(least=int(found[1]), most=int(found[2] or found[1]), gpus=gpus)


def map_on_cluster(
    rows: Sequence[Mapping[str, Any]],
    worker: Callable[[], Callable[[list[Row]], Row]],
    *,
    batch_size: int,
    actors: Actors,
) -> Iterator[Row]:
    """Work through rows on a Ray cluster; without rows, nothing is started.

    It is the cluster that this process is connected to, that `$RAY_ADDRESS` names, or that this machine is
    part of; else one is started here.

    Args:
        rows: what to work on; plain JSON values.
        worker: makes what works on some rows and says what came out. It is called once in each actor, and has
            to be picklable.
        batch_size: rows that a worker is given at once.
        actors: how many workers there are.

    Returns:
        What came out, in any order.

    Raises:
        ImportError: Ray is not installed.
        OSError: the cluster could not finish; its message begins with the worker's error.
    """
    if not rows:
        return
    try:
        import ray
        import ray.data
        from ray.exceptions import RayError
    except ImportError as error:
        raise ImportError("a cluster needs Ray: pip install 'xdecoder[cluster]'") from error
    if not ray.is_initialized():
        ray.init(logging_level=logging.WARNING)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    blocks = [
        {"rows": json.dumps([dict(row) for row in rows[start : start + batch_size]])}
        for start in range(0, len(rows), batch_size)
    ]
    results = ray.data.from_items(blocks, override_num_blocks=len(blocks)).map_batches(
        _Actor,
        fn_constructor_args=(worker,),
        batch_size=1,
        batch_format="numpy",
        compute=ray.data.ActorPoolStrategy(min_size=actors.least, max_size=actors.most),
        num_cpus=actors.cpus,
        num_gpus=actors.gpus,
    )
    try:
        for result in results.iter_rows():
            yield json.loads(result["result"])
    except RayError as error:
        raise OSError(
            f"the cluster could not finish: {_reason(str(error))}; run the same command again"
        ) from error


def _reason(told: str) -> str:
    """The worker's own error, out of the tracebacks that Ray tells, where it comes first."""
    found = re.search(r"^(?:\w+\.)*\w+(?:Error|Exception): (.+)$", told, re.MULTILINE)
    return found[1] if found else " ".join(told.split())[:300]


class _Actor:
    """What Ray keeps: a worker, made where it works."""

    def __init__(self, worker: Callable[[], Callable[[list[Row]], Row]]) -> None:
        self._work = worker()

    def __call__(self, blocks: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        return {"result": [json.dumps(self._work(json.loads(text))) for text in blocks["rows"]]}
