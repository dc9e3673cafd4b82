"""What people should know of segmented data before a model learns from it: read once, told in lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from xdecoder.data.check import dark_note, decode_sample
from xdecoder.data.classes import RARE, alike, all_things_note, categories_of, is_listed
from xdecoder.data.dataset import Dataset, spread
from xdecoder.data.image_sizes import DatasetImageSizes, image_sizes
from xdecoder.data.opening import dataset_info, open_dataset
from xdecoder.data.records import ImageId, Sample
from xdecoder.data.shared_images import shared_note
from xdecoder.training.datasets.parts import TaskConfig
from xdecoder.vocabularies import normal_name

_MOST: Final = 200
"""Images that are opened; what the annotation file lists is read whole."""

_DECODED: Final = 16
"""Images of which all objects are decoded."""

_NAMES: Final = 8
_SMALL: Final = 0.5
_LARGE: Final = 10
"""Of the size trained: below the one an image is called small, above the other large."""


@final
@dataclass(frozen=True, kw_only=True)
class Survey:
    """What a data set holds.

    Attributes:
        images: that were looked at.
        empty: of these, without an object.
        occurring: class -> images that have it.
        sizes: how large images are.
    """

    images: int
    empty: int
    occurring: Counter[int]
    sizes: DatasetImageSizes


def notes_of(part: TaskConfig, data: Dataset[Sample], root: Path) -> Iterator[str]:
    """Lines on a segmented data set that people should read: what will not be learned, or not well.

    Args:
        part: what is learned.
        data: its samples, which have class names.
        root: the folder that holds the data sets.

    Raises:
        ValueError: no image has an object, or no object looked at has a pixel.
    """
    words = data.vocabulary
    assert words is not None
    found = survey(data)
    if len(words) == 1:
        yield f"one class alone, {words.classes[0]!r}: all else is background"
    if names := alike(words.classes):
        yield f"classes named alike: {_listed(names)}. They read the same to the text encoder: join them"
    if note := all_things_note(part.task, words):
        yield note
    whole = is_listed(data[0]) or len(data) <= _MOST
    if whole and found.images == found.empty > 0:
        raise ValueError(f"{part.dataset}: none of {found.images:,} images has an object: nothing to learn")
    if 2 * found.empty > found.images:
        yield f"{found.empty:,} of {found.images:,} images have no object"
    if never := [name for i, name in enumerate(words.classes) if not found.occurring[i]]:
        seen = "" if whole else f" in the {found.images:,} images looked at"
        yield f"never there{seen}, so not learned: {_listed(never)}"
    if rare := [n for i, n in enumerate(words.classes) if 0 < found.occurring[i] < RARE]:
        yield (
            f"in fewer than {RARE} images: {_listed(rare)}. `--set segments.repeat_threshold=0.1` shows the "
            "images of rare classes more often"
        )
    yield from _size_notes(part, found.sizes)
    yield from _notes_on_decoded(part, data)
    yield from _validation_notes(part, data, root)


def survey(data: Dataset[Sample]) -> Survey:
    """Count classes and sizes; samples that cannot be read are passed over, training tells them.

    Args:
        data: segmented samples; an image that is there several times counts once.
    """
    opened = list(spread(data, _MOST))
    occurring: Counter[int] = Counter()
    images = empty = 0
    for sample in _once(data if is_listed(data[0]) else opened):
        with suppress(ValueError, OSError):
            classes = set(categories_of(sample))
            occurring.update(classes)
            images += 1
            empty += not classes
    return Survey(images=images, empty=empty, occurring=occurring, sizes=image_sizes(data))


def _once(samples: Iterable[Sample]) -> Iterator[Sample]:
    """Each image the first time that it comes."""
    seen: set[ImageId] = set()
    for sample in samples:
        if sample.image_id not in seen:
            seen.add(sample.image_id)
            yield sample


def _notes_on_decoded(part: TaskConfig, data: Dataset[Sample]) -> Iterator[str]:
    """What a few samples show when they are decoded: unreadable and dark images, objects without a pixel.

    Raises:
        ValueError: none of them has.
    """
    empty: list[str] = []
    dark: list[str] = []
    bad: list[str] = []
    objects = 0
    opened = list(_once(spread(data, _DECODED)))
    for sample in opened:
        try:
            found = decode_sample(sample, data.vocabulary)
            objects += len(categories_of(sample))
        except (ValueError, OSError) as error:
            bad.append(str(error))
        else:
            empty += found.empty
            dark += [sample.source.name] if found.dark else []
    if bad:
        yield f"{len(bad)} of {len(opened)} images looked at cannot be read: left out; the first: {bad[0]}"
    if dark:
        yield dark_note(dark, len(opened))
    if not empty:
        return
    told = f"{len(empty)} of {objects} objects looked at have no pixel in their image"
    if len(empty) == objects:
        raise ValueError(
            f"{part.dataset}: {told}, so there is nothing to learn. Coordinates are pixels of the image, "
            f"from its top left; the first: {empty[0]}"
        )
    yield f"{told}, so they are not learned; the first: {empty[0]}"


def _size_notes(part: TaskConfig, sizes: DatasetImageSizes) -> Iterator[str]:
    """Images far smaller or larger than they are trained at, or too large to be read."""
    if small := sizes.smaller_than(_SMALL * part.size):
        yield f"{len(small):,} images are less than half as large as they are trained at: enlarged"
    if large := sizes.larger_than(_LARGE * part.size):
        yield (
            f"{len(large):,} images are more than {_LARGE} times as long as the {part.size} pixels that they "
            "are trained at: most of the time may go into reading them. Smaller copies, of their masks too, "
            f"are read faster. The largest: {large[0]}"
        )
    if sizes.refused:
        yield f"{len(sizes.refused):,} images are too large to be read: left out. {sizes.refused[0]}"


def _validation_notes(part: TaskConfig, data: Dataset[Sample], root: Path) -> Iterator[str]:
    """How the classes of the validation split differ, and which of its images are trained too."""
    if "val" not in dataset_info(part.dataset).splits:
        return
    try:
        held: Dataset[Any] = open_dataset(part.dataset, root, task=part.task, split="val", missing="skip")
    except FileNotFoundError:
        yield "there is no validation split: nothing will tell how well the model reads other images"
        return
    except (ValueError, OSError):
        return
    if refused := image_sizes(held).refused:
        yield f"{len(refused):,} images of the validation split are too large to be read. {refused[0]}"
    if note := shared_note(data, held):
        yield note
    assert data.vocabulary is not None
    assert held.vocabulary is not None
    own, theirs = ({normal_name(n): n for n in v.classes} for v in (data.vocabulary, held.vocabulary))
    if unknown := [theirs[n] for n in theirs if n not in own]:
        yield f"the validation split has classes that are not trained: {_listed(unknown)}"
    if absent := [own[n] for n in own if n not in theirs]:
        yield f"the validation split lacks classes that are trained: {_listed(absent)}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(names[:_NAMES]) + more
