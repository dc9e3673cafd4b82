import copy
import json
import math
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from xdecoder.config import FocalNetConfig
from xdecoder.jobs.distributed import World
from xdecoder.networks.focalnet import FocalNet
from xdecoder.training import checkpoints
from xdecoder.training.activation_checkpointing import checkpoint_activations
from xdecoder.training.batches import Batch, BatchSource
from xdecoder.training.loop import NonFiniteLossError, RunConfig, lr_at, train
from xdecoder.training.optimizer import (
    EMA,
    Cosine,
    MultiStep,
    OptimizerConfig,
    build_optimizer,
    set_lr,
)
from xdecoder.training.recipe import Phase, Recipe


@dataclass(frozen=True, kw_only=True)
class Numbers(Batch):
    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class Line(BatchSource[Batch]):
    """Points of a line; those of `bad` are not numbers."""

    bad: int = -1

    @property
    def images_a_step(self) -> tuple[int, ...]:
        return (6,)

    def batch(self, step: int, rank: int, world_size: int) -> Numbers:
        x = torch.randn(6, 3, generator=torch.Generator().manual_seed(step))
        return Numbers(x=x, y=x.sum(1) / (0.0 if step == self.bad else 1.0))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 1))

    def forward(self, batch: Numbers) -> dict[str, Tensor]:
        error = self.model(batch.x)[:, 0] - batch.y
        return {"square": error.square().mean(), "shown": error.detach().abs().mean()}


