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
from xdecoder.search.folder import Changes, Fingerprint, absolute, compare
from xdecoder.search.rows import IndexedImage, IndexedRegion
from xdecoder.search.tables import Tables
from xdecoder.structures import encode_rle

_IMAGES = 4096  # written together at the most: each write is a version of the table
_SECONDS = 60.0  # of work that is lost at the most when the process is killed


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
    optimize: bool = True,
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
        optimize: join small files and build approximate indexes at the end; of several processes that work on
            one index, one is enough.
        progress: called with how many images are done and how many there are to do.
        debug: let the first error through.

    Raises:
        FileNotFoundError: there is no such folder, or no image below it.
        OSError: the index cannot be written; what it holds is whole.
    """
    changes = begin(tables, folder)
    todo = list(changes.new)
    random.shuffle(todo)
    written, failures = add_images(tables, predictor, todo, progress=progress, debug=debug)
    return finish(tables, changes, written, failures, optimize=optimize)


def begin(tables: Tables, folder: str | os.PathLike[str]) -> Changes:
    """Find out what has changed, and take out what is gone.

    Args:
        tables: the index.
        folder: the folder, with its subfolders.

    Raises:
        FileNotFoundError: there is no such folder, or no image below it.
        OSError: the index cannot be written; what it holds is whole.
    """
    root = absolute(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {folder} to index")
    changes = compare(root, tables.known(root))
    tables.remove(changes.gone)
    tables.touch(changes.touched)
    return changes


def add_images(
    tables: Tables,
    predictor: Predictor,
    paths: Sequence[Path],
    *,
    progress: ProgressCallback | None = None,
    debug: bool = False,
) -> tuple[int, list[FailedImage]]:
    """Index images, but those that another process has indexed meanwhile.

    Args:
        tables: the index.
        predictor: the model that made it.
        paths: the images' files, absolute.
        progress: called with how many images are done and how many there are to do.
        debug: let the first error through.

    Returns:
        How many were written, and which failed.

    Raises:
        OSError: the index cannot be written; what it holds is whole.
    """
    buffer = _WriteBuffer(tables)
    failures: list[FailedImage] = []
    for start in range(0, len(paths), predictor.batch_size):
        group = _not_done_elsewhere(tables, paths[start : start + predictor.batch_size])
        for path, result in zip(group, _read(predictor, tables.config, group, debug=debug), strict=True):
            if isinstance(result, Exception):
                failures.append(FailedImage(path=path, error=result))
            else:
                buffer.add(result)
        if progress:
            progress(min(start + predictor.batch_size, len(paths)), len(paths))
    buffer.write()
    return buffer.written, failures


def finish(
    tables: Tables, changes: Changes, written: int, failures: Sequence[FailedImage], *, optimize: bool
) -> IndexingReport:
    """Take out what could no longer be read, optimize, and say what was done.

    Args:
        tables: the index.
        changes: what was to do.
        written: images that were written.
        failures: images that failed.
        optimize: as for `index_folder`.

    Raises:
        OSError: the index cannot be written; what it holds is whole.
    """
    tables.remove([str(failure.path) for failure in failures if str(failure.path) in changes.known])
    if optimize:
        tables.optimize()
    return IndexingReport(
        indexed=written,
        unchanged=changes.unchanged + len(changes.touched) + len(changes.new) - written - len(failures),
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
        """Write the images if there are many or the last write was long ago."""
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

    def embed(images: list[Pixels]) -> list[tuple[tuple[int, int], Tensor, RegionEmbeddings | None]]:
        encoded = predictor.encode(images, short_side=config.short_side)
        segments = (
            predictor.embed_segments(encoded, config.vocabulary) if config.regions else [None] * len(images)
        )
        sizes = [image.shape[:2] for image in images]
        return list(zip(sizes, predictor.embed_images(encoded).joint, segments, strict=True))

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


def _indexed(
    path: str,
    fingerprint: Fingerprint,
    size: tuple[int, int],
    joint: Tensor,
    regions: RegionEmbeddings | None,
) -> IndexedImage:
    return IndexedImage(
        path=path,
        fingerprint=fingerprint,
        size=size,
        vector=joint.cpu().numpy(),
        regions=() if regions is None else _regions(regions),
    )


def _regions(found: RegionEmbeddings) -> tuple[IndexedRegion, ...]:
    segmentation = found.segmentation
    return tuple(
        IndexedRegion(segment=segment, mask=encode_rle(segmentation.mask(segment)), vector=vector)
        for segment, vector in zip(segmentation.segments, found.vectors.cpu().numpy(), strict=True)
    )
