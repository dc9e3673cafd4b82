"""An auto-annotation function of CVAT's: `cvat-cli task auto-annotate` loads this module and calls `create`.

Source: the interface of cvat_sdk.auto_annotation.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

import numpy as np

from xdecoder.drawing.regions import Region
from xdecoder.images import ImageSource
from xdecoder.jobs.devices import find_device
from xdecoder.labeling.cvat import encode_runs
from xdecoder.labeling.outlines import trace_outline
from xdecoder.predictor.loading import load
from xdecoder.predictor.predictor import Predictor
from xdecoder.structures.masks import mask_box
from xdecoder.vocabularies import Vocabulary, parse_vocabulary

if TYPE_CHECKING:
    from cvat_sdk.auto_annotation import DetectionFunctionContext, DetectionFunctionSpec


def create(
    weights: str | None = None,
    vocabulary: str | None = None,
    things: str | None = None,
    stuff: str | None = None,
    device: str | None = None,
) -> SegmentFunction:
    """The function that CVAT asks; its parameters are those of the command line (`-p NAME=str:VALUE`).

    Args:
        weights: as for `xdecoder.load`.
        vocabulary: the labels, as for `Predictor.segment`; they are matched to the task's by their names.
        things: labels that are things, with commas.
        stuff: labels that are stuff, with commas.
        device: where it runs; by default a GPU, if there is one.

    Raises:
        ImportError: cvat-sdk is not installed.
        ValueError: malformed labels or model.
        FileNotFoundError: there is no such model or file.
    """
    _sdk()
    given = vocabulary is not None or things is not None or stuff is not None
    words = parse_vocabulary(vocabulary, things=things, stuff=stuff) if given else None
    model = load(weights, device=find_device(device))
    return SegmentFunction(model, words or model.default_vocabulary)


@final
class SegmentFunction:
    """Panoptic segmentation as CVAT asks for it.

    Args:
        model: that is asked.
        vocabulary: the labels, numbered by their places.
    """

    def __init__(self, model: Predictor, vocabulary: Vocabulary) -> None:
        self._model = model
        self._vocabulary = vocabulary
        sdk = _sdk()
        labels = [sdk.label_spec(name, place) for place, name in enumerate(vocabulary.classes)]
        self._spec = sdk.DetectionFunctionSpec(labels=labels)

    @property
    def spec(self) -> DetectionFunctionSpec:
        """The labels that it knows."""
        return self._spec

    def detect(self, context: DetectionFunctionContext, image: ImageSource) -> list[Any]:
        """The segments of an image: masks, or polygons where CVAT wants them (holes are filled then).

        Args:
            context: says the least score, and whether polygons are wanted.
            image: the frame.

        Returns:
            `LabeledShapeRequest`s; the parts of a segment have one group.
        """
        found = self._model.segment(image, self._vocabulary, object_threshold=context.conf_threshold)
        shapes: list[Any] = []
        for group, region in enumerate(found.regions(), start=1):
            if context.conv_mask_to_poly:
                shapes += _polygons(region, group)
            else:
                shapes.append(_mask(region))
        return shapes


def _mask(region: Region) -> Any:
    left, top, right, bottom = (int(side) for side in mask_box(region.mask))
    points = [*encode_runs(region.mask), left, top, right - 1, bottom - 1]
    return _sdk().mask(region.category, points)


def _polygons(region: Region, group: int) -> list[Any]:
    parts: Sequence[np.ndarray] = trace_outline(region.mask).parts
    grouped = {"group": group} if len(parts) > 1 else {}
    return [_sdk().polygon(region.category, part.ravel().tolist(), **grouped) for part in parts]


def _sdk() -> Any:
    try:
        return importlib.import_module("cvat_sdk.auto_annotation")
    except ImportError as error:
        raise ImportError("cvat-sdk is not installed; pip install 'xdecoder[cvat]'") from error
