"""`check`: what of a data set is on disk, what is missing, and whether samples open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from xdecoder.data.classes import ClassCount, alike, all_things_note, count_classes, is_listed
from xdecoder.data.custom import CUSTOM
from xdecoder.data.dataset import Dataset, Skip, spread
from xdecoder.data.decoding import FileImage
from xdecoder.data.image_sizes import DatasetImageSizes, image_sizes
from xdecoder.data.opening import dataset_info, open_dataset, select
from xdecoder.data.problems import MalformedError
from xdecoder.data.records import (
    InstanceSample,
    PanopticSample,
    ReferringSample,
    Sample,
    SemanticSample,
    Task,
)
from xdecoder.data.samples_sheet import draw_sheet
from xdecoder.data.shared_images import shared_note
from xdecoder.jobs.progress import ProgressCallback
from xdecoder.structures.masks import rle_area
from xdecoder.structures.png import write_png
from xdecoder.vocabularies import Vocabulary

LARGE: Final = 2560
"""Longer side above which `check` calls an image large."""

_DARK: Final = 64
_COUNTED: Final = 200
"""Label maps that are read to count classes, at the least."""


@final
@dataclass(frozen=True, kw_only=True)
class RequiredPath:
    """One path that a data set needs: the pattern with its alternatives, and what was found of them."""

    wanted: str
    found: str | None


@final
@dataclass(frozen=True, kw_only=True)
class TaskCheck:
    """What came of opening one task of one split.

    Attributes:
        samples: how many there are; 0 if it did not open.
        expected: how many the table says; 0 for no expectation.
        opened: how many samples were decoded without a problem.
        skipped: what the loader left out.
        problems: what is wrong, one sentence each.
        notes: what is worth knowing and no fault.
        classes: how often each class occurs.
        counted: in how many samples that was counted: all where the annotation file lists their classes.
    """

    task: Task
    split: str
    samples: int
    expected: int
    opened: int
    skipped: tuple[Skip, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()
    classes: tuple[ClassCount, ...] = ()
    counted: int = 0


@final
@dataclass(frozen=True, kw_only=True)
class DatasetReport:
    """What `check_dataset` found."""

    name: str
    root: str
    entries: tuple[RequiredPath, ...]
    tasks: tuple[TaskCheck, ...]

    @property
    def ok(self) -> bool:
        """Whether every path is there and every task opened without a problem or a skip."""
        return all(e.found for e in self.entries) and all(
            not t.problems and not t.skipped for t in self.tasks
        )


def check_dataset(
    name: str,
    root: Path | str,
    *,
    task: Task | None = None,
    split: str | None = None,
    opened: int | None = 16,
    picture: Path | None = None,
    progress: ProgressCallback | None = None,
) -> DatasetReport:
    """Look for a data set's files, open it, decode samples spread over it and draw four.

    Args:
        name: a row of the table.
        root: the folder that holds the data set's folders.
        task: looked at alone; None for every task of the data set.
        split: one split; otherwise the row's first.
        opened: samples to decode for each task; None for all.
        picture: where to draw four samples of the first task that opens.
        progress: called with how many tasks are checked, and of how many.

    Raises:
        ValueError: there is no such data set, task or split.
    """
    info = dataset_info(name)
    asked = select(name, root, task=task, split=split)
    tasks = (task,) if task else info.tasks
    patterns = dict.fromkeys(p for t in tasks for p in info.files[t])
    entries = tuple(_entry(asked.root, asked.options(p)) for p in patterns)
    checks: list[TaskCheck] = []
    drawn = False
    for done, each in enumerate(tasks):
        if progress:
            progress(done, len(tasks))
        try:
            data = open_dataset(name, root, task=each, split=asked.split, missing="skip")
        except (ValueError, OSError) as error:
            problems = error.problems if isinstance(error, MalformedError) else (str(error),)
            checks.append(_check(each, asked.split, info.splits[asked.split].images, problems))
            continue
        most = len(data) if opened is None else opened
        decoded, problems = _decode(data, most)
        good = [sample for sample, _ in decoded]
        counted = data if is_listed(data[0]) else list(spread(data, max(_COUNTED, most)))
        sizes = image_sizes(data)
        problems += [line for line in sizes.refused if line not in problems]
        expected = info.splits[asked.split].images
        if expected and len(data) != expected:
            problems.append(f"{len(data)} images, the table says {expected}")
        if picture and not drawn and len(good) > 0:
            write_png(picture, draw_sheet(list(spread(good, 4)), data.vocabulary))
            drawn = True
        told = any(check.samples for check in checks)
        shared = () if told else tuple(_shared_notes(data, name, root, each))
        checks.append(
            TaskCheck(
                task=each,
                split=asked.split,
                samples=len(data),
                expected=expected,
                opened=len(good),
                skipped=data.skipped,
                problems=tuple(problems),
                notes=(*_notes(data, decoded, sizes), *shared),
                classes=count_classes(data.vocabulary, counted) if data.vocabulary else (),
                counted=len(counted),
            )
        )
    return DatasetReport(name=name, root=str(asked.root), entries=entries, tasks=tuple(checks))


def expected_tree(report: DatasetReport) -> str:
    """The layout as an indented tree, each entry marked as there ("+") or missing ("-")."""
    lines = [report.root]
    shown: set[tuple[str, ...]] = set()
    for entry in sorted(report.entries, key=lambda e: e.found or e.wanted):
        first, *others = entry.wanted.split("|")
        path = Path(entry.found or first)
        for depth, part in enumerate(path.parts[:-1]):
            if path.parts[: depth + 1] not in shown:
                shown.add(path.parts[: depth + 1])
                lines.append(f"{'    ' * (depth + 1)}{part}/")
        indent = "    " * len(path.parts)
        choice = f"   or {', '.join(others)}" if others and not entry.found else ""
        mark = "+" if entry.found else "-"
        lines.append(f"{mark}{indent[1:]}{path.name}{'' if path.suffix else '/'}{choice}")
    return "\n".join(lines)


def _entry(root: Path, options: tuple[str, ...]) -> RequiredPath:
    return RequiredPath(
        wanted="|".join(options), found=next((p for p in options if (root / p).exists()), None)
    )


def _check(task: Task, split: str, expected: int, problems: tuple[str, ...]) -> TaskCheck:
    return TaskCheck(
        task=task, split=split, samples=0, expected=expected, opened=0, skipped=(), problems=problems
    )


def _notes(
    data: Dataset[Any], decoded: Sequence[tuple[Sample, Decoded]], sizes: DatasetImageSizes
) -> Iterator[str]:
    if data.vocabulary and (names := alike(data.vocabulary.classes)):
        yield f"classes named alike: {', '.join(names[:5])}"
    if data.vocabulary and (note := all_things_note(data.task, data.vocabulary)):
        yield note
    empty = [called for _, found in decoded for called in found.empty]
    if empty:
        yield (
            f"{len(empty)} objects have no pixel in their image: nothing is learned of them, and no result "
            f"can match them. Coordinates are pixels of the image, from its top left; the first: {empty[0]}"
        )
    if large := sizes.larger_than(LARGE):
        yield (
            f"{len(large):,} images are longer than {LARGE:,} pixels: training shrinks them to a fraction of "
            "that, and may spend most of its time reading them. Smaller copies, of their masks too, are read "
            f"faster. The largest: {large[0]}"
        )
    if dark := [s.source.name for s, found in decoded if found.dark]:
        yield dark_note(dark, len(decoded))
    turned = [s.source.name for s, _ in decoded if isinstance(s.source, FileImage) and _is_turned(s)]
    if turned:
        yield (
            f"{len(turned)} of {len(decoded)} images are turned by their EXIF tag, and their size does not "
            f"say whether the annotations were made before or after: read upright, as viewers show them; "
            f"look at the picture. The first: {turned[0]}"
        )


def _shared_notes(data: Dataset[Any], name: str, root: Path | str, task: Task) -> Iterator[str]:
    """Images of one's own data that are both trained and held out."""
    for other in CUSTOM[name].splits if name in CUSTOM else ():
        if (other == "train") == (data.split == "train"):
            continue
        with suppress(FileNotFoundError, ValueError):  # there is no such split, or it is malformed
            beside = open_dataset(name, root, task=task, split=other, missing="skip")
            trained, held = (beside, data) if other == "train" else (data, beside)
            if note := shared_note(trained, held):
                yield note


