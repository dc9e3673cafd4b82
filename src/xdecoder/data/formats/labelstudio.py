"""Label Studio's JSON export: polygons in percent of the image, and brush strokes in its own run lengths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdecoder.data.dataset import Skip
from xdecoder.data.decoding import read_json
from xdecoder.data.formats.labeled import (
    BOX,
    ImageFinder,
    LabeledFolder,
    LabeledImage,
    ObjectReader,
    classes_of,
    files_in,
    labeled_size,
    ring,
    split_of,
)
from xdecoder.images import MAX_PIXELS
from xdecoder.structures.masks import encode_rle


def detect(folder: Path) -> str | None:
    """The export that is there, in words."""
    found = [path for path in files_in(folder, (".json",)) if _tasks(path)]
    return f"{len(found)} JSON export(s) of tasks with annotations ({found[0].name})" if found else None


def _tasks(path: Path) -> list[Any]:
    try:
        data = read_json(path)
    except ValueError:
        return []
    first = data[0] if isinstance(data, list) and data else None
    return data if isinstance(first, dict) and "data" in first and "annotations" in first else []


def read(folder: Path) -> LabeledFolder:
    """Read polygons and brush strokes of each task's first annotation that was not cancelled.

    Raises:
        ValueError: an image is missing twice over, or a file is damaged.
    """
    finder = ImageFinder(folder)
    images: list[LabeledImage] = []
    skipped: list[Skip] = []
    for path in files_in(folder, (".json",)):
        for place, task in enumerate(_tasks(path)):
            where = f"{path}, task {place}"
            try:
                image, results = _image_and_results(task, finder, path)
                size = labeled_size(image)
            except (ValueError, FileNotFoundError) as error:
                skipped.append(Skip(item=where, reason=f"{where}: {error}"))
                continue
            reader = ObjectReader(where=where, skipped=skipped)
            for number, result in enumerate(results):
                _read_result(result, f"result {number}", size, reader)
            images.append(
                LabeledImage(
                    path=image, split=split_of(image, folder), size=size, objects=tuple(reader.objects)
                )
            )
    return LabeledFolder(
        kind="instances", classes=classes_of(images), images=tuple(images), skipped=tuple(skipped)
    )


def _image_and_results(task: Any, finder: ImageFinder, path: Path) -> tuple[Path, list[Any]]:
    data = task.get("data") if isinstance(task, dict) else None
    if not isinstance(data, dict):
        raise ValueError('it has no "data" with an image')
    names = [v for k, v in data.items() if isinstance(v, str) and (k in ("image", "img") or "/" in v)]
    if not names:
        raise ValueError('its "data" names no image')
    annotations = task.get("annotations")
    done = [
        a
        for a in (annotations if isinstance(annotations, list) else [])
        if isinstance(a, dict) and not a.get("was_cancelled") and isinstance(a.get("result"), list)
    ]
    return finder.find(names[0], path), done[0]["result"] if done else []


def _read_result(result: Any, what: str, size: tuple[int, int], reader: ObjectReader) -> None:
    value = result.get("value") if isinstance(result, dict) else None
    if not isinstance(value, dict):
        reader.leave_out(what, "it has no value")
        return
    kind = str(result.get("type"))
    labels = value.get(kind)
    label = labels[0] if isinstance(labels, list) and labels else None
    height, width = size
    if kind in ("polygonlabels", "polygon"):
        points = ring(value.get("points"))
        if points is None:
            reader.leave_out(what, '"points" is no list of [x, y]')
            return
        scaled = [v * (height if i % 2 else width) / 100 for i, v in enumerate(points)]
        reader.add(label, [scaled], what)
    elif kind in ("brushlabels", "brush"):
        try:
            mask = decode_brush(value.get("rle"), size)
        except ValueError as error:
            reader.leave_out(what, str(error))
            return
        reader.add(label, encode_rle(mask), what)
    elif kind in ("rectanglelabels", "rectangle"):
        reader.leave_out(what, BOX)
    elif kind not in ("choices", "textarea", "labels", "relation", "rating", "taxonomy"):
        reader.leave_out(what, f"{kind[:30]} gives no mask")


def decode_brush(code: Any, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask of brush strokes: RGBA values in the run lengths of rle-pack, of which alpha counts.

    The code is a stream of bits: 32 of the number of values; 5 of a value's bits less 1; four times 4 of the
    bits of a run's length less 1; then runs: 1 bit that says whether all values are one, 2 bits that choose
    among the four, the length less 1, and the value or the values.

    Args:
        code: bytes, as a list of numbers.
        size: the image's height and width.

    Raises:
        ValueError: the code is damaged or of another size.
    """
    if not isinstance(code, list) or not all(type(v) is int and 0 <= v <= 255 for v in code):
        raise ValueError('its "rle" is no list of bytes')
    height, width = size
    bits = np.unpackbits(np.array(code, np.uint8))
    place = 0

    def take(count: int) -> int:
        nonlocal place
        if place + count > bits.size:
            raise ValueError("its brush strokes are cut short")
        value = int("".join(map(str, bits[place : place + count])), 2)
        place += count
        return value

    total, word = take(32), take(5) + 1
    lengths = [take(4) + 1 for _ in range(4)]
    if total != 4 * height * width or total > 4 * MAX_PIXELS:
        raise ValueError(f"its brush strokes have {total} values, not 4 for each of {width}x{height} pixels")
    values = np.zeros(total, np.uint32)
    done = 0
    while done < total:
        same = take(1)
        end = done + take(lengths[take(2)]) + 1
        if end > total:
            raise ValueError("its brush strokes are longer than the image")
        if same:
            values[done:end] = take(word)
        else:
            wanted = word * (end - done)
            if place + wanted > bits.size:
                raise ValueError("its brush strokes are cut short")
            rows = bits[place : place + wanted].reshape(end - done, word)
            values[done:end] = rows @ (1 << np.arange(word - 1, -1, -1))
            place += wanted
        done = end
    return values[3::4].reshape(height, width) > 0