@dataclass(frozen=True, kw_only=True)
class Fit(Recipe):
    steps: int = 6
    bad: int = -1
    optimizer: OptimizerConfig = OptimizerConfig(lr=1e-2, lr_factors=(), ema_decay=0.5)  # noqa: RUF009
    seen: list[dict[str, float]] = field(default_factory=list, compare=False)

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase(name="first", steps=2, images=6),
            Phase(name="second", steps=self.steps - 2, images=6, schedule=Cosine(warmup=2)),
        )

    def build_source(self) -> Line:
        return Line(self.bad)

    def build(self) -> Net:
        return Net()

    def validate(self, module: nn.Module, folder: Path, step: int) -> Mapping[str, float]:
        assert not module.training
        state = {k: float(v.double().sum()) for k, v in module.state_dict().items()}
        self.seen.append(state)
        return {"sum": sum(state.values())}

    def export(self, module: nn.Module, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        torch.save(module.state_dict(), folder / "weights.pt")


def config(folder: Path, **changes: object) -> RunConfig:
    settings: dict[str, object] = {
        "workers": 0,
        "log_every": 1,
        "save_every": 2,
        "validate_every": 0,
        **changes,
    }
    return RunConfig(folder=folder, **settings)  # pyright: ignore[reportArgumentType]


def rows(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def losses(folder: Path) -> list[float]:
    return [row["loss/total"] for row in rows(folder)]


def test_the_loss_is_the_sum_of_what_has_a_gradient(tmp_path: Path) -> None:
    train(Fit(), config(tmp_path), World())
    for row in rows(tmp_path):
        assert row["loss/total"] == row["loss/square"]
        assert "loss/shown" in row
        assert row["images_per_second"] > 0


def test_a_run_resumes_from_its_newest_whole_checkpoint(tmp_path: Path) -> None:
    train(Fit(), config(tmp_path / "whole"), World())
    train(Fit(), config(tmp_path / "cut", workers=1), World())
    saved = tmp_path / "cut" / "checkpoints"
    assert sorted(p.name for p in saved.iterdir()) == ["step_00000004", "step_00000006"]
    # As a kill while writing leaves it: a folder under its temporary name, and one without its metadata.
    (saved / "step_00000006").rename(saved / "step_00000006.unfinished")
    (saved / "step_00000005").mkdir()
    assert checkpoints.find_newest(saved, World())[0] == saved / "step_00000004"
    train(Fit(), config(tmp_path / "cut"), World())
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    assert [row["step"] for row in rows(tmp_path / "cut")] == [1, 2, 3, 4, 5, 6]


def test_a_folder_in_which_another_run_goes_on_is_refused(tmp_path: Path) -> None:
    program = "import sys, pathlib\nfrom xdecoder.jobs.run_lock import lock_run\n"
    program += (
        f"with lock_run(pathlib.Path({str(tmp_path)!r})):\n    print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with pytest.raises(ValueError, match=f"another run is going on in .*, of process {other.pid} on "):
        train(Fit(), config(tmp_path), World(), name="fit")
    assert [path.name for path in tmp_path.iterdir()] == ["run.lock"]
    other.kill()
    other.communicate()
    train(Fit(), config(tmp_path), World(), name="fit")
    assert json.loads((tmp_path / "recipe.json").read_text())["recipe"] == "fit"


def test_worker_processes_change_nothing(tmp_path: Path) -> None:
    train(Fit(), config(tmp_path / "in_line"), World())
    train(Fit(), config(tmp_path / "workers", workers=2), World())
    assert losses(tmp_path / "in_line") == losses(tmp_path / "workers")


def test_a_share_cut_in_two_is_learned_as_a_whole(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Cut(Line):
        def batch(self, step: int, rank: int, world_size: int) -> Numbers:
            whole = Line().batch(step, 0, 1)
            share = len(whole.x) // world_size
            rows = slice(rank * share, (rank + 1) * share)
            return Numbers(x=whole.x[rows], y=whole.y[rows])

    @dataclass(frozen=True, kw_only=True)
    class Plain(Fit):
        def build_source(self) -> Cut:  # pyright: ignore[reportIncompatibleMethodOverride]
            return Cut()

        def build(self) -> Net:
            net = Net()
            net.model[0] = nn.Identity()  # a batch norm would see the cuts
            return net

    train(Plain(), config(tmp_path / "whole"), World())
    train(Plain(), config(tmp_path / "cut", accumulate=3), World())
    assert losses(tmp_path / "cut") == pytest.approx(losses(tmp_path / "whole"), rel=1e-5)
    with pytest.raises(ValueError, match=r"6 images a step cannot be shared evenly by 1 process.* of 4"):
        train(Plain(), config(tmp_path / "uneven", accumulate=4), World())


def test_validation_sees_the_average_and_training_goes_on_without_it(tmp_path: Path) -> None:
    often, never = Fit(), Fit()
    train(often, config(tmp_path / "often", validate_every=1), World())
    train(never, config(tmp_path / "never"), World())
    assert losses(tmp_path / "often") == losses(tmp_path / "never")
    assert len(often.seen) == 6
    assert len(never.seen) == 1
    exported = torch.load(tmp_path / "often" / "model" / "weights.pt")
    assert often.seen[-1] == {k: float(v.double().sum()) for k, v in exported.items()}


def test_a_loss_that_is_no_number_stops_with_its_batch_saved(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLossError, match="the loss of step 3 is not finite"):
        train(Fit(bad=3), config(tmp_path), World())
    saved = torch.load(tmp_path / "bad_batch_step3_rank0.pt", weights_only=False)
    assert saved["step"] == 3
    assert not torch.isfinite(saved["batch"].y).all()
    assert (
        checkpoints.find_newest(tmp_path / "checkpoints", World())[0]
        == tmp_path / "checkpoints" / "step_00000002"
    )


def test_a_full_disk_costs_a_checkpoint_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written: list[Path] = []
    real = checkpoints.save_file

    def full(tensors: dict[str, Tensor], path: Path) -> None:
        written.append(path)
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        real(tensors, path)

    monkeypatch.setattr(checkpoints, "save_file", full)
    train(Fit(), config(tmp_path), World())
    assert "no checkpoint written at step 4: [Errno 28] No space left on device" in capsys.readouterr().out
    left = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert left == ["step_00000002", "step_00000006"]


def test_each_phase_has_its_own_schedule() -> None:
    phases = (
        Phase(name="a", steps=4, images=0, schedule=MultiStep(milestones=(0.5,), warmup=0), lr_factor=2.0),
        Phase(name="b", steps=8, images=0, schedule=Cosine(warmup=2, floor=0.1)),
    )
    found = [lr_at(phases, step) for step in range(12)]
    assert [phase.name for phase, _ in found] == ["a"] * 4 + ["b"] * 8
    assert [factor for _, factor in found[:6]] == pytest.approx([2, 2, 0.2, 0.2, 0.5, 1.0])
    assert found[6][1] == pytest.approx(1.0)
    expected = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * 5 / 6))
    assert found[11][1] == pytest.approx(expected)
    with pytest.raises(ValueError, match="ends"):
        lr_at(phases, 12)


def test_rates_and_decay_follow_the_parameters_names() -> None:
    model = nn.ModuleDict(
        {
            "backbone": nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3)),
            "tokens": nn.Embedding(4, 3),
            "head": nn.Linear(3, 2),
        }
    )
    settings = OptimizerConfig(lr=0.1, lr_factors=(("backbone.", 0.1),), weight_decay=0.5)
    optimizer = build_optimizer(model, settings)
    set_lr(optimizer, 0.5)
    names = {parameter: name for name, parameter in model.named_parameters()}
    found = {
        names[p]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    }
    assert found == {
        "backbone.0.weight": (pytest.approx(0.005), 0.5),
        "backbone.0.bias": (pytest.approx(0.005), 0.0),
        "backbone.1.weight": (pytest.approx(0.005), 0.0),
        "backbone.1.bias": (pytest.approx(0.005), 0.0),
        "tokens.weight": (pytest.approx(0.05), 0.0),
        "head.weight": (pytest.approx(0.05), 0.5),
        "head.bias": (pytest.approx(0.05), 0.0),
    }


def test_the_average_takes_in_the_statistics_of_batch_norms() -> None:
    net = Net()
    ema = EMA(net, 0.9)
    net.model[0].running_mean.fill_(10.0)
    net.model[0].num_batches_tracked.fill_(7)
    ema.update(net, step=1000)
    assert ema.tensors["model.0.running_mean"].tolist() == pytest.approx([1.0] * 3)
    assert int(ema.tensors["model.0.num_batches_tracked"]) == 7


def test_blocks_that_are_computed_again_have_the_same_gradients() -> None:
    config = FocalNetConfig(block="depthwise", widths=(4, 6, 8, 10), depths=(1, 2, 1, 1), focal_levels=1)
    plain = FocalNet(config)
    again = copy.deepcopy(plain)
    checkpoint_activations(again)
    images = torch.randn(2, 3, 32, 64)
    for net in (plain, again):
        torch.stack([m.square().mean() for m in net(images)]).sum().backward()
    for (name, expected), actual in zip(plain.named_parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(actual.grad, expected.grad, msg=name)
