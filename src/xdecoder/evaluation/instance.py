"""Instance segmentation: COCO's result list, scored by mask and box AP."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, final

from pycocotools import mask as coco

from xdecoder.data.coco_file import read_annotation, read_coco_file
from xdecoder.data.dataset import Skip
from xdecoder.data.decoding import read_json
from xdecoder.data.problems import has_fields, is_number
from xdecoder.data.records import ImageId, InstanceSample
from xdecoder.evaluation.protocol import BenchmarkProtocol, Picture, Predictor, Scores
from xdecoder.evaluation.result_files import (
    ID,
    NUMBER,
    Entry,
    Fields,
    read_list,
    refuse_unknown,
    write_list,
)
from xdecoder.metrics.average_precision import AveragePrecisionResult, IouType, average_precision
from xdecoder.metrics.lvis_ap import LvisApResult, lvis_average_precision
from xdecoder.structures.masks import Rle, box_to_xywh, read_segmentation, rle_area, segmentation_rle

Rule = Literal["coco", "lvis"]
"""Whose average precision."""

_OBJECT: Fields = {"image_id": ID, "category_id": int}
_RESULT: Fields = {**_OBJECT, "score": NUMBER}


@final
class InstanceProtocol(BenchmarkProtocol[InstanceSample]):
    """Instance benchmarks. `truth.json` beside the result file holds the truth in COCO's format."""

    file: ClassVar[str] = "instances.json"

    def read(self, sample: InstanceSample) -> Picture:
        image, regions = sample.image(), sample.regions()
        for region in regions:
            region.rle(image.shape[0], image.shape[1])  # refuses a mask of another size
        return self.picture(image, (region.category for region in regions))

    def predict(self, predictor: Predictor, sample: InstanceSample, picture: Picture) -> Entry:
        result = predictor.segment(
            self.encode(predictor, picture.pixels),
            picture.asked,
            task="instance",
            detections=self.run.benchmark.detections,
        )
        ids = {k: i for k, i in enumerate(self.names.id_of(i) for i in picture.places) if i is not None}
        kept = [i for i in result.instances if i.category in ids]
        found = type(result)(
            image=None,
            instances=tuple(kept),
            vocabulary=result.vocabulary,
            height=result.height,
            width=result.width,
        )
        number = number_of(sample.image_id, self._numbers)
        rows = found.to_coco(image_id=number, category_ids=ids)
        for row in rows:
            del row["bbox"]  # pycocotools would take the box's area for the mask's
        return {"image_id": sample.image_id, "size": list(picture.pixels.shape[:2]), "detections": rows}

    def write(self, entries: Iterable[Entry], path: Path) -> None:
        sizes: dict[ImageId, list[int]] = {}

        def detections() -> Iterator[Entry]:
            for entry in entries:
                sizes[entry["image_id"]] = entry["size"]
                yield from entry["detections"]

        write_list(detections(), path)
        truth, _ = self._truth(frozenset(s.image_id for s in self.dataset if s.image_id not in sizes), sizes)
        draft = path.with_name("truth.json")
        parts = {k: v for k, v in truth.items() if k != "annotations"}
        write_list(truth["annotations"], draft, head=parts, key="annotations")

    def score(self, path: Path, left_out: Collection[ImageId] = ()) -> Scores:
        truth, skipped = self._truth(left_out, {})
        rule = "lvis" if self.run.benchmark.ap == "lvis" else "coco"
        return score_instances(read_list(path, _RESULT), truth, path, skipped, rule=rule)

    @cached_property
    def _numbers(self) -> Mapping[ImageId, int]:
        return {s.image_id: number for number, s in enumerate(self.dataset, start=1)}

    def _truth(
        self, left_out: Collection[ImageId], sizes: Mapping[ImageId, Sequence[int]]
    ) -> tuple[dict[str, Any], tuple[Skip, ...]]:
        """The data set as COCO's annotation file."""
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        skipped: list[Skip] = []
        for sample in self.dataset:
            if sample.image_id in left_out:
                continue
            try:
                height, width = sizes.get(sample.image_id) or sample.size or sample.image().shape[:2]
                regions = sample.regions()
                masks = [region.rle(height, width) for region in regions]
            except (ValueError, FileNotFoundError) as error:
                skipped.append(Skip(item=f"image {sample.image_id}", reason=str(error)))
                continue
            number = number_of(sample.image_id, self._numbers)
            name = Path(sample.source.name).name
            image = {"id": number, "file_name": name, "height": height, "width": width}
            if sample.absent is not None:
                image["neg_category_ids"] = [self.names.ids[i] for i in sample.absent]
                image["not_exhaustive_category_ids"] = [self.names.ids[i] for i in sample.incomplete]
            images.append(image)
            for region, mask in zip(regions, masks, strict=True):
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": self.names.ids[region.category],
                        "iscrowd": int(region.crowd),
                        "bbox": box_to_xywh(region.box) if region.box else _box_around(mask),
                        "area": rle_area(mask) if region.area is None else region.area,
                        "segmentation": mask,
                    }
                )
        categories: list[dict[str, Any]] = [
            {"id": i, "name": name} for i, name in self.names.name_of_id.items()
        ]
        for category, frequency in zip(categories, self.dataset.frequencies, strict=False):  # LVIS's alone
            category["frequency"] = frequency
        return {"images": images, "categories": categories, "annotations": annotations}, tuple(skipped)


