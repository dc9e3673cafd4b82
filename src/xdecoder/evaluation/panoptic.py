"""Panoptic segmentation: a PNG of segment ids for each image and COCO's panoptic JSON, scored by PQ."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import ClassVar, final

import numpy as np
from jaxtyping import Integer

from xdecoder.data.dataset import Skip
from xdecoder.data.records import ImageId, PanopticMap, PanopticSample
from xdecoder.evaluation.protocol import BenchmarkProtocol, Picture, Predictor, Scores
from xdecoder.evaluation.result_files import ID, Entry, Fields, by_id, path_inside, read_list, write_list
from xdecoder.images import read_ids
from xdecoder.metrics.panoptic_quality import PanopticQuality, ScoredSegment
from xdecoder.structures.png import write_png

Map = tuple[Integer[np.ndarray, "H W"], list[ScoredSegment]]
"""ScoredSegment ids, and what they mean."""

_ROW: Fields = {"image_id": ID, "file_name": str, "segments_info": list}
_SEGMENT: Fields = {"id": int, "category_id": int}


@final
class PanopticProtocol(BenchmarkProtocol[PanopticSample]):
    """Panoptic benchmarks."""

    file: ClassVar[str] = "panoptic.json"

    def read(self, sample: PanopticSample) -> Picture:
        image, truth = sample.read()
        return self.picture(image, (s.category for s in truth.segments))

    def predict(self, predictor: Predictor, sample: PanopticSample, picture: Picture) -> Entry:
        benchmark = self.run.benchmark
        result = predictor.segment(
            self.encode(predictor, picture.pixels),
            picture.asked,
            object_threshold=benchmark.object_threshold,
            overlap_threshold=benchmark.overlap_threshold,
        )
        ids = [self.names.id_of(i) for i in picture.places]
        entry, coded = result.to_coco(
            image_id=sample.image_id, category_ids={k: i for k, i in enumerate(ids) if i is not None}
        )
        write_png(self.run.folder / "panoptic" / entry["file_name"], coded)
        return entry

    def write(self, entries: Iterable[Entry], path: Path) -> None:
        categories = [
            {"id": i, "name": name, "isthing": int(k in self.names.truth.things)}
            for k, (i, name) in enumerate(self.names.name_of_id.items())
        ]
        write_list(entries, path, head={"categories": categories}, key="annotations")

    def score(self, path: Path, left_out: Collection[ImageId] = ()) -> Scores:
        names = self.names

        def truth_of(sample: PanopticSample) -> Map:
            panoptic: PanopticMap = sample.panoptic()
            return panoptic.ids, [
                ScoredSegment(id=s.id, category_id=names.ids[s.category], is_crowd=s.crowd)
                for s in panoptic.segments
            ]

        kept = [s for s in self.dataset if s.image_id not in left_out]
        return score_panoptic(
            {s.image_id: lambda s=s: truth_of(s) for s in kept},
            path,
            things={i: k in names.truth.things for k, i in enumerate(names.ids)},
            class_names=names.name_of_id,
        )


def score_panoptic(
    truth: Mapping[ImageId, Callable[[], Map]],
    predictions: Path,
    *,
    things: Mapping[int, bool],
    class_names: Mapping[int, str],
    maps: Path | None = None,
) -> Scores:
    """Score a panoptic result file; images whose truth cannot be read are left out and listed.

    Args:
        truth: image id -> reads its truth.
        predictions: the JSON file.
        things: category id -> whether it is a thing.
        class_names: category id -> name.
        maps: the folder of its PNGs; by default the one beside it.

    Raises:
        ValueError: the file names an image or category that is unknown, or an image twice; a PNG and its
            entry, or a prediction and its truth, do not fit.
        FileNotFoundError: the file or a PNG does not exist.
    """
    rows = by_id(
        read_list(predictions, _ROW, key="annotations", nested={"segments_info": _SEGMENT}),
        predictions,
        truth,
    )
    folder = maps or maps_beside(predictions)
    quality = PanopticQuality(things)
    skipped: list[Skip] = []
    for image_id, load in truth.items():
        try:
            ids, segments = load()
        except (ValueError, FileNotFoundError) as error:
            skipped.append(Skip(item=f"image {image_id}", reason=str(error)))
            continue
        row = rows.get(image_id)
        found = (None, []) if row is None else _read_map(row, folder)
        try:
            quality.update(image_id, ids, segments, *found)
        except ValueError as error:
            raise ValueError(f"{predictions}: {error}") from error
    result = quality.result()
    figures: dict[str, float] = {}
    for ending, part in (("", result.all), ("_th", result.things), ("_st", result.stuff)):
        figures |= {f"PQ{ending}": 100 * part.pq, f"SQ{ending}": 100 * part.sq, f"RQ{ending}": 100 * part.rq}
    return Scores(
        figures=figures,
        images=result.images,
        per_class={class_names[i]: 100 * s.pq for i, s in result.per_category.items()},
        per_class_metric="PQ",
        skipped=tuple(skipped),
        missing=result.without_prediction,
    )


def score_panoptic_files(
    predictions: Path, truth: Path, *, maps: Path | None = None, truth_maps: Path | None = None
) -> Scores:
    """Score a panoptic result file against a truth in the same format; as `score_panoptic`."""
    rows = by_id(read_list(truth, _ROW, key="annotations", nested={"segments_info": _SEGMENT}), truth)
    categories = read_list(truth, {"id": int, "name": str}, key="categories")
    if not rows or not categories:
        raise ValueError(f"{truth}: a truth without annotations or categories; nothing to score against")
    folder = truth_maps or maps_beside(truth)
    return score_panoptic(
        {image_id: lambda row=row: _read_map(row, folder, drop_empty=True) for image_id, row in rows.items()},
        predictions,
        things={c["id"]: bool(c.get("isthing", 1)) for c in categories},
        class_names={c["id"]: c["name"] for c in categories},
        maps=maps,
    )


def maps_beside(path: Path) -> Path:
    """The folder of a panoptic JSON's PNGs: of its name, beside it or, as in COCO, one level up.

    Raises:
        FileNotFoundError: there is neither.
    """
    options = (path.with_suffix(""), path.parent.parent / path.stem)
    for folder in options:
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f"{path}: no folder of PNGs at {options[0]} or {options[1]}; name it with --maps or --truth-maps"
    )


def _read_map(row: Entry, folder: Path, *, drop_empty: bool = False) -> Map:
    ids = read_ids(path_inside(folder, row["file_name"]))
    segments = [
        ScoredSegment(id=s["id"], category_id=s["category_id"], is_crowd=bool(s.get("iscrowd", 0)))
        for s in row["segments_info"]
    ]
    if drop_empty:
        flat = ids.ravel()
        there = {0, *flat[:1].tolist(), *flat[1:][flat[1:] != flat[:-1]].tolist()}
        segments = [s for s in segments if s.id in there]
    return ids, segments
