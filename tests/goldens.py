"""Reads the golden files: see `tests/goldens/README.md`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from xdecoder.metrics.panoptic_quality import ScoredSegment
from xdecoder.model import ImageFeatures, XDecoder
from xdecoder.tasks.geometry import normalize_images

FOLDER = Path(__file__).parent / "goldens"
TOKEN_TABLE = "sem_seg_head.predictor.lang_encoder.lang_encoder.token_embedding.weight"


@dataclass(frozen=True, kw_only=True)
class Golden:
    """One golden: `weights` in the published format, `io` inputs and outputs, `meta` strings and numbers."""

    name: str
    weights: dict[str, Tensor]
    io: dict[str, Tensor]
    meta: dict[str, Any]
    config_path: Path

    def __getitem__(self, key: str) -> Tensor:
        return self.io[key]


def load_golden(name: str) -> Golden:
    folder = FOLDER / name
    weights = load_file(folder / "weights.safetensors")
    if (folder / "token_table.safetensors").exists():
        table = load_file(folder / "token_table.safetensors")
        ids, rows = table["ids"].long(), table["rows"]
        full = table["rest"].float() if "rest" in table else torch.zeros(49408, rows.shape[1])
        full[ids] = rows
        weights[TOKEN_TABLE] = full
    with np.load(folder / "io.npz", allow_pickle=False) as io:
        tensors = {key: torch.from_numpy(io[key]) for key in io.files}
    return Golden(
        name=name,
        weights=weights,
        io=tensors,
        meta=json.loads((folder / "meta.json").read_text(encoding="utf-8")),
        config_path=folder / "config.yaml",
    )


def assert_close(actual: Tensor, expected: Tensor, tolerance: float = 1e-4) -> None:
    """Within `tolerance` of the expected tensor's largest value."""
    assert actual.shape == expected.shape, f"shape {tuple(actual.shape)}, expected {tuple(expected.shape)}"
    error = (actual.float() - expected.float()).abs().max().item()
    scale = expected.float().abs().max().item()
    assert error <= tolerance * scale, f"error {error:.3g} is over {tolerance:.1g} of {scale:.3g}"


# Stages of a model.


def prepare_images(model: XDecoder, *images: Tensor) -> Tensor:
    """Normalize, and pad to the largest, as the published program batches."""
    prepared = [normalize_images(i, model.config) for i in images]
    height, width = (max(p.shape[d] for p in prepared) for d in (1, 2))
    return torch.stack([F.pad(p, (0, width - p.shape[2], 0, height - p.shape[1])) for p in prepared])


def encode_images(model: XDecoder, *images: Tensor) -> ImageFeatures:
    with torch.no_grad():
        return model.encode_images(prepare_images(model, *images))


# COCO's hundred images, and what damage to their truth costs.

COCO100 = Path(__file__).parents[2] / "shared" / "data" / "coco100"


CAPTION_SCORES = Path(__file__).parent / "goldens" / "metrics" / "caption_scores.json"
PANOPTIC_QUALITY = Path(__file__).parent / "goldens" / "metrics" / "panoptic_quality_coco100.json"


@dataclass(frozen=True)
class Example:
    """Truth and prediction of an image."""

    truth: np.ndarray
    truth_segments: list[ScoredSegment]
    prediction: np.ndarray | None
    predicted_segments: list[ScoredSegment]


def present(ids: np.ndarray, segments: list[ScoredSegment]) -> list[ScoredSegment]:
    return [s for s in segments if (ids == s.id).any()]


def damaged_coco100(step: int = 1) -> tuple[list[Example], dict[int, bool]]:
    """Every image's truth, damaged in one of five ways by its position; one crowd more, one image without."""
    annotation = json.loads((COCO100 / "annotations" / "panoptic_train2017.json").read_text(encoding="utf-8"))
    categories = {c["id"]: bool(c["isthing"]) for c in annotation["categories"]}
    order = sorted(categories)
    damaged: list[Example] = []
    images = sorted(annotation["annotations"], key=lambda a: a["image_id"])
    for index, image in list(enumerate(images))[::step]:
        colors = np.asarray(Image.open(COCO100 / "panoptic_train2017" / image["file_name"]), np.int64)
        truth = colors @ np.array([1, 256, 65536])
        segments = [
            ScoredSegment(
                id=s["id"], category_id=s["category_id"], is_crowd=bool(s["iscrowd"]) or (index, n) == (14, 0)
            )
            for n, s in enumerate(image["segments_info"])
        ]
        predicted = [ScoredSegment(id=s.id, category_id=s.category_id) for s in segments]
        prediction: np.ndarray | None = truth.copy()
        if index % 5 == 0:  # shifted
            prediction = np.zeros_like(truth)
            prediction[11:, 17:] = truth[:-11, :-17]
        elif index % 5 == 1 and len(predicted) > 1:  # two segments merged
            prediction[truth == predicted[1].id] = predicted[0].id
        elif index % 5 == 2:  # the last segment relabeled
            last = predicted[-1]
            other = order[(order.index(last.category_id) + 1) % len(order)]
            predicted[-1] = ScoredSegment(id=last.id, category_id=other)
        elif index % 5 == 3:  # every second segment dropped
            prediction[np.isin(truth, [s.id for s in predicted[::2]])] = 0
        predicted = present(prediction, predicted)
        if index == 9:
            prediction, predicted = None, []
        damaged.append(Example(truth, segments, prediction, predicted))
    return damaged, categories


needs_coco100 = pytest.mark.skipif(not COCO100.is_dir(), reason=f"needs the 100 COCO images at {COCO100}")
