"""Joined labels as COCO's JSON: images, segments as annotations, captions beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from xdecoder.bulk.destination import Destination
from xdecoder.bulk.joining import joined_labels
from xdecoder.jobs.files import whole_file
from xdecoder.structures.masks import box_to_xywh


def write_coco(destination: Destination) -> None:
    """Write "coco.json" (images, and their segments with scores), and "captions.json" if there are captions.

    An image's id is its place, from 1, among the paths in their order; `file_name` is its path. Images that
    failed are left out. Annotations are written as they are read, so that they need not fit in memory.

    Raises:
        OSError: a file cannot be written.
    """
    folder = Path(destination.place.path)
    table = joined_labels(destination)
    good = sorted(
        path
        for batch in table.batches(("path", "error"))
        for path, error in zip(batch["path"].to_pylist(), batch["error"].to_pylist(), strict=True)
        if error is None
    )
    ids = {path: number for number, path in enumerate(good, start=1)}
    verbs = destination.config.verbs
    columns = ["path", "height", "width", "error"]
    columns += [name for verb, name in (("segment", "segments"), ("caption", "caption")) if verb in verbs]

    def rows() -> Iterator[dict[str, Any]]:
        for batch in table.batches(columns):
            yield from (row for row in batch.to_pylist() if row["error"] is None)

    images = [
        {"id": ids[row["path"]], "file_name": row["path"], "height": row["height"], "width": row["width"]}
        for row in rows()
    ]
    images.sort(key=lambda image: image["id"])
    words = destination.config.vocabulary
    if words is not None:
        categories = [
            {"id": i, "name": name, "isthing": int(words.is_thing(i))} for i, name in enumerate(words.classes)
        ]
        with whole_file(folder / "coco.json") as file:
            _write(file, images, (a for row in rows() for a in _segments(row, ids)), categories)
    if "caption" in verbs:
        with whole_file(folder / "captions.json") as file:
            _write(
                file, images, ({"image_id": ids[r["path"]], "caption": r["caption"]} for r in rows()), None
            )


def _segments(row: dict[str, Any], ids: dict[str, int]) -> Iterator[dict[str, Any]]:
    for segment in row["segments"]:
        box = tuple(segment[side] for side in ("left", "top", "right", "bottom"))
        yield {
            "image_id": ids[row["path"]],
            "category_id": segment["category"],
            "score": segment["score"],
            "area": segment["area"],
            "bbox": box_to_xywh(box),
            "segmentation": {"size": [row["height"], row["width"]], "counts": segment["mask"]},
            "iscrowd": 0,
        }


def _write(
    file: IO[bytes],
    images: list[dict[str, Any]],
    annotations: Iterator[dict[str, Any]],
    categories: list[dict[str, Any]] | None,
) -> None:
    head: dict[str, Any] = {"images": images}
    if categories is not None:
        head["categories"] = categories
    file.write(json.dumps(head)[:-1].encode() + b', "annotations": [')
    for number, annotation in enumerate(annotations, start=1):
        file.write((b"" if number == 1 else b",\n") + json.dumps({"id": number, **annotation}).encode())
    file.write(b"]}")
