"""Images labeled on a Ray cluster: actors hold the model and write fragments, as processes do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final, final

from xdecoder.bulk.destination import Destination, begun
from xdecoder.bulk.joining import known_keys
from xdecoder.bulk.labeling import Labeler
from xdecoder.bulk.run import FragmentBuffer, LabelingReport, finish, todo
from xdecoder.bulk.shards import Shard
from xdecoder.bulk.sources import SourceImage
from xdecoder.jobs.cluster import Actors, Row, map_on_cluster
from xdecoder.jobs.progress import ProgressCallback
from xdecoder.predictor.model_source import ModelSource

BATCH_SIZE: Final = {"cuda": 256, "cpu": 32}
"""Images that an actor is given at once, by its device, and writes as a fragment: some seconds of work."""


def label_on_cluster(
    images: Sequence[SourceImage],
    model: ModelSource,
    destination: Destination,
    *,
    actors: Actors,
    column: str = "image",
    retry_failed: bool = False,
    batch_size: int | None = None,
    progress: ProgressCallback | None = None,
) -> LabelingReport:
    """Label images on a Ray cluster; what has rows is passed over.

    Source and destination have to be reachable under one name from all machines.

    Args:
        images: all images of the source.
        model: how the model is loaded.
        destination: where the labels go, and what is asked.
        actors: how many processes hold the model.
        column: of tables, where the images' bytes are.
        retry_failed: do images again that failed before.
        batch_size: images that an actor is given at once, and writes as one fragment; by default as
            `BATCH_SIZE` says for the device.
        progress: told how many images have rows, and how many there are.

    Raises:
        ImportError: Ray is not installed.
        OSError: the cluster could not finish; what was written is whole.
    """
    rest = todo(images, destination.config, known_keys(destination), retry_failed=retry_failed)
    noted = begun(Shard(), len(images))
    destination.note(noted)
    worker = LabelWorker(model=model, address=destination.place.address, column=column)
    labeled = failed = 0
    rows = [asdict(image) for image in rest]
    size = batch_size or BATCH_SIZE.get(model.device, BATCH_SIZE["cpu"])
    for found in map_on_cluster(rows, worker, batch_size=size, actors=actors):
        labeled += found["labeled"]
        failed += found["failed"]
        if progress:
            progress(len(images) - len(rest) + labeled + failed, len(images))
    destination.note(replace(noted, done=True))
    return LabelingReport(
        labeled=labeled, failed=failed, before=len(images) - len(rest), joined=finish(destination)
    )


@final
@dataclass(frozen=True, kw_only=True)
class LabelWorker:
    """Makes what an actor does.

    Attributes:
        model: how the model is loaded.
        address: of the destination.
        column: of tables, where the images' bytes are.
    """

    model: ModelSource
    address: str
    column: str

    def __call__(self) -> ActorLabeler:
        """Load the model.

        Raises:
            ValueError: it is another one here.
        """
        return ActorLabeler(self)


@final
class ActorLabeler:
    """A model in an actor, which labels the images of a block and writes them as a fragment.

    Args:
        worker: what it holds.
    """

    def __init__(self, worker: LabelWorker) -> None:
        self._destination = Destination.open(worker.address)
        self._labeler = Labeler(worker.model.load(), self._destination.config, column=worker.column)

    def __call__(self, rows: list[Row]) -> Row:
        """Label a block's images; how many got labels and how many an error."""
        buffer = FragmentBuffer(self._destination)
        for image, labels in self._labeler.run([SourceImage(**row) for row in rows]):
            buffer.add(image, labels)
        buffer.write()
        return {"labeled": buffer.labeled, "failed": buffer.failed}
