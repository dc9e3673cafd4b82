import copy
import functools
import json
import math
import os
import pickle
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import get_worker_info

from xdecoder.config import FocalNetConfig
from xdecoder.jobs.distributed import World
from xdecoder.networks.focalnet import FocalNet
from xdecoder.training import checkpoints
from xdecoder.training.activation_checkpointing import checkpoint_activations
from xdecoder.training.batches import Batch, BatchSource
from xdecoder.training.config import Cosine, MultiStep, OptimizerConfig, RunConfig
from xdecoder.training.curriculum import Curriculum, Phase
from xdecoder.training.loop import NonFiniteLossError, lr_at, train
from xdecoder.training.optimizer import EMA, build_optimizer, set_lr
from xdecoder.training.recipe import Recipe


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
class FitRecipe(Recipe):
    steps: int = 6
    bad: int = -1
    optimizer: OptimizerConfig = OptimizerConfig(lr=1e-2, lr_factors=(), ema_decay=0.5)  # noqa: RUF009

    def open(self) -> Curriculum["FitRecipe"]:
        return Fit(**vars(self))


class Fit(Curriculum[FitRecipe]):
    def __init__(self, **settings: object) -> None:
        super().__init__(FitRecipe(**settings))  # pyright: ignore[reportArgumentType]
        self.seen: list[dict[str, float]] = []

    @property
    def phases(self) -> tuple[Phase, ...]:
        steps = self.recipe.steps - 2
        return (
            Phase(name="first", steps=2, images=6),
            Phase(name="second", steps=steps, images=6, schedule=Cosine(warmup=2)),
        )

    def build_source(self) -> Line:
        return Line(self.recipe.bad)

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


