"""Instance segmentation: COCO's result list, scored by mask and box AP."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, final

from xdecoder.data.dataset import Skip
from xdecoder.data.decoding import read_json
from xdecoder.data.records import ImageId, InstanceSample
from xdecoder.evaluation.protocol import BenchmarkProtocol, Picture, Predictor, Scores
from xdecoder.evaluation.result_files import Entry, read_list, refuse_unknown, write_list
from xdecoder.metrics.average_precision import average_precision
from xdecoder.structures.masks import (
    box_to_xywh,
    decode_rle,
    mask_box,
    read_segmentation,
    rle_area,
    segmentation_rle,
)


@final
class Instance(BenchmarkProtocol[InstanceSample]):
    """Instance benchmarks. `truth.json` beside the result file holds the truth in COCO's format."""

    file: ClassVar[str] = "instances.json"

    def read(self, sample: InstanceSample) -> Picture:
        image, regions = sample.image(), sample.regions()
        for region in regions:
            region.rle(image.shape[0], image.shape[1])  # refuses a mask of another size
        return self.picture(image, (region.category for region in regions))

    def predict(self, predictor: Predictor, sample: InstanceSample, picture: Picture) -> Entry:
        result = predictor.segment(self.encode(predictor, picture.pixels), picture.asked, task="instance")
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
        return {
            "image_id": sample.image_id,
            "size": list(picture.pixels.shape[:2]),
            "detections": found.to_coco(image_id=number, category_ids=ids),
        }

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
        return score_instances(read_list(path, ("image_id", "category_id", "score")), truth, path, skipped)

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
            images.append({"id": number, "file_name": name, "height": height, "width": width})
            for region, mask in zip(regions, masks, strict=True):
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": self.names.ids[region.category],
                        "iscrowd": int(region.crowd),
                        "bbox": box_to_xywh(region.box or mask_box(decode_rle(mask))),
                        "area": rle_area(mask) if region.area is None else region.area,
                        "segmentation": mask,
                    }
                )
        categories = [{"id": i, "name": name} for i, name in self.names.name_of_id.items()]
        return {"images": images, "categories": categories, "annotations": annotations}, tuple(skipped)


def number_of(image_id: ImageId, numbers: Mapping[ImageId, int]) -> int:
    """The number that COCO's format asks for: the id, or a text's place in the data set."""
    return image_id if isinstance(image_id, int) else numbers[image_id]


def score_instances(
    detections: Sequence[Entry], truth: Mapping[str, Any], path: Path, skipped: tuple[Skip, ...] = ()
) -> Scores:
    """Score a COCO result list by mask AP and box AP.

    Args:
        detections: its entries.
        truth: a COCO annotation file's content.
        path: of the results, for messages.
        skipped: images that were left out of the truth.

    Raises:
        ValueError: as `metrics.average_precision`.
    """
    refuse_unknown(
        (d["image_id"] for d in detections), path, frozenset(image["id"] for image in truth["images"])
    )
    if not detections:
        raise ValueError(f"{path}: no detections; a result file with none cannot be scored")
    masks = average_precision(truth, detections, kind="segm")
    figures = {
        "AP": masks.ap,
        "AP50": masks.ap50,
        "AP75": masks.ap75,
        "APs": masks.ap_small,
        "APm": masks.ap_medium,
        "APl": masks.ap_large,
    }
    if all("bbox" in d for d in detections):
        figures["box AP"] = average_precision(truth, detections, kind="bbox").ap
    names = {int(c["id"]): str(c["name"]) for c in truth["categories"]}
    return Scores(
        figures={name: 100 * value for name, value in figures.items()},
        images=masks.images,
        per_class={names[i]: 100 * ap for i, ap in masks.per_category.items()},
        per_class_metric="AP",
        precision_at_50=masks.precision_at_50,
        skipped=skipped,
        missing=masks.without_detection,
    )


def score_instance_files(predictions: Path, truth: Path) -> Scores:
    """Score a COCO result file against a COCO annotation file; as `score_instances`.

    An annotation file may stand for results: its objects, crowds left out, with score 1. Polygons become
    masks.

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: a file is malformed, or they do not fit.
    """
    data = read_json(truth)
    if not isinstance(data, dict) or not isinstance(data.get("images"), list):
        raise ValueError(f'{truth}: not a COCO annotation file; expected an object with "images"')
    content = read_json(predictions)
    rows: list[Entry]
    if isinstance(content, dict) and "annotations" in content:
        listed = read_list(predictions, ("image_id", "category_id", "segmentation"), key="annotations")
        rows = [{"score": 1.0, **row} for row in listed if not row.get("iscrowd", 0)]
    else:
        rows = read_list(predictions, ("image_id", "category_id", "score"))
    sizes: dict[ImageId, tuple[int, int]] = {i["id"]: (i["height"], i["width"]) for i in data["images"]}
    refuse_unknown((row["image_id"] for row in rows), predictions, sizes)
    masks = [_as_mask(row, sizes[row["image_id"]], f"{predictions}, entry {n}") for n, row in enumerate(rows)]
    return score_instances(masks, data, predictions)


def _as_mask(row: Entry, size: tuple[int, int], where: str) -> Entry:
    """A result whose polygons or run lengths, if it has any, have become a mask that was checked.

    Raises:
        ValueError: they are damaged, or of another image's size.
    """
    if row.get("segmentation") is None:
        return row
    try:
        return {**row, "segmentation": segmentation_rle(read_segmentation(row["segmentation"]), *size)}
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