def number_of(image_id: ImageId, numbers: Mapping[ImageId, int]) -> int:
    """The number that COCO's format asks for: the id, or a text's place in the data set."""
    return image_id if isinstance(image_id, int) else numbers[image_id]


def score_instances(
    rows: Sequence[Entry],
    truth: Mapping[str, Any],
    path: Path,
    skipped: tuple[Skip, ...] = (),
    *,
    rule: Rule = "coco",
) -> Scores:
    """Score a COCO result list by COCO's twelve figures or by LVIS's ten, of masks and of boxes.

    Results without boxes have those around their masks; results without masks have figures of boxes alone.
    A list without results scores 0.

    Args:
        rows: entries of a result file, in COCO's detection format.
        truth: a COCO annotation file's content.
        path: of the results, for messages.
        skipped: images that were left out of the truth.
        rule: whose average precision.

    Raises:
        ValueError: an entry has neither mask nor box, or one that is damaged or of another image's size; or
            as `metrics.average_precision` and `metrics.lvis_ap`.
    """
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    refuse_unknown((row["image_id"] for row in rows), path, sizes)
    found = [_detection(row, sizes[row["image_id"]], f"{path}: entry {n}") for n, row in enumerate(rows)]
    masked = all("segmentation" in row for row in found)
    ids = tuple(sizes)
    truth, found = _with_numbers(truth, found, ids)
    boxes: tuple[IouType, str] = ("bbox", "box ")
    kinds: list[tuple[IouType, str]] = [("segm", ""), boxes] if masked else [boxes]
    figures: dict[str, float] = {}
    results: list[AveragePrecisionResult | LvisApResult] = []
    for kind, prefix in kinds:
        try:
            if rule == "coco":
                result = average_precision(truth, found, kind=kind)
            else:
                result = lvis_average_precision(truth, found, kind=kind)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        results.append(result)
        figures |= {f"{prefix}{name}": 100 * value for name, value in _figures(result).items()}
    best = results[0]
    names = {int(c["id"]): str(c["name"]) for c in truth["categories"]}
    return Scores(
        figures=figures,
        images=best.images,
        per_class={names[i]: 100 * ap for i, ap in best.per_category.items()},
        per_class_metric="AP",
        precision_at_50=best.precision_at_50 if isinstance(best, AveragePrecisionResult) else (),
        skipped=skipped,
        missing=tuple(ids[number] for number in best.without_detection),
    )


def _with_numbers(
    truth: Mapping[str, Any], found: Sequence[Entry], ids: Sequence[ImageId]
) -> tuple[dict[str, Any], list[Entry]]:
    """Truth and results with the images' places for their ids, which may be text."""
    place = {image_id: n for n, image_id in enumerate(ids)}
    images = [{**image, "id": place[image["id"]]} for image in truth["images"]]
    annotations = [{**row, "image_id": place[row["image_id"]]} for row in truth["annotations"]]
    results = [{**row, "image_id": place[row["image_id"]]} for row in found]
    return {**truth, "images": images, "annotations": annotations}, results


