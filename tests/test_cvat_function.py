"""The auto-annotation function, asked as CVAT's own driver asks it."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np
import pytest
from cvat_sdk import models
from cvat_sdk.auto_annotation import DetectionFunctionContext
from cvat_sdk.masks import decode_mask
from PIL import Image

from xdecoder.integrations import cvat
from xdecoder.predictor.predictor import Predictor
from xdecoder.structures.masks import decode_rle, segmentation_rle
from xdecoder.vocabularies import parse_vocabulary

WORDS = ["car", "tree", "grass"]


class Context(DetectionFunctionContext):
    def __init__(self, *, threshold: float | None = None, polygons: bool = False) -> None:
        self._threshold, self._polygons = threshold, polygons

    @property
    def frame_name(self) -> str:
        return "0.png"

    @property
    def conf_threshold(self) -> float | None:
        return self._threshold

    @property
    def conv_mask_to_poly(self) -> bool:
        return self._polygons


@pytest.fixture
def function(served_predictor: Predictor) -> cvat.SegmentFunction:
    return cvat.SegmentFunction(served_predictor, parse_vocabulary(WORDS))


@pytest.fixture
def frame(pictures: Any) -> Image.Image:
    return Image.open(pictures / "0.png")


def test_cvat_s_client_makes_it_of_the_module_s_parameters(
    served_folder: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDECODER_CACHE", str(tmp_path))
    module: Any = importlib.import_module("xdecoder.integrations.cvat")
    made = module.create(weights=str(served_folder), vocabulary="car, grass", device="cpu")
    assert [(label.id, label.name) for label in made.spec.labels] == [(0, "car"), (1, "grass")]


def test_segments_become_masks_that_cvat_decodes(
    function: cvat.SegmentFunction, served_predictor: Predictor, frame: Image.Image
) -> None:
    shapes = function.detect(Context(), frame)
    expected = list(served_predictor.segment(frame, WORDS).regions())
    assert shapes
    for shape, region in zip(shapes, expected, strict=True):
        assert isinstance(shape, models.LabeledShapeRequest)
        assert (shape.type.value, shape.frame, shape.label_id) == ("mask", 0, region.category)
        assert np.array_equal(decode_mask(shape.points, image_width=96, image_height=80), region.mask)


def test_polygons_cover_the_segments_where_cvat_wants_them(
    function: cvat.SegmentFunction, served_predictor: Predictor, frame: Image.Image
) -> None:
    shapes = function.detect(Context(polygons=True), frame)
    for region in served_predictor.segment(frame, WORDS).regions():
        own = [s for s in shapes if s.label_id == region.category]
        assert {s.type.value for s in own} == {"polygon"}
        filled = decode_rle(segmentation_rle(tuple(tuple(s.points) for s in own), 80, 96))
        assert filled[region.mask].all()


def test_segments_below_cvat_s_threshold_are_left_out(
    function: cvat.SegmentFunction, served_predictor: Predictor, frame: Image.Image
) -> None:
    scores = sorted(s.score for s in served_predictor.segment(frame, WORDS).segments)
    kept = function.detect(Context(threshold=scores[-1]), frame)
    assert len(kept) < len(scores)
    assert function.detect(Context(threshold=1.0), frame) == []


def test_without_the_sdk_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cvat_sdk.auto_annotation", None)
    with pytest.raises(ImportError, match=r"pip install 'xdecoder\[cvat\]'"):
        cvat.create()