def _is_turned(sample: Sample) -> bool:
    """Whether EXIF turns an image in a way that its size does not tell."""
    header = sample.source.header()
    return header.orientation != 1 and header.upright == (header.height, header.width)


def _decode(data: Dataset[Any], opened: int) -> tuple[list[tuple[Sample, Decoded]], list[str]]:
    """The samples that can be decoded, and what is wrong with the others."""
    good: list[tuple[Sample, Decoded]] = []
    problems: list[str] = []
    for sample in spread(data, opened):
        try:
            good.append((sample, decode_sample(sample, data.vocabulary)))
        except (ValueError, OSError) as error:
            problems.append(_at(error, sample))
    return good, problems


def _at(error: Exception, sample: Sample) -> str:
    text = str(error)
    return text if sample.source.name in text else f"{sample.source.name}: {text}"


@final
@dataclass(frozen=True, kw_only=True)
class Decoded:
    """What is worth knowing of a sample, of which all could be decoded.

    Attributes:
        empty: its objects without a pixel: outlined beside the image, in other units, or painted over.
        dark: whether no value of the image is above 64 of 255.
    """

    empty: tuple[str, ...]
    dark: bool


def dark_note(dark: Sequence[str], opened: int) -> str:
    """A line on dark images, of so many that were opened."""
    return (
        f"{len(dark)} of {opened} images are dark, without a value above {_DARK} of 255: files of 10, 12 or "
        f"14 bits in 16 are to be stretched to 16. The first: {dark[0]}"
    )


def decode_sample(sample: Sample, vocabulary: Vocabulary | None) -> Decoded:
    """Decode all that a sample names.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is unreadable, sizes differ, or a category is outside the vocabulary.
    """
    image = sample.image()
    height, width = image.shape[:2]
    categories: set[int] = set()
    empty: list[str] = []
    match sample:
        case SemanticSample():
            categories = {int(i) for i in set(sample.read()[1].ravel().tolist()) if i >= 0}
        case PanopticSample():
            panoptic = sample.read()[1]
            categories = {s.category for s in panoptic.segments}
            empty = [f"segment {i}" for i in panoptic.covered]
        case InstanceSample():
            regions = sample.regions()
            empty = [f"annotation {r.id}" for r in regions if not rle_area(r.rle(height, width))]
            categories = {r.category for r in regions}
        case ReferringSample():
            for referent in sample.referents:
                referent.region.rle(height, width)
        case _:
            pass
    if vocabulary and any(not 0 <= c < len(vocabulary) for c in categories):
        raise ValueError(f"{sample.source.name}: categories {categories} outside {len(vocabulary)} classes")
    return Decoded(
        empty=tuple(f"{sample.source.name}, {called}" for called in empty), dark=int(image.max()) <= _DARK
    )