def _figures(result: AveragePrecisionResult | LvisApResult) -> dict[str, float]:
    precisions = {
        "AP": result.ap,
        "AP50": result.ap50,
        "AP75": result.ap75,
        "APs": result.ap_small,
        "APm": result.ap_medium,
        "APl": result.ap_large,
    }
    if isinstance(result, LvisApResult):
        return {
            **precisions,
            "APr": result.ap_rare,
            "APc": result.ap_common,
            "APf": result.ap_frequent,
            "AR@300": result.ar300,
        }
    return {
        **precisions,
        "AR@1": result.ar1,
        "AR@10": result.ar10,
        "AR@100": result.ar100,
        "ARs": result.ar_small,
        "ARm": result.ar_medium,
        "ARl": result.ar_large,
    }


def score_instance_files(predictions: Path, truth: Path, *, rule: Rule = "coco") -> Scores:
    """Score a COCO result file against a COCO annotation file; as `score_instances`.

    An annotation file may stand for results: its objects, crowds left out, with score 1.

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: a file is malformed, or they do not fit.
    """
    content: Any = read_json(predictions)
    if isinstance(content, dict) and "annotations" in content:
        listed = read_list(predictions, _OBJECT, key="annotations")
        rows = [{"score": 1.0, **row} for row in listed if not row.get("iscrowd")]
    else:
        rows = read_list(predictions, _RESULT)
    return score_instances(rows, _read_truth(truth), predictions, rule=rule)


def _read_truth(path: Path) -> dict[str, Any]:
    """An annotation file's content, with every mask checked, and with areas and boxes where it has none."""
    file = read_coco_file(path)
    known = {
        row["id"]
        for place, row in enumerate(file.categories)
        if has_fields(row, {"id": int, "name": str}, f"categories[{place}]", file.problems)
    }
    annotations: list[dict[str, Any]] = []
    for row in file.annotations:
        size, category = file.images[row.image_id].size, row.fields.get("category_id")
        if size is None:
            file.problems.add(f"image {row.image_id} has no height and width")
            continue
        if not isinstance(category, int) or category not in known:
            file.problems.add(f"annotation {row.number}: unknown category id {category!r}")
            continue
        try:
            annotation = read_annotation(row.fields, number=row.number, category=category, where=row.where)
            mask = annotation.rle(*size)
        except ValueError as error:
            file.problems.add(str(error).removeprefix(f"{path}, "))
            continue
        annotations.append(
            {
                "image_id": row.image_id,
                "category_id": category,
                "iscrowd": int(annotation.crowd),
                "bbox": box_to_xywh(annotation.box) if annotation.box else _box_around(mask),
                "area": rle_area(mask) if annotation.area is None else annotation.area,
                "segmentation": mask,
            }
        )
    images: list[dict[str, Any]] = []
    for image in file.images.values():
        if image.size is None:
            file.problems.add(f"image {image.id} has no height and width")
        else:
            images.append({**image.fields, "height": image.size[0], "width": image.size[1]})
    file.problems.refuse()
    return {"images": images, "categories": file.categories, "annotations": annotations}


def _detection(row: Entry, size: tuple[int, int], where: str) -> Entry:
    """A result whose mask, if it has one, is in checked run lengths, and whose box is four numbers.

    Raises:
        ValueError: they are damaged, or of another image's size; there is neither.
    """
    found = {name: row[name] for name in ("image_id", "category_id", "score")}
    if row.get("segmentation") is not None:
        try:
            found["segmentation"] = segmentation_rle(read_segmentation(row["segmentation"]), *size)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
    box: Any = row.get("bbox")
    if box is None and "segmentation" not in found:
        raise ValueError(f"{where}: neither a segmentation nor a bbox; give one of them")
    if box is None:
        box = _box_around(found["segmentation"])
    elif not isinstance(box, list) or len(box) != 4 or not all(is_number(v) for v in box):
        raise ValueError(f"{where}: its bbox is {str(box)[:60]}, expected [left, top, width, height]")
    return {**found, "bbox": box}


def _box_around(mask: Rle) -> list[float]:
    packed: Any = mask
    return [float(v) for v in coco.toBbox(packed)]
