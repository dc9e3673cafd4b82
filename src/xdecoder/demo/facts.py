"""Which model is shown, and what it is known to reach."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from xdecoder.jobs.files import read_file
from xdecoder.predictor.predictor import Predictor
from xdecoder.weights.sources import resolve_model

SCORES = "scores.json"
"""In a model folder: `{"scenes": 1000, "scores": {"pq": 0.85, ...}}`, measured on the held-out split."""


@dataclass(frozen=True, kw_only=True)
class HeldOutScores:
    """What a model reaches on the picture book's held-out split.

    Attributes:
        scenes: how many scenes that was measured on.
        values: name -> score from 0 to 1, as `xdecoder.evaluation.picturebook.scores` names them.
    """

    scenes: int
    values: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """A model in a few words.

    Attributes:
        name: as the user named it.
        backbone: kind of image encoder: focalnet, davit, hybrid or efficientnet.
        parameters: how many.
        queries: number of latent queries, the global one included.
        short_side: pixels that an image's shorter side is resized to.
        device: where it ran.
        scores: None where none are known.
        is_drawn_world: whether it knows drawn scenes alone (`InferenceConfig.is_drawn_world`).
    """

    name: str
    backbone: str
    parameters: int
    queries: int
    short_side: int
    device: str
    scores: HeldOutScores | None
    is_drawn_world: bool


def describe(predictor: Predictor, source: str) -> ModelFacts:
    """The facts of a loaded model.

    Args:
        predictor: loaded, whose sizes and published scores are told.
        source: what it was loaded from.

    Raises:
        ValueError: its scores cannot be read.
    """
    return ModelFacts(
        name=Path(source).name,
        backbone=predictor.config.backbone.kind,
        parameters=sum(parameter.numel() for parameter in predictor.model.parameters()),
        queries=predictor.config.decoder.queries,
        short_side=predictor.config.inference.short_side,
        device=str(predictor.device),
        scores=read_scores(resolve_model(source)),
        is_drawn_world=predictor.config.inference.is_drawn_world,
    )


def read_scores(folder: Path) -> HeldOutScores | None:
    """The scores in a model folder; None where it has none.

    Raises:
        ValueError: the file is malformed.
    """
    path = folder / SCORES
    if not path.is_file():
        return None
    try:
        data = cast("dict[str, Any]", json.loads(read_file(path)))
        values = {str(name): float(value) for name, value in data["scores"].items()}
        return HeldOutScores(scenes=int(data["scenes"]), values=values)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f'{path}: expected {{"scenes": number, "scores": {{name: value}}}}, got {error!r}'
        ) from error
