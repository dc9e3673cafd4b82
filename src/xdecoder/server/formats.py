"""Results as clients expect them: our records, or other services' and labeling tools' shapes."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Literal, cast

import numpy as np

from xdecoder.drawing.regions import Region
from xdecoder.labeling import labelstudio, yolo
from xdecoder.labeling.outlines import trace_outline
from xdecoder.labeling.picture import ClassNumbers, LabeledPicture, Simplifications
from xdecoder.search.found import Found
from xdecoder.server.calls import Embedded
from xdecoder.structures import (
    Answer,
    Caption,
    Grounding,
    PanopticSegmentation,
    SegmentationResult,
    decode_rle,
    mask_box,
)
from xdecoder.structures.png import png_bytes

Format = Literal["native", "coco", "hf", "roboflow", "yolo", "labelstudio"]
Masks = Literal["rle", "png"]
Answers = list[Answer]
Result = SegmentationResult | Caption | Answers | Embedded | Found


def render(result: object, form: Format, *, masks: Masks, image_id: str) -> Any:
    """A result ready for JSON.

    Args:
        result: a verb's.
        form: whose shape it takes.
        masks: in our own shape, as COCO's run lengths or as PNGs of 0 and 255 in base64.
        image_id: what COCO's rows and Label Studio's task call the image.

    Raises:
        ValueError: the format has no shape for such a result.
    """
    match form:
        case "native":
            return _native(result, masks)
        case "coco":
            return _coco(result, image_id)
        case "hf":
            return _hf(result)
        case "roboflow":
            return _roboflow(result)
        case "yolo":
            return _yolo(result)
        case "labelstudio":
            return _labelstudio(result, image_id)


def png_text(picture: np.ndarray) -> str:
    """A picture as a PNG in base64."""
    return base64.b64encode(png_bytes(picture)).decode("ascii")


def _native(result: object, masks: Masks) -> Any:
    if isinstance(result, list):
        return {"kind": "answers", "answers": [answer.to_dict() for answer in cast("Answers", result)]}
    if isinstance(result, Caption):
        return {"kind": "caption", **result.to_dict()}
    if isinstance(result, (SegmentationResult, Embedded)):
        data = result.to_dict()
        return _with_pngs(data) if masks == "png" else data
    raise _shapeless(result, "native")


def _with_pngs(data: Any) -> Any:
    """The data with each run-length code as a PNG."""
    if isinstance(data, list):
        return [_with_pngs(item) for item in cast("list[Any]", data)]
    if not isinstance(data, dict):
        return data
    return {
        key: {"size": value["size"], "png": png_text(decode_rle(value).astype(np.uint8) * 255)}
        if key == "segmentation"
        else _with_pngs(value)
        for key, value in cast("dict[str, Any]", data).items()
    }


def _coco(result: object, image_id: str) -> Any:
    if isinstance(result, Caption):
        return [{"image_id": image_id, "caption": result.text}]
    if isinstance(result, list):
        answers = cast("Answers", result)
        return [{"question_id": i, "answer": answer.text} for i, answer in enumerate(answers)]
    if not isinstance(result, SegmentationResult):
        raise _shapeless(result, "coco")
    height, width = result.size
    data = {
        "images": [{"id": image_id, "height": height, "width": width}],
        "categories": [{"id": i, "name": name} for i, name in enumerate(_classes(result))],
    }
    if isinstance(result, PanopticSegmentation):
        row, coded = result.to_coco(image_id=image_id)
        return {**data, "annotations": [{**row, "png": png_text(coded)}]}
    rows: list[dict[str, Any]] = cast("Any", result).to_coco(image_id=image_id)
    return {**data, "annotations": [{"id": i, **row} for i, row in enumerate(rows, start=1)]}


def _classes(result: SegmentationResult) -> Sequence[str]:
    return result.phrases if isinstance(result, Grounding) else cast("Any", result).vocabulary


def _hf(result: object) -> Any:
    """The outputs of Hugging Face's tasks.

    Segmentation gives image segmentation's, groundings zero-shot object detection's, captions
    image-to-text's, one answered question visual question answering's, and embeddings with texts zero-shot
    image classification's.
    """
    if isinstance(result, Grounding):
        return [
            {"label": p.label, "score": p.score, "box": _corners(p), "mask": _mask_text(p)}
            for p in result.regions()
        ]
    if isinstance(result, SegmentationResult):
        return [{"label": p.label, "score": p.score, "mask": _mask_text(p)} for p in result.regions()]
    if isinstance(result, Caption):
        return [{"generated_text": result.text}]
    if isinstance(result, list):
        answers = cast("Answers", result)
        if len(answers) != 1:
            raise ValueError(f"the format hf answers one question at a time, got {len(answers)}")
        return [{"answer": c.text, "score": c.score} for c in answers[0].candidates]
    if isinstance(result, Embedded) and result.texts:
        logits = np.array(result.logits)
        shares = np.exp(logits - logits.max())
        scored = zip(result.texts, (shares / shares.sum()).tolist(), strict=True)
        return [{"label": t, "score": s} for t, s in sorted(scored, key=lambda pair: -pair[1])]
    raise _shapeless(result, "hf")


def _corners(region: Region) -> dict[str, int]:
    left, top, right, bottom = (round(side) for side in mask_box(region.mask))
    return {"xmin": left, "ymin": top, "xmax": right, "ymax": bottom}


def _mask_text(region: Region) -> str:
    return png_text(region.mask.astype(np.uint8) * 255)


def _roboflow(result: object) -> Any:
    """Roboflow's predictions: boxes by their centers, and the outline of a mask's largest part."""
    if not isinstance(result, SegmentationResult):
        raise _shapeless(result, "roboflow")
    height, width = result.size
    predictions: list[dict[str, Any]] = []
    for region in result.regions():
        parts = trace_outline(region.mask).parts
        if not parts:
            continue
        left, top, right, bottom = mask_box(region.mask)
        predictions.append(
            {
                "x": (left + right) / 2,
                "y": (top + bottom) / 2,
                "width": right - left,
                "height": bottom - top,
                "confidence": 1.0 if region.score is None else region.score,
                "class": region.label,
                "class_id": region.category,
                "points": [{"x": x, "y": y} for x, y in parts[0].tolist()],
            }
        )
    return {"image": {"width": width, "height": height}, "predictions": predictions}


def _yolo(result: object) -> Any:
    """The lines of YOLO's text file, the names that they number, and what polygons could not hold."""
    if not isinstance(result, SegmentationResult):
        raise _shapeless(result, "yolo")
    classes, simplified = ClassNumbers(_classes(result)), Simplifications()
    lines = yolo.lines(_picture(result, ""), classes, simplified)
    return {"names": classes.names, "lines": lines, "notes": simplified.describe()}


def _labelstudio(result: object, image_id: str) -> Any:
    """A task of Label Studio's with brush masks, and the labeling interface that it is made for."""
    if not isinstance(result, SegmentationResult):
        raise _shapeless(result, "labelstudio")
    task = labelstudio.task(
        _picture(result, image_id), address=image_id, shapes="masks", simplified=Simplifications()
    )
    return {"tasks": [task], "label_config": labelstudio.label_config(_classes(result), "masks")}


def _picture(result: SegmentationResult, name: str) -> LabeledPicture:
    return LabeledPicture(name=name, size=result.size, regions=tuple(result.regions()))


def _shapeless(result: object, form: Format) -> ValueError:
    kind = type(result).__name__.lower()
    return ValueError(f"the format {form} has no shape for a result such as {kind}; leave the format out")