def damage(path: Path) -> None:
    """Turn a byte in the middle of a file round."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 0xFF]))


@pytest.mark.parametrize("how", ["cut", "bytes", "index", "json", "gone"])
def test_the_newest_good_checkpoint_is_taken_and_the_bad_one_named(
    how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = config(tmp_path, validate_every=3)
    train(Fit(), run, World())
    expected = losses(tmp_path)
    bad = tmp_path / "checkpoints" / "step_00000006"
    tensors, index = bad / "rank-00000.safetensors", bad / "rank-00000.json"
    if how == "cut":
        tensors.write_bytes(tensors.read_bytes()[:-7])
    elif how == "bytes":
        damage(tensors)
    elif how == "index":
        index.write_text(index.read_text().replace("model.model.1.weight", "model.model.9.weight"))
    elif how == "json":
        index.write_text("[" * 100_000)
    else:
        tensors.unlink()
    (tmp_path / "finished.json").unlink()
    capsys.readouterr()
    train(Fit(), run, World())
    told = capsys.readouterr().out
    assert f"gone past: {bad}: " in told
    assert "goes on from step 4" in told
    assert losses(tmp_path) == expected
    for index in (tmp_path / "checkpoints").glob("*/*.json"):
        index.unlink()
    (tmp_path / "finished.json").unlink()
    with pytest.raises(ValueError, match=r"no checkpoint in .*checkpoints can be read .*no rank-00000.json"):
        train(Fit(), run, World())


def test_a_foreign_folder_runs_no_code(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "ran",))

    foreign = tmp_path / "run" / "checkpoints" / "step_00000002"
    foreign.mkdir(parents=True)
    (foreign / ".metadata").write_bytes(pickle.dumps(Harmful()))
    for name in ("rank-00000.safetensors", "rank-00000.json"):
        (foreign / name).write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(ValueError, match=r"can be read .*rank-00000.json is damaged"):
        train(Fit(), config(tmp_path / "run"), World())
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Wider(Fit):
        def build(self) -> Net:
            net = Net()
            net.model[1] = nn.Linear(3, 5, bias=False)
            return net

    train(Fit(), config(tmp_path), World())
    module = Wider().build()
    optimizer = build_optimizer(module, Fit().recipe.optimizer)
    newest, _ = checkpoints.find_newest(tmp_path / "checkpoints", World())
    assert newest is not None
    with pytest.raises(ValueError, match=r"is of another model or optimizer: .* such as ema\."):
        checkpoints.load(newest, model=module, optimizer=optimizer, ema=None)


def test_a_used_folder_is_finished_goes_on_or_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(Fit(), config(tmp_path), World(), name="fit")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.name != "run.lock"}
    capsys.readouterr()
    train(Fit(), config(tmp_path, workers=1, save_every=3), World(), name="fit")  # changes nothing learned
    assert capsys.readouterr().out == f"already finished: the model is in {tmp_path / 'model'}\n"
    for curriculum, run, differing in (
        (Fit(steps=8), config(tmp_path), "steps 6 there, 8 now"),
        (Fit(), config(tmp_path, seed=1), "run.seed 0 there, 1 now"),
        (Fit(start=Path("a")), config(tmp_path), 'start null there, "a" now'),
        (Fit(optimizer=OptimizerConfig(lr=1.0)), config(tmp_path), r"optimizer.lr 0.01 there, 1.0 now"),
    ):
        with pytest.raises(ValueError, match=f"holds a run made otherwise .*{re.escape(differing)}"):
            train(curriculum, run, World(), name="fit")
    assert before == {path: path.stat().st_mtime_ns for path in before}


@pytest.mark.parametrize("stops_in", ["validate", "export"])
def test_a_run_stopped_between_its_last_checkpoint_and_its_export_is_ended(
    stops_in: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    train(Fit(), config(tmp_path / "whole"), World())
    with monkeypatch.context() as patch:
        patch.setattr(Fit, stops_in, stop)
        with pytest.raises(KeyboardInterrupt):
            train(Fit(), config(tmp_path / "cut"), World())
    assert not (tmp_path / "cut" / "model").exists()
    train(Fit(), config(tmp_path / "cut"), World())
    for name in ("scores.jsonl", "model/weights.pt"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")


class Scored(Fit):
    """Its scores rise to the fourth step and fall from there."""

    def validate(self, module: nn.Module, folder: Path, step: int) -> Mapping[str, float]:
        return {"score": -abs(step - 4.0)}

    def headline(self, scores: Mapping[str, float]) -> float:
        return scores["score"]


def test_a_run_ends_when_scores_rise_no_more_and_keeps_the_best_model(tmp_path: Path) -> None:
    run = config(tmp_path, validate_every=2, patience=2, save_every=100)
    train(Scored(steps=12), run, World())
    assert [row["step"] for row in rows(tmp_path)] == list(range(1, 9))
    best, last = (torch.load(tmp_path / name / "weights.pt") for name in ("model-best", "model"))
    assert not torch.equal(best["model.1.weight"], last["model.1.weight"])
    train(Scored(steps=12), run, World())
    assert len(rows(tmp_path)) == 8  # finished
    (tmp_path / "finished.json").unlink()
    train(Scored(steps=12), run, World())
    assert len(rows(tmp_path)) == 8  # ended again, without a further step


def test_samples_that_cannot_be_read_are_told_once_up_to_a_limit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @dataclass(frozen=True)
    class Torn(Line):
        def batch(self, step: int, rank: int, world_size: int) -> Numbers:
            return replace(
                super().batch(step, rank, world_size), skipped=("a.png: cut short", f"{step % 2}.png")
            )

    class Lossy(Fit):
        def build_source(self) -> Torn:  # pyright: ignore[reportIncompatibleMethodOverride]
            return Torn()

    train(Lossy(), config(tmp_path / "some"), World())
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("left out")]
    assert told == ["left out: a.png: cut short", "left out: 0.png", "left out: 1.png"]
    with pytest.raises(ValueError, match=r"3 samples cannot be read, more than run\.max_unreadable=2"):
        train(Lossy(), config(tmp_path / "many", max_unreadable=2), World())


def test_an_error_in_a_worker_is_told_in_its_own_words(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Broken(Line):
        def batch(self, step: int, rank: int, world_size: int) -> Numbers:
            raise ValueError("images/7.jpg: of another size")

    class Bad(Fit):
        def build_source(self) -> Broken:  # pyright: ignore[reportIncompatibleMethodOverride]
            return Broken()

    with pytest.raises(ValueError, match=r"^images/7.jpg: of another size$"):
        train(Bad(), config(tmp_path, workers=1), World())


@dataclass(frozen=True)
class Hindered(Line):
    """Something happens to the worker process that makes the batches."""

    happens: Callable[[], object] = os.getpid

    def batch(self, step: int, rank: int, world_size: int) -> Numbers:
        if get_worker_info() is not None:
            self.happens()
        return super().batch(step, rank, world_size)


def fit_hindered(happens: Callable[[], object]) -> Fit:
    class Fits(Fit):
        def build_source(self) -> Hindered:  # pyright: ignore[reportIncompatibleMethodOverride]
            return Hindered(happens=happens)

    return Fits()


@pytest.mark.skipif(sys.platform == "win32", reason="limits files as other systems can")
def test_a_full_disk_costs_a_line_and_not_the_file(tmp_path: Path) -> None:
    program = (
        "import pathlib, resource, signal, sys\n"
        "from xdecoder.training.progress import JsonLines\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "lines = JsonLines(pathlib.Path(sys.argv[1]), 0)\n"
        "lines.write(1, {'a': 1.0})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40, resource.RLIM_INFINITY))\n"
        "lines.write(2, {'a': 2.0})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)\n"
        "lines.write(3, {'a': 3.0})\n"
    )
    path = tmp_path / "metrics.jsonl"
    told = subprocess.run(
        [sys.executable, "-c", program, str(path)], stderr=subprocess.PIPE, text=True, check=True
    ).stderr
    assert "a line was lost" in told
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 3]


@pytest.mark.skipif(sys.platform == "win32", reason="limits files as other systems can")
def test_a_worker_without_shared_memory_hands_over_its_batches_otherwise(tmp_path: Path) -> None:
    import resource

    no_room = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    train(Fit(), config(tmp_path / "room"), World())
    with pytest.warns(UserWarning, match="shared memory is full .*: batches come through pipes") as told:
        train(fit_hindered(no_room), config(tmp_path / "none", workers=1), World())
    assert sum("shared memory" in str(warning.message) for warning in told) == 1
    assert losses(tmp_path / "none") == losses(tmp_path / "room")


@pytest.mark.skipif(sys.platform == "win32", reason="kills as other systems can")
def test_a_worker_that_was_killed_is_told_in_plain_words(tmp_path: Path) -> None:
    def end() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(
        ChildProcessError, match=r"makes batches was killed, .*\(run\.workers=0 makes batches"
    ):
        train(fit_hindered(end), config(tmp_path, workers=1), World())


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
