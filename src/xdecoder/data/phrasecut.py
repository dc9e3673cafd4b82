"""PhraseCut: phrases that mean one or several regions of Visual Genome's images (Wu et al., CVPR 2020)."""

from __future__ import annotations

from typing import Any

from xdecoder.data.dataset import Dataset, ExistingFiles, Skip, group_by
from xdecoder.data.decoding import FileImage, read_json
from xdecoder.data.info import DatasetInfo, DatasetSplit, Origin
from xdecoder.data.problems import Problems, has_fields, is_number, refuse_duplicates, rows_of
from xdecoder.data.records import Annotation, Referent, ReferringSample
from xdecoder.data.selection import Selection
from xdecoder.structures.masks import Polygons

_TASK = {"task_id": str, "image_id": int, "phrase": str, "Polygons": list}
"""What PhraseCut calls a task: a phrase and its region."""


def open_phrasecut(selection: Selection) -> Dataset[ReferringSample]:
    """One split: one sample an image, with all its phrases; a phrase's objects are one region.

    Raises:
        FileNotFoundError: the file, or unless they may be skipped, images are missing.
        ValueError: the file is malformed; all is told.
    """
    path = selection.path("phrasecut/refer_{word}.json|VGPhraseCut_v0/refer_{word}.json")
    rows = rows_of({"tasks": read_json(path)}, "tasks", path, "PhraseCut's list of phrases")
    problems = Problems(path)
    for place, row in enumerate(rows):
        has_fields(row, _TASK, f"entry {place}", problems)
    problems.refuse()
    refuse_duplicates((row["task_id"] for row in rows), what="task", where=path)
    images = selection.path("phrasecut/images|VGPhraseCut_v0/images")
    existing = ExistingFiles(selection.name, selection.missing)
    left_out: list[Skip] = []
    samples: list[ReferringSample] = []
    for own in group_by(rows, lambda row: row["image_id"]).values():
        image_id = own[0]["image_id"]
        source = existing.find(images, f"{image_id}.jpg")
        if not selection.wants(image_id) or not existing.has(source):
            continue
        referents: list[Referent] = []
        for row in own:
            try:
                referents.append(_referent(row))
            except ValueError as error:
                left_out.append(Skip(item=f"task {row['task_id']}", reason=str(error)))
        if referents:
            samples.append(
                ReferringSample(image_id=image_id, source=FileImage(path=source), referents=tuple(referents))
            )
    return Dataset(
        samples,
        name=selection.name,
        task="referring",
        split=selection.split,
        skipped=(*existing.finish(), *left_out),
    )


def _referent(task: dict[str, Any]) -> Referent:
    """A phrase and its region.

    Raises:
        ValueError: the phrase is empty, or the region is none.
    """
    phrase = task["phrase"].strip()
    if not phrase:
        raise ValueError("no phrase")
    return Referent(
        id=task["task_id"],
        phrases=(phrase,),
        region=Annotation(
            id=task["image_id"],
            category=0,
            crowd=False,
            box=None,
            area=None,
            segmentation=_rings(task["Polygons"]),
            outlined=True,
        ),
    )


def _rings(objects: list[Any]) -> Polygons:
    """The polygons of all objects of a phrase, which PhraseCut writes as lists of points.

    Raises:
        ValueError: there is none, or a point is not two finite numbers.
    """
    rings: list[tuple[float, ...]] = []
    for polygon in (polygon for own in objects if isinstance(own, list) for polygon in own):
        points = polygon if isinstance(polygon, list) else [polygon]
        for point in points:
            if not isinstance(point, list) or len(point) != 2 or not all(is_number(v) for v in point):
                raise ValueError(f"a polygon is a list of points [x, y], got {str(polygon)[:60]}")
        if len(points) > 1:
            rings.append(tuple(float(v) for point in points for v in point))
    if not rings:
        raise ValueError("no mask: the phrase has no polygon of two points or more")
    return tuple(rings)


PHRASECUT = DatasetInfo(
    title="PhraseCut: phrases for regions of Visual Genome's images",
    files={
        "referring": (
            "phrasecut/refer_{word}.json|VGPhraseCut_v0/refer_{word}.json",
            "phrasecut/images|VGPhraseCut_v0/images",
        )
    },
    splits={
        "val": DatasetSplit(word="val", images=2971),
        "test": DatasetSplit(word="test", images=2545),
        "train": DatasetSplit(word="train", images=71746),
        "miniv": DatasetSplit(word="miniv", images=100),
    },
    origin=Origin(
        size="0.5 GB and Visual Genome's images (15 GB)",
        source="https://people.cs.umass.edu/~chenyun/phrasecut/",
        license="phrases: the authors' terms; images: Visual Genome's, CC BY 4.0",
    ),
    vocabulary="none (phrases)",
    loader=open_phrasecut,
)
