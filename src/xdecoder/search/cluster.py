"""A folder indexed on a Ray cluster: actors hold the model and write to one index, as processes do."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from xdecoder.jobs.cluster import Actors, Row, map_on_cluster
from xdecoder.jobs.isolation import FailedImage
from xdecoder.jobs.progress import ProgressCallback
from xdecoder.predictor.model_source import ModelSource
from xdecoder.search.indexing import IndexingReport, add_images, begin, finish
from xdecoder.search.tables import Tables

BATCH_SIZE: Final = 4096
"""Images that an actor is given at once, and writes together: each write is a version of the table."""


def index_on_cluster(
    tables: Tables,
    model: ModelSource,
    folder: str | os.PathLike[str],
    *,
    actors: Actors,
    optimize: bool = True,
    batch_size: int = BATCH_SIZE,
    progress: ProgressCallback | None = None,
) -> IndexingReport:
    """Bring what an index holds of a folder up to date, on a Ray cluster.

    Index and folder have to be reachable under one name from all machines.

    Args:
        tables: the index.
        model: how the model that made it is loaded.
        folder: the folder, with its subfolders.
        actors: how many processes hold the model.
        optimize: as for `index_folder`; this process does it.
        batch_size: images that an actor is given at once.
        progress: called with how many images are done and how many there are to do.

    Raises:
        FileNotFoundError: there is no such folder, or no image below it.
        ImportError: Ray is not installed.
        OSError: the cluster could not finish, or the index cannot be written; what it holds is whole.
    """
    changes = begin(tables, folder)
    worker = IndexWorker(model=model, place=tables.place)
    written = done = 0
    failures: list[FailedImage] = []
    rows = [{"path": str(path)} for path in changes.new]
    for found in map_on_cluster(rows, worker, batch_size=batch_size, actors=actors):
        written += found["written"]
        done += found["images"]
        failures += [FailedImage(path=Path(p), error=OSError(why)) for p, why in found["failures"]]
        if progress:
            progress(done, len(rows))
    return finish(tables, changes, written, failures, optimize=optimize)


@final
@dataclass(frozen=True, kw_only=True)
class IndexWorker:
    """Makes what an actor does.

    Attributes:
        model: how the model is loaded.
        place: where the index is.
    """

    model: ModelSource
    place: str

    def __call__(self) -> ActorIndexer:
        """Load the model, and open the index.

        Raises:
            ValueError: the model is another one here.
        """
        return ActorIndexer(self)


@final
class ActorIndexer:
    """A model in an actor, which indexes the images of a block.

    Args:
        worker: what it holds.
    """

    def __init__(self, worker: IndexWorker) -> None:
        self._tables = Tables.open(worker.place)
        self._predictor = worker.model.load()

    def __call__(self, rows: list[Row]) -> Row:
        """Index a block's images; how many were written, and which failed."""
        written, failures = add_images(self._tables, self._predictor, [Path(row["path"]) for row in rows])
        return {
            "images": len(rows),
            "written": written,
            "failures": [(str(failure.path), str(failure.error)) for failure in failures],
        }
