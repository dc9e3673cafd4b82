"""The recipe of a cell: the drawn world's, at the size and length that all cells have."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Final, final

from torch import nn

from xdecoder.losses.config import SupervisedLayers
from xdecoder.reproduction.cells import CELLS, Cell
from xdecoder.reproduction.protocol import Protocol
from xdecoder.training.config import OptimizerConfig
from xdecoder.training.picturebook.curriculum import PictureBookCurriculum
from xdecoder.training.picturebook.recipe import PictureBookLosses, PictureBookRecipe
from xdecoder.training.picturebook.source import Resolution
from xdecoder.training.run_folder import plain_settings

_LAYERS: Final = SupervisedLayers(
    segmentation=(0, 1, -1), referring=(-1,), captioning=(-1,), retrieval=(-1,), answers=()
)
_LR: Final = 1e-3
_FINETUNING_LR: Final = 3e-4
_FINETUNING_SEEDS: Final = 1000
"""What is added to a seed for a finetuning, so that it sees scenes that its pretraining has not seen."""


def _losses(nouns: float = 0.0) -> PictureBookLosses:
    """Those of the bundled model without questions, on fewer layers, with a weight of nouns."""
    losses = PictureBookLosses()
    return replace(losses, config=replace(losses.config, answers=0.0, nouns=nouns), layers=_LAYERS)


@final
@dataclass(frozen=True, kw_only=True)
class CellRecipe(PictureBookRecipe):
    """A cell's run; it is scored afterwards, from the model that it exports.

    Attributes:
        image_size: side of the pictures in pixels, drawn and read.
        version: of the protocol.
    """

    losses: PictureBookLosses = field(default_factory=_losses)
    caption_reward_from: float = 1.0
    image_size: int
    version: int

    def open(self) -> CellCurriculum:
        return CellCurriculum(self)


@final
class CellCurriculum(PictureBookCurriculum):
    """The drawn world's training at one size."""

    @property
    def resolutions(self) -> tuple[Resolution, ...]:
        assert isinstance(self.recipe, CellRecipe)
        size = self.recipe.image_size
        return (Resolution(steps=self.recipe.steps, scene_size=size, image_size=size),)

    def validate(self, module: nn.Module, folder: Path, step: int) -> Mapping[str, float]:
        return {}


@cache
def recipe_digest(name: str, seed: int, protocol: Protocol) -> str:
    """What decides a run, but for the model that it goes on from: 16 hexadecimal digits.

    Args:
        name: of the cell.
        seed: of weights and scenes.
        protocol: what all cells have in common.
    """
    settings = plain_settings(cell_recipe(CELLS[name], seed, protocol, start=None))
    return hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=8).hexdigest()


def cell_recipe(cell: Cell, seed: int, protocol: Protocol, start: Path | None) -> CellRecipe:
    """The recipe of a cell.

    Args:
        cell: its settings.
        seed: of weights and scenes: cells of one seed and stage see the same scenes in the same order.
        protocol: what all cells have in common.
        start: the folder of the run that it goes on from.
    """
    steps = {
        "warm start": 0,
        "pretraining": protocol.steps,
        "finetuning": protocol.finetune_steps,
        "single task": protocol.steps + protocol.finetune_steps,
    }
    size = protocol.image_size
    optimizer = OptimizerConfig(
        lr=_FINETUNING_LR if cell.stage == "finetuning" else _LR,
        lr_factors=(),
        betas=(0.9, 0.98),
        weight_decay=0.05,
        max_grad_norm=1.0,
        ema_decay=0.998,
    )
    return CellRecipe(
        start=start,
        seed=seed + _FINETUNING_SEEDS * (cell.stage == "finetuning"),
        sizes=(cell.sizes or protocol.sizes).config(size),
        ablation=cell.ablation,
        text_steps=protocol.text_steps,
        patch_steps=protocol.patch_steps,
        steps=steps[cell.stage],
        image_size=size,
        images=protocol.images,
        patches=protocol.patches,
        optimizer=optimizer,
        mixture=cell.mixture,
        losses=_losses(cell.nouns),
        version=protocol.version,
    )
