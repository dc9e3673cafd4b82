"""Both curricula cost, and teach every part of the model, what they did with an objective each."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from curricula import SEEDS, dataset_batch, dataset_model, scene_batch, scene_model
from goldens import FOLDER
from xdecoder.losses.config import PointSampling, SupervisedLayers
from xdecoder.training.datasets.objective import PublishedObjective
from xdecoder.training.datasets.recipe import PublishedLosses
from xdecoder.training.picturebook.objective import PictureBookObjective
from xdecoder.training.picturebook.recipe import PictureBookLosses
from xdecoder.training.picturebook.tokenizer import build_tokenizer

GOLDEN = json.loads((FOLDER / "losses" / "curricula.json").read_text())


def gradients(module: nn.Module) -> dict[str, float]:
    """The norm of the gradient of each part of the model, and of what is trained beside it."""
    squares: dict[str, float] = {}
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        first, second = name.split(".")[:2]
        part = f"{first}.{second}" if first == "model" else first
        squares[part] = squares.get(part, 0.0) + float(parameter.grad.square().sum())
    return {part: square**0.5 for part, square in squares.items()}


def total(terms: dict[str, Tensor]) -> Tensor:
    return torch.stack([term for term in terms.values() if term.requires_grad]).sum()


def check(module: nn.Module, found: dict[str, Tensor], terms: dict[str, float], golden: Any) -> None:
    loss = total(found)
    assert loss.item() == pytest.approx(golden["total"], rel=1e-6)
    assert terms == pytest.approx(golden["terms"], rel=1e-6)
    loss.backward()
    assert gradients(module) == pytest.approx(golden["gradients"], rel=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_step_on_scenes_costs_what_it_did(seed: int) -> None:
    model, head = scene_model(seed)
    torch.manual_seed(50 + seed)
    layers = SupervisedLayers(
        segmentation=(0, 2, 3), referring=(2, 4), captioning=(1, 3), retrieval=(-1,), answers=(1, 3)
    )
    module = PictureBookObjective(
        model,
        head,
        tokenizer=build_tokenizer(12),
        losses=PictureBookLosses(layers=layers),
        rewarded_captions=2,
    ).double()
    found = module(scene_batch(seed))
    terms = {name.split("/")[1]: value.item() for name, value in found.items() if "/" in name}
    terms["referring_masks"] = terms.pop("referring_bce") + terms.pop("referring_dice")
    losses = module.losses
    terms["dense"] = found["dense"].item() / losses.dense
    terms["answers"] = found["answers"].item() / losses.config.answers
    check(module, found, terms, GOLDEN["scenes"][seed])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_step_on_data_sets_costs_what_it_did(seed: int) -> None:
    model, head = dataset_model(seed)
    module = PublishedObjective(model, head, losses=PublishedLosses(points=PointSampling(points=112)))
    torch.manual_seed(70 + seed)
    found = module(dataset_batch(seed))
    check(module, found, {name: value.item() for name, value in found.items()}, GOLDEN["datasets"][seed])
