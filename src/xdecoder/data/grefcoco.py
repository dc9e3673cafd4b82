"""gRefCOCO: phrases that mean one object, several, or none (Liu et al., "GRES", CVPR 2023)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xdecoder.data.coco_file import AnnotationRow, CocoFile, read_annotation, read_coco_file
from xdecoder.data.dataset import Dataset, ExistingFiles, Skip, group_by
from xdecoder.data.decoding import FileImage, read_json
from xdecoder.data.info import DatasetInfo, DatasetSplit, Origin
from xdecoder.data.records import Annotation, Referent, ReferringSample
from xdecoder.data.refer import phrase_of, read_plain_pickle, read_refs, refer_files, train_image
from xdecoder.data.selection import Selection
from xdecoder.structures.masks import Polygons, Rle, encode_rle

_INSTANCES = refer_files("grefcoco", "instances.json")
_REFS = refer_files("grefcoco", "grefs(unc).json", "grefs(unc).p")
_NO_TARGET = [-1]
"""The `ann_id` of a phrase that means nothing in the image."""


def open_grefcoco(selection: Selection) -> Dataset[ReferringSample]:
    """One split: one sample an image. Each phrase is a referent of its own, as it is scored.

    Raises:
        FileNotFoundError: a file, or unless they may be skipped, images are missing.
        ValueError: a file is malformed, or the two do not fit; all is told.
    """
    path = selection.path(_REFS)
    rows = read_json(path) if path.suffix == ".json" else read_plain_pickle(path)
    refs = [row for row in read_refs(rows, path, objects=list) if row["split"] == selection.word]
    file = read_coco_file(selection.path(_INSTANCES))
    known = {row.number: row for row in file.annotations}
    _check(refs, known, file, path)
    existing = ExistingFiles(selection.name, selection.missing)
    left_out: list[Skip] = []
    samples: list[ReferringSample] = []
    for own in group_by(refs, lambda row: row["image_id"]).values():
        image = file.images[own[0]["image_id"]]
        image_id, source = train_image(selection, image.id, file.path)
        if not selection.wants(image_id) or not existing.has(source):
            continue
        referents: list[Referent] = []
        for row in own:
            try:
                referents += _referents(row, known, image.size)
            except ValueError as error:
                left_out.append(Skip(item=f"ref {row['ref_id']}", reason=str(error)))
        if referents:
            samples.append(
                ReferringSample(
                    image_id=image_id,
                    source=FileImage(path=source),
                    size=image.size,
                    referents=tuple(referents),
                )
            )
    return Dataset(
        samples,
        name=selection.name,
        task="referring",
        split=selection.split,
        skipped=(*existing.finish(), *left_out),
    )


def _check(
    refs: Sequence[Mapping[str, Any]], known: Mapping[int, AnnotationRow], file: CocoFile, path: Path
) -> None:
    """Refuse refs to objects or images that the objects' file lacks.

    Raises:
        ValueError: there are such refs, or the file is malformed.
    """
    objects = [i for row in refs if row["ann_id"] != _NO_TARGET for i in row["ann_id"]]
    for what, lacking in (
        ("annotation(s)", [i for i in objects if not isinstance(i, int) or i not in known]),
        ("image(s)", [row["image_id"] for row in refs if row["image_id"] not in file.images]),
    ):
        if lacking:
            file.problems.add(
                f"lacks {what} {lacking[:5]} that {path.name} names; both files must come from the same "
                "download"
            )
    file.problems.refuse()


def _referents(
    ref: Mapping[str, Any], known: Mapping[int, AnnotationRow], size: tuple[int, int] | None
) -> list[Referent]:
    """A ref's phrases, each with all of its objects as one region.

    Raises:
        ValueError: an object has no mask that can be read.
    """
    rows = [] if ref["ann_id"] == _NO_TARGET else [known[i] for i in ref["ann_id"]]
    objects = [
        read_annotation(row.fields, number=row.number, category=0, where=row.where)
        for row in rows
        if not row.fields.get("iscrowd")
    ]
    region = Annotation(
        id=ref["ref_id"],
        category=0,
        crowd=False,
        box=None,
        area=None,
        segmentation=_together(objects, size),
    )
    return [
        Referent(id=f"{ref['ref_id']}_{place}", phrases=(phrase_of(sentence),), region=region)
        for place, sentence in enumerate(ref["sentences"])
        if phrase_of(sentence)
    ]


def _together(objects: Sequence[Annotation], size: tuple[int, int] | None) -> Polygons | Rle:
    """The pixels of any of the objects."""
    rings = [one.segmentation for one in objects if isinstance(one.segmentation, tuple)]
    if len(rings) == len(objects):
        return tuple(ring for own in rings for ring in own)
    if size is None:
        raise ValueError("run lengths of several objects are joined by the image's size, which is missing")
    return encode_rle(np.logical_or.reduce([one.mask(*size) for one in objects]))


GREFCOCO = DatasetInfo(
    title="gRefCOCO: phrases for one object, several, or none",
    files={
        "referring": (
            _INSTANCES,
            _REFS,
            "coco/train2014|coco/train2017",
        )
    },
    splits={name: DatasetSplit(word=name) for name in ("val", "testA", "testB", "train")},
    origin=Origin(
        size="0.2 GB and COCO's train images (13 GB)",
        source="https://github.com/henghuiding/gRefCOCO",
        license="phrases: the authors' terms; images: COCO's",
    ),
    vocabulary="none (phrases)",
    loader=open_grefcoco,
)
