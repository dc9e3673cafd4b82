"""Ways to save memory or time change what is computed by rounding at the most."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from builders import FPN, Tiny
from xdecoder.config import BackboneConfig, DaViTConfig, FocalNetConfig, PixelDecoderConfig
from xdecoder.jobs.distributed import World
from xdecoder.training.activation_checkpointing import checkpoint_activations
from xdecoder.training.compile import compile_encoders
from xdecoder.training.config import RunConfig
from xdecoder.training.loop import train

FOCALNET = FocalNetConfig(block="depthwise", widths=(8, 12, 16, 20), depths=(1, 1, 1, 1), focal_levels=1)
DAVIT = DaViTConfig(widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), heads=(2, 2, 2, 4), groups=(2, 2, 4, 2))


def losses(folder: Path, backbone: BackboneConfig = FOCALNET, **modes: bool) -> list[float]:
    """The loss of each of three steps."""
    run = RunConfig(folder=folder, workers=0, log_every=1, validate_every=0, seed=2, **modes)  # pyright: ignore[reportArgumentType]
    train(Tiny(steps=3, backbone=backbone), run, World())
    return logged(folder)


def logged(folder: Path) -> list[float]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row["loss/total"] for row in rows]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    return losses(tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize(
    ("backbone", "pixel_decoder"),
    [(FOCALNET, FPN), (DAVIT, FPN), (FOCALNET, replace(FPN, kind="deformable"))],
    ids=["focalnet", "davit", "deformable"],
)
def test_recomputed_activations_have_the_same_gradients(
    backbone: BackboneConfig, pixel_decoder: PixelDecoderConfig
) -> None:
    tiny = Tiny(backbone=backbone, pixel_decoder=pixel_decoder)
    batch = tiny.build_source().batch(0, 0, 1)
    gradients: list[dict[str, torch.Tensor]] = []
    kept: list[int] = []
    for again in (False, True):
        torch.manual_seed(1)
        objective = tiny.build()
        if again:
            checkpoint_activations(objective)
        saved = 0

        def count(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal saved
            saved += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            total = torch.stack(list(objective(batch).values())).sum()
        total.backward()
        kept.append(saved)
        gradients.append({n: p.grad for n, p in objective.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, expected in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], expected, msg=name)
    assert kept[1] < 0.7 * kept[0]


def test_bfloat16_learns_what_float32_does(plain: list[float], tmp_path: Path) -> None:
    found = losses(tmp_path, bfloat16=True)
    assert found == pytest.approx(plain, rel=0.03)
    assert found != plain


def compiled_losses(folder: Path, backend: str) -> list[float]:
    """Likewise, compiled, in a process of its own: the compiler does not see through the checks of shapes."""
    subprocess.run([sys.executable, __file__, str(folder), backend], check=True)
    return logged(folder)


def test_encoders_that_the_compiler_traced_learn_the_same(plain: list[float], tmp_path: Path) -> None:
    assert compiled_losses(tmp_path, "aot_eager") == pytest.approx(plain, rel=1e-3)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++ on a CPU")
def test_encoders_that_inductor_compiled_learn_the_same(plain: list[float], tmp_path: Path) -> None:
    assert compiled_losses(tmp_path, "inductor") == pytest.approx(plain, rel=1e-3)


def test_compiling_changes_no_name() -> None:
    objective = Tiny().build()
    names = list(objective.state_dict())
    compile_encoders(objective)
    assert list(objective.state_dict()) == names


if __name__ == "__main__":
    nn.Module.compile = functools.partialmethod(nn.Module.compile, backend=sys.argv[2])  # pyright: ignore
    losses(Path(sys.argv[1]), compile=True)
