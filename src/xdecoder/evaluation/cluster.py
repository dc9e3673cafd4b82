"""A benchmark's predictions on a Ray cluster: actors hold the model and write journals, as processes do."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from xdecoder.evaluation.benchmark import Benchmark
from xdecoder.evaluation.kinds import protocol_of
from xdecoder.evaluation.plan import Overrides, open_benchmark, plan_run
from xdecoder.evaluation.predicting import predict
from xdecoder.jobs.cluster import Actors, Row, map_on_cluster
from xdecoder.jobs.journal import Journal
from xdecoder.jobs.progress import ProgressCallback
from xdecoder.predictor.model_source import ModelSource

BATCH_SIZE: Final = 32
"""Images that an actor is given at once."""


@final
@dataclass(frozen=True, kw_only=True)
class EvaluationWorker:
    """Makes what an actor does.

    Attributes:
        model: how the model is loaded.
        benchmark: what is predicted.
        data: the folder of the data sets.
        folder: of the benchmark's results.
        overrides: what is done otherwise.
        fingerprint: what the results are made with.
    """

    model: ModelSource
    benchmark: Benchmark
    data: Path | None
    folder: Path
    overrides: Overrides
    fingerprint: Mapping[str, Any]

    def __call__(self) -> ActorEvaluator:
        """Load the model, and open the data set.

        Raises:
            ValueError: the model is another one here, or the data set is malformed.
            FileNotFoundError: one of them is not here.
        """
        return ActorEvaluator(self)


@final
class ActorEvaluator:
    """A model and a data set in an actor, with a journal of its own.

    Args:
        worker: what it holds.
    """

    def __init__(self, worker: EvaluationWorker) -> None:
        dataset = open_benchmark(worker.benchmark, worker.data, worker.overrides)
        run = plan_run(worker.benchmark, dataset, folder=worker.folder, overrides=worker.overrides)
        self._protocol = protocol_of(worker.benchmark)(run, dataset)
        self._predictor = worker.model.load()
        self._journal = Journal(worker.folder, secrets.randbelow(1 << 62), worker.fingerprint)

    def __call__(self, rows: list[Row]) -> Row:
        """Predict a block's samples; how many."""
        indices = [int(row["index"]) for row in rows]
        for _ in predict(self._protocol, self._predictor, indices, self._journal):
            pass
        return {"images": len(rows)}


def predict_on_cluster(
    worker: EvaluationWorker,
    indices: Sequence[int],
    images: int,
    *,
    actors: Actors,
    batch_size: int = BATCH_SIZE,
    progress: ProgressCallback | None = None,
) -> None:
    """Predict samples on a Ray cluster; their predictions are in the folder's journals then.

    Args:
        worker: makes what an actor does.
        indices: places of the samples in the data set.
        images: how many there are in the data set.
        actors: how many processes hold the model.
        batch_size: images that an actor is given at once.
        progress: told how many images are predicted, and of how many.

    Raises:
        ImportError: Ray is not installed.
        OSError: the cluster could not finish; what is in the journals is kept.
    """
    done = images - len(indices)
    rows = [{"index": index} for index in indices]
    for found in map_on_cluster(rows, worker, batch_size=batch_size, actors=actors):
        done += found["images"]
        if progress:
            progress(done, images)
