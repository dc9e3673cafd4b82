"""A folder's images into an index: what is new is read, what is gone is taken out."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from xdecoder.jobs.isolation import FailedImage, Pixels, attempt, is_unicode
from xdecoder.jobs.progress import ProgressCallback
from xdecoder.predictor.embedding import RegionEmbeddings
from xdecoder.predictor.predictor import Predictor
from xdecoder.search.config import IndexConfig
from xdecoder.search.folder import Fingerprint, absolute, compare
from xdecoder.search.rows import IndexedImage, IndexedRegion
from xdecoder.search.tables import Tables
from xdecoder.structures import encode_rle

_IMAGES = 256  # written together at the most
_SECONDS = 10.0  # of work that is lost at the most when the process is killed


@dataclass(frozen=True, kw_only=True)
class IndexingReport:
    """What became of a folder.

    Attributes:
        indexed: images that were read, new ones and changed ones.
        unchanged: images that were in the index already.
        removed: images that were in the index and are gone from the folder.
        failures: images that could not be read; what the index had of them is taken out.
    """

    indexed: int
    unchanged: int
    removed: int
    failures: tuple[FailedImage, ...]


def index_folder(
    tables: Tables,
    predictor: Predictor,
    folder: str | os.PathLike[str],
    *,
    progress: ProgressCallback | None = None,
    debug: bool = False,
) -> IndexingReport:
    """Bring what an index holds of a folder up to date.

    Several processes may work on one folder: each takes the images in an order of its own, and passes over
    what another has written.

    Args:
        tables: of the index that takes the images in.
        predictor: the model that made it.
        folder: the folder, with its subfolders.
        progress: called with how many images are done and how many there are to do.
        debug: let the first error through.

    Raises:
        FileNotFoundError: there is no such folder, or no image below it.
        OSError: the index cannot be written; what it holds is whole.
    """
    root = absolute(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {folder} to index")
    known = tables.known(root)
    changes = compare(root, known)
    tables.remove(changes.gone)
    tables.touch(changes.touched)
    todo = list(changes.new)
    random.shuffle(todo)
    buffer = _WriteBuffer(tables)
    failures: list[FailedImage] = []
    for start in range(0, len(todo), predictor.batch_size):
        group = _not_done_elsewhere(tables, todo[start : start + predictor.batch_size])
        for path, result in zip(group, _read(predictor, tables.config, group, debug=debug), strict=True):
            if isinstance(result, Exception):
                failures.append(FailedImage(path=path, error=result))
            else:
                buffer.add(result)
        if progress:
            progress(min(start + predictor.batch_size, len(todo)), len(todo))
    buffer.write()
    tables.remove([str(failure.path) for failure in failures if str(failure.path) in known])
    tables.tidy()
    return IndexingReport(
        indexed=buffer.written,
        unchanged=changes.unchanged + len(changes.touched) + len(todo) - buffer.written - len(failures),
        removed=len(changes.gone),
        failures=tuple(failures),
    )


class _WriteBuffer:
    """Images that wait to be written together."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._waiting: list[IndexedImage] = []
        self._last = time.monotonic()
        self.written = 0

    def add(self, image: IndexedImage) -> None:
        """Write the images if there are many or the first has waited for long."""
        self._waiting.append(image)
        if len(self._waiting) >= _IMAGES or time.monotonic() - self._last >= _SECONDS:
            self.write()

    def write(self) -> None:
        """Write all that wait."""
        if self._waiting:
            self._tables.put(self._waiting)
            self.written += len(self._waiting)
            self._waiting.clear()
        self._last = time.monotonic()


def _not_done_elsewhere(tables: Tables, paths: Sequence[Path]) -> list[Path]:
    """The images that no other process has indexed since the folder was compared."""
    done = tables.known_among([path for path in paths if is_unicode(path)])
    return [path for path in paths if not (str(path) in done and done[str(path)].is_recent(path))]


def _read(
    predictor: Predictor, config: IndexConfig, paths: Sequence[Path], *, debug: bool
) -> list[IndexedImage | Exception]:
    """What the index is to keep of each image, or the error."""
    fingerprints = [_fingerprint(path) for path in paths]  # before the images are read: see `Fingerprint.of`

    def embed(images: list[Pixels]) -> list[tuple[Tensor, RegionEmbeddings]]:
        encoded = predictor.encode(images, short_side=config.short_side)
        segments = predictor.embed_segments(encoded, config.vocabulary)
        return list(zip(predictor.embed_images(encoded).joint, segments, strict=True))

    rows: list[IndexedImage | Exception] = []
    for path, fingerprint, result in zip(
        paths, fingerprints, attempt(paths, embed, debug=debug), strict=True
    ):
        if isinstance(result, Exception):
            rows.append(result)
        elif isinstance(fingerprint, Exception):
            rows.append(fingerprint)
        else:
            rows.append(_indexed(str(path), fingerprint, *result))
    return rows


def _fingerprint(path: Path) -> Fingerprint | OSError:
    try:
        return Fingerprint.of(path)
    except OSError as error:
        return error


def _indexed(path: str, fingerprint: Fingerprint, joint: Tensor, regions: RegionEmbeddings) -> IndexedImage:
    segmentation = regions.segmentation
    vectors = regions.vectors.cpu().numpy()
    return IndexedImage(
        path=path,
        fingerprint=fingerprint,
        size=segmentation.size,
        vector=joint.cpu().numpy(),
        regions=tuple(
            IndexedRegion(segment=segment, mask=encode_rle(segmentation.mask(segment)), vector=vector)
            for segment, vector in zip(segmentation.segments, vectors, strict=True)
        ),
    )
