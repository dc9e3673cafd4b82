"""Label Studio's JSON: tasks with predictions, as brush masks, polygons or boxes in percent of the image."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from xml.etree import ElementTree

from xdecoder.drawing.regions import Region
from xdecoder.labeling.brush import encode_brush
from xdecoder.labeling.outlines import to_shares, trace_outline
from xdecoder.labeling.picture import ClassNumbers, LabeledPicture, Shapes, Simplifications
from xdecoder.labeling.text import writable
from xdecoder.structures.masks import mask_box

IMAGES = "images"
"""Where `write` expects the images."""

_CONTROL: Final = "label"
_IMAGE: Final = "image"
_TAGS: Final[dict[Shapes, str]] = {"masks": "BrushLabels", "polygons": "PolygonLabels"}


def task(
    picture: LabeledPicture,
    *,
    address: str,
    shapes: Shapes,
    simplified: Simplifications,
) -> dict[str, Any]:
    """A task whose regions stand in a prediction, for the interface that `label_config` describes.

    Args:
        picture: the image and its regions.
        address: of the image, as Label Studio finds it.
        shapes: "masks" for brush masks, "polygons" for outlines.
        simplified: where it is counted what polygons cannot hold.
    """
    results: list[dict[str, Any]] = []
    for region in picture.regions:
        results += region_results(
            region,
            _TAGS[shapes].lower(),
            control=_CONTROL,
            image=_IMAGE,
            size=picture.size,
            first=len(results),
            simplified=simplified,
        )
    return {
        "data": {_IMAGE: address},
        "predictions": [{"model_version": "xdecoder", "score": mean_score(results), "result": results}],
    }


def region_results(
    region: Region,
    kind: str,
    *,
    control: str,
    image: str,
    size: tuple[int, int],
    first: int,
    simplified: Simplifications,
    label: str | None = None,
) -> list[dict[str, Any]]:
    """A region as a control draws it: one result, or as polygons one for each part.

    Args:
        region: the region; one without a pixel gives nothing.
        kind: of the control: "brushlabels", "polygonlabels" or "rectanglelabels".
        control: its name.
        image: the name of the image that it draws on.
        size: the image's height and width.
        first: the number that the first result is called by.
        simplified: where it is counted what polygons cannot hold.
        label: what the control calls the region; by default its own label.
    """
    height, width = size
    return [
        {
            "id": f"segment-{first + i}",
            "from_name": control,
            "to_name": image,
            "type": kind,
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            **({} if region.score is None else {"score": region.score}),
            "value": {**value, kind: [region.label if label is None else label]},
        }
        for i, value in enumerate(_values(region, kind, size, simplified) if region.mask.any() else [])
    ]


def _values(
    region: Region, kind: str, size: tuple[int, int], simplified: Simplifications
) -> list[dict[str, Any]]:
    if kind == "brushlabels":
        return [{"format": "rle", "rle": encode_brush(region.mask)}]
    if kind == "polygonlabels":
        outline = trace_outline(region.mask)
        simplified.filled += outline.holes > 0
        simplified.split += len(outline.parts) > 1
        return [{"points": to_shares(ring, size, whole=100), "closed": True} for ring in outline.parts]
    height, width = size
    left, top, right, bottom = mask_box(region.mask)
    return [
        {
            "x": 100 * left / width,
            "y": 100 * top / height,
            "width": 100 * (right - left) / width,
            "height": 100 * (bottom - top) / height,
            "rotation": 0,
        }
    ]


def mean_score(results: list[dict[str, Any]]) -> float:
    """The score of a prediction: the mean of its regions that have one; 0 where none has."""
    scores = [result["score"] for result in results if "score" in result]
    return sum(scores) / len(scores) if scores else 0.0


def label_config(classes: Iterable[str], shapes: Shapes) -> str:
    """The labeling interface that `task` is made for, as XML."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", name=_IMAGE, value=f"${_IMAGE}", zoom="true")
    labels = ElementTree.SubElement(view, _TAGS[shapes], name=_CONTROL, toName=_IMAGE)
    for name in classes:
        ElementTree.SubElement(labels, "Label", value=writable(name))
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def write(
    folder: Path,
    pictures: Iterable[LabeledPicture],
    classes: ClassNumbers,
    shapes: Shapes,
    simplified: Simplifications,
) -> None:
    """Write `tasks.json` and `label_config.xml`.

    The images' addresses are those of Label Studio's local files with this folder as their root.

    Args:
        folder: that holds `IMAGES`.
        pictures: images with their regions.
        classes: that the interface lists; more come with the pictures.
        shapes: how regions are written.
        simplified: where it is counted what the format cannot hold.
    """
    with (folder / "tasks.json").open("w", encoding="utf-8") as file:
        for place, picture in enumerate(pictures):
            address = f"/data/local-files/?d={quote(f'{IMAGES}/{picture.name}')}"
            for region in picture.regions:
                classes.place(region.label)
            told = task(picture, address=address, shapes=shapes, simplified=simplified)
            file.write(f"{',' if place else '['}\n{json.dumps(told)}")
        file.write("\n]\n")
    (folder / "label_config.xml").write_text(label_config(classes.names, shapes), encoding="utf-8")
