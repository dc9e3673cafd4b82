"""Nothing is left on the CPU where a model computes elsewhere, and no value is waited for without need."""

from __future__ import annotations

import copy
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode

import gpu
from builders import Tiny
from pretended_device import DEVICE, Pretended, pretended_device, to_device
from xdecoder.config import DaViTConfig, HybridConfig, ModelConfig
from xdecoder.jobs.distributed import World
from xdecoder.losses.config import PointSampling
from xdecoder.model import XDecoder
from xdecoder.training.config import OptimizerConfig, RunConfig
from xdecoder.training.datasets.objective import PublishedObjective
from xdecoder.training.datasets.recipe import PublishedLosses
from xdecoder.training.loop import take_step
from xdecoder.training.optimizer import build_optimizer

FOCALNET, FPN = gpu.TINY.backbone, gpu.TINY.pixel_decoder
VARIANTS = {
    "focalnet": gpu.TINY,
    "focalnet depthwise": replace(gpu.TINY, backbone=replace(FOCALNET, block="depthwise")),
    "davit": replace(
        gpu.TINY,
        backbone=DaViTConfig(
            widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), heads=(2, 2, 2, 4), groups=(2, 2, 4, 2)
        ),
    ),
    "hybrid": replace(
        gpu.TINY,
        backbone=HybridConfig(widths=(8, 16, 16, 32), depths=(1, 1, 1, 1), place_channels=8),
        pixel_decoder=replace(FPN, mask_stride=2),
    ),
    "deformable": replace(gpu.TINY, pixel_decoder=replace(FPN, kind="deformable")),
}
IMAGES = 2
# What each task must wait for: how many queries are kept or used, where phrases are padded, a text's tokens.
WAITS = {
    "panoptic": Counter({"aten.nonzero": IMAGES, "tolist": 2 * IMAGES}),
    "instance": Counter({"aten._unique2": IMAGES}),
    "refer": Counter({"aten.index": IMAGES}),
    "caption": Counter({"tolist": 2}),
    "beams": Counter({"tolist": 2}),
}

variants = pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS.keys())


@variants
def test_every_task_computes_on_the_device_and_waits_for_little(config: ModelConfig) -> None:
    model, head = gpu.build_model(config, torch.device("cpu")), gpu.build_head(config)
    expected = dict(gpu.Tasks(model, head, IMAGES, gpu.SMOKE))
    with pretended_device() as waits, torch.no_grad():
        there = gpu.Tasks(to_device(copy.deepcopy(model)), to_device(copy.deepcopy(head)), IMAGES, gpu.SMOKE)
        for task, work in there:
            if task != "encode" and config is not gpu.TINY:
                continue  # what follows the encoding is the same for all
            waits.clear()
            result = work()
            assert Counter(waits) == WAITS.get(task, Counter()), task
            found, wanted = list(gpu.flat(result)), list(gpu.flat(expected[task]()))
            assert len(found) == len(wanted) > 0
            for a, b in zip(found, wanted, strict=True):
                torch.testing.assert_close(a, b, msg=task)


@pytest.mark.parametrize("config", [gpu.TINY, VARIANTS["deformable"]], ids=["fpn", "deformable"])
def test_a_step_of_the_published_objective_computes_on_the_device(
    config: ModelConfig, tmp_path: Path
) -> None:
    losses = PublishedLosses(points=PointSampling(points=20))
    totals: list[Tensor] = []
    for device in (torch.device("cpu"), DEVICE):
        with pretended_device() as waits:
            torch.manual_seed(0)
            objective = PublishedObjective(XDecoder(config), None, losses=losses).train()
            if device == DEVICE:
                to_device(objective)
            optimizer = build_optimizer(objective, OptimizerConfig())
            batch = gpu.training_batch(config, 2, 3, gpu.SMOKE, device)
            waits.clear()
            run = RunConfig(folder=tmp_path)
            terms = take_step(objective, optimizer, [batch], 5.0, run, World(device=device), 0)
            totals.append(terms["total"].cpu())
            if device == DEVICE:
                assert all(isinstance(p, Pretended) for p in objective.parameters())
    torch.testing.assert_close(totals[1], totals[0])


def test_a_step_of_the_picture_book_computes_on_the_device(tmp_path: Path) -> None:
    tiny = Tiny(steps=1)
    batch = tiny.build_source().batch(0, 0, 1)
    with pretended_device():
        objective = to_device(tiny.build())
        optimizer = build_optimizer(objective, tiny.recipe.optimizer)
        run, world = RunConfig(folder=tmp_path), World(device=DEVICE)
        terms = take_step(objective, optimizer, [batch.to(DEVICE)], 5.0, run, world, 0)
        assert float(terms["total"]) > 0


@variants
def test_images_are_encoded_without_a_look_at_any_value(config: ModelConfig) -> None:
    model = XDecoder(config).eval()
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        features = model.encode_images(torch.empty(2, 3, 64, 96))
        latents = model.decoder.decode_latents(features.memory, keep=True)
    assert latents.states[-1].shape == (2, config.decoder.queries, config.decoder.width)


def test_mixing_devices_is_noticed() -> None:
    with pretended_device():
        there = torch.ones(3, device=DEVICE)
        with pytest.raises(RuntimeError, match="is on the CPU"):
            there + torch.ones(3)
        assert (there + torch.ones(())).device == DEVICE
        with pytest.raises(RuntimeError, match="numpy"):
            there.numpy()


def test_waits_are_counted() -> None:
    with pretended_device() as waits:
        there = torch.arange(3, device=DEVICE)
        there[there > 0]
        there.sum().item()
        there.cpu()
        torch.tensor([1], device=DEVICE)
    assert waits == ["aten.index", "aten._local_scalar_dense", "cpu", "tensor"]


def test_the_benchmark_runs_at_reduced_size_on_a_cpu(tmp_path: Path) -> None:
    gpu.main(["--smoke", "--out", str(tmp_path)])
    rows = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert {row["kind"] for row in rows} == {"agreement", "inference", "training"}
    assert not [row for row in rows if row["failed"]]
    table = (tmp_path / "gpu.md").read_text()
    assert table.count("\n| ") == len(rows) + 1


def test_the_benchmark_keeps_its_time_and_its_failures_in_the_table(tmp_path: Path) -> None:
    report = gpu.Report(folder=tmp_path, ends=0.0)
    blank = gpu.Row(kind="inference", model="m", mode="bf16", task="late")
    assert report.attempt(blank, lambda: blank) is None
    report.ends = float("inf")
    assert report.attempt(blank, lambda: (_ for _ in ()).throw(RuntimeError("no room")), most=5) is None

    def endless() -> gpu.Row:
        while True:
            pass

    assert report.attempt(blank, endless, most=1.1) is None
    assert [row.failed for row in report.rows] == [
        "OutOfTimeError: no time left",
        "RuntimeError: no room",
        "OutOfTimeError: took more than 1 s",
    ]
