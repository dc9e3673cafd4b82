"""EfficientNet-Lite: its maps, its frozen statistics, and its published checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import xdecoder
from builders import tiny_config
from xdecoder.config import EfficientNetConfig, ModelConfig
from xdecoder.evaluation.picturebook.answers import ask_scenes
from xdecoder.evaluation.picturebook.scores import score_scenes
from xdecoder.model import XDecoder
from xdecoder.networks.efficientnet import EfficientNet
from xdecoder.picturebook import draw_scene
from xdecoder.training.picturebook.lite import PictureBookLiteRecipe
from xdecoder.weights.folder import build_model, load_model
from xdecoder.weights.pretrained_parts import take_backbone

TINY = EfficientNetConfig(stem=4, channels=(3, 5, 6, 7, 9, 10, 11), depths=(1, 2, 1, 1, 1, 2, 1), expansion=2)


def published(config: EfficientNetConfig) -> dict[str, Tensor]:
    """A checkpoint as the package has it: numbered blocks, a classifier, counters of batches."""
    generator = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}

    def norm(name: str, width: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            state[f"{name}.{part}"] = torch.rand(width, generator=generator) + 0.5
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    def convolution(name: str, *shape: int) -> None:
        state[f"{name}.weight"] = torch.randn(*shape, generator=generator) / shape[1] ** 0.5

    convolution("_conv_stem", config.stem, 3, 3, 3)
    norm("_bn0", config.stem)
    channels, number = config.stem, 0
    for stage, (width, depth, kernel) in enumerate(
        zip(config.channels, config.depths, config.kernels, strict=True)
    ):
        for _ in range(depth):
            block, inner = f"_blocks.{number}", channels * (config.expansion if stage else 1)
            if stage:
                convolution(f"{block}._expand_conv", inner, channels, 1, 1)
                norm(f"{block}._bn0", inner)
            convolution(f"{block}._depthwise_conv", inner, 1, kernel, kernel)
            norm(f"{block}._bn1", inner)
            convolution(f"{block}._project_conv", width, inner, 1, 1)
            norm(f"{block}._bn2", width)
            channels, number = width, number + 1
    convolution("_conv_head", 20, channels, 1, 1)
    norm("_bn1", 20)
    state["_fc.weight"], state["_fc.bias"] = torch.zeros(3, 20), torch.zeros(3)
    return state


def naive(state: dict[str, Tensor], config: EfficientNetConfig, x: Tensor) -> list[Tensor]:
    """The maps, straight from the checkpoint."""

    def convolve(name: str, x: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        kernel, (height, width) = weight.shape[-1], x.shape[-2:]
        rows, columns = (max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in (height, width))
        x = F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        return F.conv2d(x, weight, stride=stride, groups=groups)

    def norm(name: str, x: Tensor) -> Tensor:
        mean, variance, scale, shift = (
            state[f"{name}.{part}"][:, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (variance + 1e-3).sqrt() * scale + shift

    x = norm("_bn0", convolve("_conv_stem", x, 2)).clamp(0, 6)
    maps, number = [], 0
    for stage, depth in enumerate(config.depths):
        for step in range(depth):
            block, before = f"_blocks.{number}", x
            if stage:
                x = norm(f"{block}._bn0", convolve(f"{block}._expand_conv", x)).clamp(0, 6)
            stride = (1, 2, 2, 2, 1, 2, 1)[stage] if step == 0 else 1
            x = norm(f"{block}._bn1", convolve(f"{block}._depthwise_conv", x, stride, x.shape[1])).clamp(0, 6)
            x = norm(f"{block}._bn2", convolve(f"{block}._project_conv", x))
            x = before + x if step else x
            number += 1
        if stage in (1, 2, 4, 6):
            maps.append(x)
    return maps


def test_published_weights_give_the_maps_that_they_gave(tmp_path: Path) -> None:
    state = published(TINY)
    torch.save(state, tmp_path / "lite.pth")
    torch.manual_seed(0)
    model = XDecoder(tiny_config(backbone=TINY))
    taken = take_backbone(model, tmp_path / "lite.pth")
    assert taken.kept == ("backbone_projection",)
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        maps = model.backbone.train()(images)  # the statistics are frozen: training changes nothing
        for found, expected in zip(maps, naive(state, TINY, images), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert [tuple(m.shape) for m in maps] == [(2, 5, 16, 24), (2, 6, 8, 12), (2, 9, 4, 6), (2, 11, 2, 3)]
    torch.testing.assert_close(model.backbone.stem[1].running_mean, state["_bn0.running_mean"])


def test_a_checkpoint_of_other_sizes_is_refused(tmp_path: Path) -> None:
    torch.save(published(TINY), tmp_path / "lite.pth")
    other = EfficientNetConfig(stem=4, channels=(3, 5, 6, 7, 9, 10, 12), depths=TINY.depths, expansion=2)
    with pytest.raises(ValueError, match=r"backbone\.stages\.6\.0\.project"):
        take_backbone(XDecoder(tiny_config(backbone=other)), tmp_path / "lite.pth")


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    backbone = EfficientNet(TINY)
    sum(m.square().mean() for m in backbone(torch.rand(2, 3, 64, 64))).backward()
    assert [n for n, p in backbone.named_parameters() if p.grad is None] == []


def test_sizes_are_written_and_read_and_checked() -> None:
    config = tiny_config(backbone=TINY)
    assert ModelConfig.from_dict(config.to_dict()) == config
    assert TINY.widths == (5, 6, 9, 11)
    parameters = build_model(tiny_config(backbone=EfficientNetConfig())).backbone.parameters()
    assert sum(p.numel() for p in parameters) == 2_958_848  # of the published checkpoint, less its classifier
    with pytest.raises(ValueError, match="kernels must be odd"):
        EfficientNetConfig(kernels=(3, 3, 4, 3, 5, 5, 3))


def test_the_recipe_first_learns_the_bundled_models_features() -> None:
    recipe = PictureBookLiteRecipe(matching_steps=1, steps=1, images=2, caption_reward_from=1.0)
    torch.manual_seed(0)
    curriculum = recipe.open()
    objective, source = curriculum.build(), curriculum.build_source()
    features = objective(source.batch(0, 0, 1))
    assert set(features) == {"features"}
    features["features"].backward()
    learning = {n.split(".")[1] for n, p in objective.named_parameters() if p.grad is not None}
    assert learning == {"backbone", "backbone_projection", "pixel_decoder"}
    assert "segmentation" in objective(source.batch(1, 0, 1))
    with pytest.raises(ValueError, match="starts from the bundled model"):
        PictureBookLiteRecipe(start=None)


def test_without_matching_steps_a_lite_model_goes_on(tmp_path: Path) -> None:
    first = PictureBookLiteRecipe(matching_steps=1, steps=0).open()
    first.export(first.build(), tmp_path / "lite")
    trained = load_model(tmp_path / "lite")[0].state_dict()
    again = PictureBookLiteRecipe(start=tmp_path / "lite", matching_steps=0, steps=1).open().build()
    state = again.model.state_dict()
    assert {name for name, tensor in trained.items() if not torch.equal(tensor.float(), state[name])} == set()


def test_the_lite_model_reads_drawn_scenes() -> None:
    model = xdecoder.load("picturebook-lite")
    assert isinstance(model.config.backbone, EfficientNetConfig)
    scenes = [draw_scene(seed, split="val", size=128) for seed in range(6)]
    answers = ask_scenes(model, scenes, model.encode([scene.image for scene in scenes]))
    assert score_scenes(scenes, answers).pq > 0.8
