"""What a run is going to do: a benchmark, its data set, and what is done otherwise this time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from xdecoder.data.dataset import Dataset
from xdecoder.data.opening import open_dataset
from xdecoder.evaluation.benchmark import Benchmark
from xdecoder.evaluation.classes import classes_of
from xdecoder.evaluation.protocol import BenchmarkRun, Classes
from xdecoder.evaluation.resizing import Resizing
from xdecoder.metrics.semantic import AbsentRule


@final
@dataclass(frozen=True, kw_only=True)
class Overrides:
    """What a run does otherwise than its benchmark says; the report states it.

    Attributes:
        short_side: another input size.
        limit: the first images of the data set alone.
        classes: "present" asks for the classes alone that an image's truth has, another protocol.
        skip_missing: leave images out whose files are missing, instead of refusing the data set.
        absent: semantic: the classes that mIoU is the mean over; "union" is the published rule.
    """

    short_side: int | None = None
    limit: int | None = None
    classes: Classes = "global"
    skip_missing: bool = False
    absent: AbsentRule = "union"

    def __post_init__(self) -> None:
        for name in ("short_side", "limit"):
            value = {"short_side": self.short_side, "limit": self.limit}[name]
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")


def open_benchmark(benchmark: Benchmark, data: Path | None, overrides: Overrides) -> Dataset[Any]:
    """A benchmark's data set, cut to the run's limit; errors as `open_dataset`.

    Raises:
        ValueError: its files are needed, and `data` does not say where they are.
    """
    if benchmark.kind == "picturebook":
        from xdecoder.evaluation.picturebook.scenes import drawn_scenes  # needs OpenCV, an extra

        return drawn_scenes(benchmark.split, limit=overrides.limit)
    if data is None:
        raise ValueError(
            f"{benchmark.name}: where are the data sets? Add --data FOLDER; `xdecoder datasets list` "
            "names them"
        )
    dataset = open_dataset(
        benchmark.data,
        data,
        task=benchmark.task,
        split=benchmark.split,
        missing="skip" if overrides.skip_missing else "error",
    )
    return dataset if overrides.limit is None else dataset.first(overrides.limit)


def check_data(benchmarks: Sequence[Benchmark], data: Path | None, overrides: Overrides) -> None:
    """Open the data sets of several benchmarks before the first one runs, and tell all that is wrong at once.

    Raises:
        ValueError: a data set is missing, incomplete or malformed.
    """
    if data is None:
        for benchmark in benchmarks:
            open_benchmark(benchmark, None, overrides)
    if len(benchmarks) == 1:
        return  # opened next, and its error says all
    wrong: dict[str, str] = {}
    for benchmark in benchmarks:
        try:
            open_benchmark(benchmark, data, overrides)
        except (ValueError, FileNotFoundError) as error:
            wrong[benchmark.name] = " ".join(str(error).split())
    if wrong:
        told = "".join(f"\n  {name}: {reason}" for name, reason in wrong.items())
        raise ValueError(
            f"the data of {len(wrong)} of {len(benchmarks)} benchmarks cannot be used; `xdecoder datasets "
            f"check` says more:{told}"
        )


def plan_run(
    benchmark: Benchmark, dataset: Dataset[Any], *, folder: Path, overrides: Overrides
) -> BenchmarkRun:
    """A benchmark with a run's overrides.

    Raises:
        ValueError: the data set's classes are not the benchmark's, or the task has none to choose from.
    """
    segments = benchmark.kind in ("panoptic", "instance", "semantic")
    if overrides.classes == "present" and not segments:
        raise ValueError(f"{benchmark.name} asks for no classes: --classes present is for segmentation")
    truth = dataset.vocabulary
    names = None
    if segments and truth is not None:
        names = classes_of(benchmark, truth, dataset.category_ids, dataset.background)
    return BenchmarkRun(
        benchmark=benchmark,
        resizing=_resizing(benchmark, overrides.short_side),
        classes=overrides.classes,
        names=names,
        folder=folder,
        absent=overrides.absent,
    )


def _resizing(benchmark: Benchmark, short_side: int | None) -> Resizing | None:
    if short_side is None:
        return benchmark.resizing
    if benchmark.resizing is None:
        return Resizing(short_side=short_side)
    return benchmark.resizing.with_short_side(short_side)
