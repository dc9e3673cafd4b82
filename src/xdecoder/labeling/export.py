"""`export`: results become a labeling tool's files, beside copies of the images."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final

from xdecoder.images import IMAGE_SUFFIXES, ImageHeader, read_header
from xdecoder.jobs.files import remove_drafts, whole_folder
from xdecoder.jobs.progress import ProgressCallback
from xdecoder.labeling.picture import ClassNumbers, LabeledPicture, Shapes, Simplifications
from xdecoder.labeling.results import SavedResult, SavedResults
from xdecoder.labeling.table import FORMATS

_SUFFIX = ".jpg"  # of an image whose file is unknown


@final
@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What was written.

    Attributes:
        images: how many have labels.
        copied: how many of them lie beside their labels.
        classes: in the order of their numbers.
        simplified: what the format cannot hold, in words.
        skipped: results that could not be used, and why.
    """

    images: int
    copied: int
    classes: tuple[str, ...]
    simplified: tuple[str, ...]
    skipped: tuple[str, ...]


def check_format(format: str, shapes: Shapes | None) -> Shapes:
    """How regions are written in a format.

    Args:
        format: a name of `FORMATS`.
        shapes: as asked for; None for the format's usual way.

    Raises:
        ValueError: there is no such format, or it has no such shapes.
    """
    if format not in FORMATS:
        raise ValueError(f"no format {format!r}; known are {', '.join(FORMATS)}")
    known = FORMATS[format].shapes
    if shapes is not None and shapes not in known:
        raise ValueError(f"{FORMATS[format].title} have {' and '.join(known)} only, no {shapes}")
    return shapes or known[0]


def export(
    source: Path,
    out: Path,
    *,
    format: str,
    shapes: Shapes | None = None,
    images: bool = True,
    replace: bool = False,
    progress: ProgressCallback | None = None,
) -> ExportReport:
    """Write results in a labeling tool's format; `out` is there whole or not at all.

    Args:
        source: a folder of results, a JSON file of it, or a `.jsonl` file of lines.
        out: the folder to make.
        format: a name of `FORMATS`.
        shapes: "masks" or "polygons"; by default masks where the format has them.
        images: copy the images that results name, if they are there and of the results' size.
        replace: what `out` holds goes; otherwise it has to be empty.
        progress: called with the files read and their number.

    Raises:
        FileNotFoundError: there is no `source`.
        FileExistsError: `out` holds something.
        ValueError: no such format or shapes, or no result that can be used.
    """
    chosen = check_format(format, shapes)
    if not replace and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} is not empty; name another folder")
    results = SavedResults.find(source)
    out.parent.mkdir(parents=True, exist_ok=True)
    remove_drafts(out.parent)
    classes, simplified = ClassNumbers(), Simplifications()
    with whole_folder(out) as draft:
        folder = draft / FORMATS[format].images
        gathered = _Pictures(results, classes, folder if images else None, progress)
        FORMATS[format].write(draft, iter(gathered), classes, chosen, simplified)
        if not gathered.images:
            first = f"; the first: {gathered.skipped[0]}" if gathered.skipped else ""
            raise ValueError(f"{source}: no result of `segment` or `refer` that can be used{first}")
    return ExportReport(
        images=gathered.images,
        copied=gathered.copied,
        classes=tuple(classes.names),
        simplified=tuple(simplified.describe()),
        skipped=tuple(gathered.skipped),
    )


class _Pictures:
    """The pictures of results, one after the other; each one's image is copied as it comes."""

    def __init__(
        self,
        results: SavedResults,
        classes: ClassNumbers,
        folder: Path | None,
        progress: ProgressCallback | None,
    ) -> None:
        self._results = results
        self._classes = classes
        self._folder = folder
        self._progress = progress
        self._taken: set[str] = set()
        self.images = 0
        self.copied = 0
        self.skipped: list[str] = []

    def __iter__(self) -> Iterator[LabeledPicture]:
        for place, saved in enumerate(self._results.read(), start=1):
            if saved is not None:
                try:
                    picture = self._picture(saved)
                except ValueError as error:
                    self.skipped.append(str(error))
                else:
                    self.images += 1
                    yield picture
            if self._progress:
                self._progress(place, max(place, len(self._results.files)))

    def _picture(self, saved: SavedResult) -> LabeledPicture:
        image = saved.image
        try:
            header = read_header(image) if image is not None and image.is_file() else None
        except OSError as error:  # nobody may read it
            raise ValueError(f"{saved.where}: {image}: {error.strerror}") from error
        picture = saved.picture(self._name(saved, header))
        if header is not None and header.upright != picture.size:
            (height, width), (rows, columns) = picture.size, header.upright
            raise ValueError(
                f"{saved.where}: the result is of {width} x {height} pixels, {image} has {columns} x {rows}; "
                "make the result again"
            )
        for name in saved.classes:
            self._classes.place(name)
        if self._folder is not None and header is not None and image is not None:
            target = self._folder / picture.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(image, target)
            self.copied += 1
        return picture

    def _name(self, saved: SavedResult, header: ImageHeader | None) -> str:
        """The name of the image in the export: no two differ in their suffix alone."""
        suffix = saved.image.suffix if saved.image else ""
        if suffix.lower() not in IMAGE_SUFFIXES:
            suffix = f".{header.format.lower()}" if header else ""
            suffix = suffix if suffix in IMAGE_SUFFIXES else _SUFFIX
        stem = saved.name
        if stem.lower().endswith(suffix.lower()):
            stem = f"{stem[: -len(suffix)]}-{suffix[1:]}"
        while stem.casefold() in self._taken:
            stem += "-2"
        self._taken.add(stem.casefold())
        return f"{stem}{suffix}"
