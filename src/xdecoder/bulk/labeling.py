"""Images to labels: read ahead, encoded once for all that is asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, final

import numpy as np
from torch import Tensor

from xdecoder.bulk.config import LabelingConfig
from xdecoder.bulk.place import is_remote
from xdecoder.bulk.rows import ImageLabels
from xdecoder.bulk.sources import ImageReader, SourceImage
from xdecoder.images import read_image
from xdecoder.jobs.isolation import Pixels, attempt_read, check_name
from xdecoder.predictor.predictor import Predictor
from xdecoder.structures import PanopticSegmentation

_READERS: Final = 8  # threads: an object store answers each in some tens of milliseconds
_AHEAD: Final = 2  # batches that are read while one is worked on


@final
class Labeler:
    """A model that labels images.

    Args:
        predictor: the model.
        config: what it is asked.
        column: of tables, where the images' bytes are.
    """

    def __init__(self, predictor: Predictor, config: LabelingConfig, *, column: str = "image") -> None:
        self._predictor = predictor
        self._making = config
        self._reader = ImageReader(column)

    def run(
        self, images: Sequence[SourceImage], *, debug: bool = False
    ) -> Iterator[tuple[SourceImage, ImageLabels | Exception]]:
        """Label images, a batch at a time.

        An image that cannot be read, or that the model refuses, gives the error.

        Args:
            images: the images.
            debug: let the first error through.

        Raises:
            OSError: the object store of an image cannot be read.
        """
        size = self._predictor.batch_size
        with ThreadPoolExecutor(_READERS) as readers:
            waiting: deque[Future[Pixels | Exception]] = deque()
            rest = iter(images)
            for start in range(0, len(images), size):
                group = images[start : start + size]
                for image in rest:
                    waiting.append(readers.submit(self._read, image, debug=debug))
                    if len(waiting) >= (1 + _AHEAD) * size:
                        break
                try:
                    pixels = [waiting.popleft().result() for _ in group]
                except BaseException:
                    readers.shutdown(cancel_futures=True)
                    raise
                yield from zip(group, attempt_read(pixels, self._label, debug=debug), strict=True)

    def _read(self, image: SourceImage, *, debug: bool) -> Pixels | Exception:
        try:
            check_name(Path(image.path))
            return read_image(self._reader.read(image), name=image.path)
        except (ValueError, FileNotFoundError, MemoryError) as error:
            found: Exception = error
        except OSError as error:
            if is_remote(image.file):  # not the image, but the store
                raise
            found = error
        if debug:
            raise found
        return found

    def _label(self, images: list[Pixels]) -> list[ImageLabels]:
        config, predictor = self._making, self._predictor
        encoded = predictor.encode(images, short_side=config.short_side)
        segments: Sequence[object] = [None] * len(images)
        if "segment" in config.verbs:
            segments = predictor.segment(encoded, config.vocabulary)  # pyright: ignore[reportAssignmentType]
        captions = predictor.caption(encoded) if "caption" in config.verbs else [None] * len(images)
        vectors = predictor.embed_images(encoded) if "embed" in config.verbs else None
        return [
            ImageLabels(
                size=images[i].shape[:2],
                segments=found if isinstance(found, PanopticSegmentation) else None,
                caption=captions[i],
                decoder=None if vectors is None else _halved(vectors.decoder[i]),
                backbone=None if vectors is None else _halved(vectors.backbone[i]),
            )
            for i, found in enumerate(segments)
        ]


def _halved(vector: Tensor) -> np.ndarray:
    return vector.float().cpu().numpy().astype(np.float16)
