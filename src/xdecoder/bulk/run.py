"""Images labeled into a folder of tables, by any number of processes, and what that costs told beforehand."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, final

from xdecoder.bulk.coco import write_coco
from xdecoder.bulk.config import LabelingConfig
from xdecoder.bulk.destination import Destination, begun, parquet_bytes
from xdecoder.bulk.joining import KnownKeys, join, known_keys
from xdecoder.bulk.labeling import Labeler
from xdecoder.bulk.rows import ImageLabels, key_of, row_of, schema_of, table_of
from xdecoder.bulk.shards import Shard
from xdecoder.bulk.sources import SourceImage
from xdecoder.jobs.progress import ProgressCallback
from xdecoder.predictor.predictor import Predictor

FRAGMENT_ROWS: Final = 4096
"""Images that a process writes together at the most."""

FRAGMENT_SECONDS: Final = 60.0
"""Of work that is lost at the most when a process is killed."""


@dataclass(frozen=True, kw_only=True)
class LabelingReport:
    """What became of a process's images.

    Attributes:
        labeled: images that got labels.
        failed: images that got an error.
        before: images that had rows already.
        joined: images in the joined table; None where other processes still work.
    """

    labeled: int
    failed: int
    before: int
    joined: int | None


@dataclass(frozen=True, kw_only=True)
class CostEstimate:
    """What labeling costs, from a sample.

    Attributes:
        images: how many there are to do.
        sampled: how many were measured.
        failed: how many of those could not be labeled.
        seconds: that a process takes for an image, reading included.
        bytes: that an image's row takes in a Parquet file.
    """

    images: int
    sampled: int
    failed: int
    seconds: float
    bytes: float

    def hours(self, processes: int = 1) -> float:
        """That all images take, shared out evenly."""
        return self.images * self.seconds / processes / 3600


def todo(
    images: Sequence[SourceImage], config: LabelingConfig, known: KnownKeys, *, retry_failed: bool = False
) -> list[SourceImage]:
    """The images that have no rows yet.

    Args:
        images: the images.
        config: what they are labeled with.
        known: what has rows.
        retry_failed: images that failed are to be done again.
    """
    rest: list[SourceImage] = []
    for image in images:
        key = key_of(image, config)
        if key not in known.labeled and (retry_failed or key not in known.failed):
            rest.append(image)
    return rest


def label(
    images: Sequence[SourceImage],
    predictor: Predictor,
    destination: Destination,
    *,
    shard: Shard | None = None,
    column: str = "image",
    retry_failed: bool = False,
    progress: ProgressCallback | None = None,
    debug: bool = False,
) -> LabelingReport:
    """Label this process's part of a source.

    What has rows is passed over, whichever process wrote them. The process that is last joins the fragments.

    Args:
        images: the images of the part, see `sources.find_source`.
        predictor: the model.
        destination: where the labels go, and what is asked.
        shard: the part.
        column: of tables, where the images' bytes are.
        retry_failed: do images again that failed before.
        progress: told how many images have rows, and how many there are.
        debug: let the first error through.

    Raises:
        ValueError: the model is another than the destination's, or a file there is damaged.
        OSError: the source or the destination cannot be reached, or is full; what was written is whole.
    """
    own, config = shard or Shard(), destination.config
    if predictor.digest() != config.model:
        raise ValueError(f"{destination.place.address} is labeled by {config.weights}, another model")
    rest = todo(images, config, known_keys(destination), retry_failed=retry_failed)
    noted = begun(own, len(images))
    destination.note(noted)
    labeler = Labeler(predictor, config, column=column)
    buffer = FragmentBuffer(destination)
    try:
        for done, (image, labels) in enumerate(labeler.run(rest, debug=debug), start=1):
            buffer.add(image, labels)
            if progress:
                progress(len(images) - len(rest) + done, len(images))
    finally:
        buffer.write()
    destination.note(replace(noted, done=True))
    return LabelingReport(
        labeled=buffer.labeled,
        failed=buffer.failed,
        before=len(images) - len(rest),
        joined=finish(destination) if destination.all_done() else None,
    )


def finish(destination: Destination) -> int:
    """Join the fragments, and write COCO's JSON where it is wanted; how many images there are.

    Raises:
        ValueError: a file is damaged, or made otherwise.
        OSError: the destination cannot be read or written; nothing is lost.
    """
    count = join(destination)
    if destination.format == "coco":
        write_coco(destination)
    return count


def estimate(
    images: Sequence[SourceImage],
    predictor: Predictor,
    config: LabelingConfig,
    *,
    sample: int = 16,
    column: str = "image",
    debug: bool = False,
) -> CostEstimate:
    """Measure what labeling costs on a sample, and write nothing.

    The sample is drawn by the images' paths; its first image, which warms the model up, is not measured where
    there are others.

    Args:
        images: the images to do; at least one.
        predictor: the model.
        config: what is asked.
        sample: how many images are measured at the most.
        column: of tables, where the images' bytes are.
        debug: let the first error through.

    Raises:
        OSError: the source cannot be reached.
    """
    drawn = sorted(
        images, key=lambda image: hashlib.blake2b(repr(image.path).encode(), digest_size=8).digest()
    )
    drawn = drawn[: sample + 1]
    labeler = Labeler(predictor, config, column=column)
    if len(drawn) > 1:
        list(labeler.run([drawn.pop()], debug=debug))
    start = time.perf_counter()
    rows = [row_of(image, labels, config) for image, labels in labeler.run(drawn, debug=debug)]
    seconds = time.perf_counter() - start
    schema = schema_of(config)
    empty = len(parquet_bytes(table_of([], schema)))
    return CostEstimate(
        images=len(images),
        sampled=len(drawn),
        failed=sum("error" in row for row in rows),
        seconds=seconds / len(drawn),
        bytes=(len(parquet_bytes(table_of(rows, schema))) - empty) / len(drawn),
    )


@final
class FragmentBuffer:
    """Rows that wait to be written together.

    Args:
        destination: where they go.

    Attributes:
        labeled: rows with labels that were added.
        failed: rows with an error that were added.
    """

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._rows: list[dict[str, Any]] = []
        self._last = time.monotonic()
        self.labeled = 0
        self.failed = 0

    def add(self, image: SourceImage, labels: ImageLabels | Exception) -> None:
        """Add an image's row, and write all if they are many or the last write was long ago."""
        self._rows.append(row_of(image, labels, self._destination.config))
        self.failed += isinstance(labels, Exception)
        self.labeled += not isinstance(labels, Exception)
        if len(self._rows) >= FRAGMENT_ROWS or time.monotonic() - self._last >= FRAGMENT_SECONDS:
            self.write()

    def write(self) -> None:
        """Write all that wait.

        Raises:
            OSError: they cannot be written.
        """
        if self._rows:
            self._destination.add(table_of(self._rows, self._destination.schema))
            self._rows.clear()
        self._last = time.monotonic()
