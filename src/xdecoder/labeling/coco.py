"""COCO's instance format: one JSON file, masks as run lengths or polygons."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from xdecoder.drawing.regions import Region
from xdecoder.labeling.outlines import trace_outline
from xdecoder.labeling.picture import ClassNumbers, LabeledPicture, Shapes, Simplifications
from xdecoder.structures.masks import box_to_xywh, encode_rle, mask_box

IMAGES = "images/train"
"""Where `write` expects the images."""


def write(
    folder: Path,
    pictures: Iterable[LabeledPicture],
    classes: ClassNumbers,
    shapes: Shapes,
    simplified: Simplifications,
) -> None:
    """Write `annotations/instances_train.json`; arguments as in every format's `write`.

    Args:
        folder: that holds `IMAGES`.
        pictures: images with their regions.
        classes: in the order of their numbers, which are COCO's ids from 1; more come with the pictures.
        shapes: how regions are written.
        simplified: where it is counted what the format cannot hold.
    """
    path = folder / "annotations" / "instances_train.json"
    path.parent.mkdir()
    images: list[dict[str, Any]] = []
    count = 0
    with path.open("w", encoding="utf-8") as file:
        file.write('{"annotations": [')
        for picture in pictures:
            height, width = picture.size
            row = {"id": len(images) + 1, "file_name": picture.name, "height": height, "width": width}
            images.append(row)
            for region in picture.regions:
                if not region.mask.any():
                    continue
                count += 1
                annotation = {
                    "id": count,
                    "image_id": len(images),
                    "category_id": classes.place(region.label) + 1,
                    **_annotation(region, shapes, simplified),
                }
                file.write(f"{',' if count > 1 else ''}\n{json.dumps(annotation)}")
        categories = [{"id": i, "name": name} for i, name in enumerate(classes.names, start=1)]
        file.write(f'],\n"images": {json.dumps(images)},\n"categories": {json.dumps(categories)}}}\n')


def _annotation(region: Region, shapes: Shapes, simplified: Simplifications) -> dict[str, Any]:
    if shapes == "masks":
        segmentation: Any = encode_rle(region.mask)
    else:
        outline = trace_outline(region.mask)
        simplified.filled += outline.holes > 0
        segmentation = [ring.ravel().tolist() for ring in outline.parts]
    return {
        "iscrowd": 0,
        **({} if region.score is None else {"score": region.score}),
        "area": int(np.count_nonzero(region.mask)),
        "bbox": box_to_xywh(mask_box(region.mask)),
        "segmentation": segmentation,
    }
