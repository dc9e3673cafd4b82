"""A benchmark on a model: predict what is not yet on disk, write the result file, score it, report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, final

from xdecoder.config import InferenceConfig
from xdecoder.data.dataset import Dataset, Skip
from xdecoder.data.opening import open_dataset
from xdecoder.data.records import Sample
from xdecoder.evaluation.benchmarks import Benchmark, BenchmarkTask, published_scores
from xdecoder.evaluation.captioning import Captioning
from xdecoder.evaluation.classes import classes_of
from xdecoder.evaluation.instance import Instance
from xdecoder.evaluation.panoptic import Panoptic
from xdecoder.evaluation.plots import plot_scores
from xdecoder.evaluation.protocol import Classes, Picture, Protocol, Run, Scores
from xdecoder.evaluation.referring import Referring
from xdecoder.evaluation.report import BenchmarkReport, write_report
from xdecoder.evaluation.retrieval import ImageTextRetrieval
from xdecoder.evaluation.semantic import Semantic
from xdecoder.evaluation.vqa import Answering
from xdecoder.jobs.distributed import World, wait_for_all
from xdecoder.jobs.journal import Finished, Journal
from xdecoder.predictor.predictor import Predictor

PIPELINES: dict[BenchmarkTask, type[Protocol[Any]]] = {
    "panoptic": Panoptic,
    "instance": Instance,
    "semantic": Semantic,
    "referring": Referring,
    "caption": Captioning,
    "retrieval": ImageTextRetrieval,
    "question": Answering,
}

_FORMAT = 1  # of the journals' entries

Advance = Callable[[int, int], None]
"""Called with the images that are finished and the images of this process."""


@final
@dataclass(frozen=True, kw_only=True)
class EvaluatedModel:
    """What is evaluated.

    Attributes:
        name: as the user called it.
        predictor: the model.
        digest: of its weights, sizes, settings, tokenizer and answers (`Predictor.digest`).
        checkpoint: the published checkpoint that it is; None for any other.
    """

    name: str
    predictor: Predictor
    digest: str
    checkpoint: str | None = None

    @classmethod
    def of(cls, name: str, predictor: Predictor, checkpoint: str | None = None) -> EvaluatedModel:
        """A model, its weights digested."""
        return cls(name=name, predictor=predictor, digest=predictor.digest(), checkpoint=checkpoint)


@final
@dataclass(frozen=True, kw_only=True)
class Overrides:
    """What a run does otherwise than its benchmark says; the report states it.

    Attributes:
        short_side: another input size.
        limit: the first images of the data set alone.
        classes: "present" asks for the classes alone that an image's truth has, another protocol.
        skip_missing: leave images out whose files are missing, instead of refusing the data set.
    """

    short_side: int | None = None
    limit: int | None = None
    classes: Classes = "global"
    skip_missing: bool = False

    def __post_init__(self) -> None:
        for name in ("short_side", "limit"):
            value = {"short_side": self.short_side, "limit": self.limit}[name]
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")


def evaluate(
    benchmark: Benchmark,
    subject: EvaluatedModel,
    *,
    data: Path,
    out: Path,
    changes: Overrides | None = None,
    world: World | None = None,
    advance: Advance | None = None,
) -> BenchmarkReport | None:
    """Run a benchmark.

    Images are worked on one by one, and each process takes every `world.size`-th: the figures do not depend
    on the number of processes, nor on how often the run was killed and begun again.

    Args:
        benchmark: a row of `BENCHMARKS`.
        subject: the model.
        data: the folder that holds the data sets' folders.
        out: the results go to its subfolder of the benchmark's name; what is finished there is kept.
        changes: what to do otherwise.
        world: the processes; they share `out`.
        advance: told of the progress.

    Returns:
        The report; None in all processes but the first.

    Raises:
        FileNotFoundError: the data set is missing or incomplete.
        ValueError: it is malformed; `out` holds results of another model or protocol; no image is usable.
    """
    changes, world = changes or Overrides(), world or World()
    started = time.monotonic()
    dataset = open_benchmark(benchmark, data, changes)
    job = make_run(benchmark, dataset, folder=out / benchmark.name, changes=changes)
    pipeline = PIPELINES[benchmark.kind](job, dataset)
    fingerprint = _fingerprint(job, subject)
    _predict(pipeline, subject.predictor, fingerprint, world, advance)
    if world.size > 1:
        wait_for_all()
    if not world.is_first:
        return None

    finished = Finished.read(job.folder, fingerprint)
    order = [sample.image_id for sample in dataset]
    failed = [Skip(item=f"image {i}", reason=finished.failed[i]) for i in order if i in finished.failed]
    if len(failed) == len(order):
        raise ValueError(
            f"{benchmark.name}: none of the {len(order)} images could be used; the first: {failed[0].reason}"
        )
    path = job.folder / pipeline.file
    pipeline.write(finished.entries(iter(order)), path)
    scores = pipeline.score(path, frozenset(i for i in order if i not in finished.places))
    scores = replace(scores, skipped=(*dataset.skipped, *failed, *scores.skipped))
    return _report(job, subject, scores, changes, len(order), path, time.monotonic() - started)


def open_benchmark(benchmark: Benchmark, data: Path, changes: Overrides) -> Dataset[Any]:
    """A benchmark's data set, cut to the run's limit; errors as `open_dataset`."""
    dataset = open_dataset(
        benchmark.data,
        data,
        task=benchmark.task,
        split=benchmark.split,
        missing="skip" if changes.skip_missing else "error",
    )
    return dataset if changes.limit is None else dataset.first(changes.limit)


def check_data(benchmarks: Sequence[Benchmark], data: Path, changes: Overrides) -> None:
    """Open the data sets of several benchmarks before the first one runs, and tell all that is wrong at once.

    Raises:
        ValueError: a data set is missing, incomplete or malformed.
    """
    wrong: dict[str, str] = {}
    for benchmark in benchmarks:
        try:
            open_benchmark(benchmark, data, changes)
        except (ValueError, FileNotFoundError) as error:
            wrong[benchmark.name] = " ".join(str(error).split())
    if wrong:
        told = "".join(f"\n  {name}: {reason}" for name, reason in wrong.items())
        raise ValueError(
            f"the data of {len(wrong)} of {len(benchmarks)} benchmarks cannot be used; `xdecoder datasets "
            f"check` says more:{told}"
        )


def make_run(benchmark: Benchmark, dataset: Dataset[Any], *, folder: Path, changes: Overrides) -> Run:
    """A benchmark with a run's changes.

    Raises:
        ValueError: the data set's classes are not the benchmark's, or the task has none to choose from.
    """
    segments = benchmark.kind in ("panoptic", "instance", "semantic")
    if changes.classes == "present" and not segments:
        raise ValueError(f"{benchmark.name} asks for no classes: --classes present is for segmentation")
    short, long = benchmark.short_side, benchmark.long_side
    if changes.short_side is not None:
        long = None if long is None else round(long * changes.short_side / short)
        short = changes.short_side
    truth = dataset.vocabulary
    names = classes_of(benchmark, truth, dataset.category_ids) if segments and truth is not None else None
    return Run(
        benchmark=benchmark,
        short_side=short,
        long_side=long,
        classes=changes.classes,
        names=names,
        folder=folder,
    )


def _predict(
    pipeline: Protocol[Any],
    predictor: Predictor,
    fingerprint: Mapping[str, Any],
    world: World,
    advance: Advance | None,
) -> None:
    """Add to this process's journal what no journal has yet."""
    folder = pipeline.job.folder
    finished = Finished.read(folder, fingerprint)
    mine = range(world.rank, len(pipeline.dataset), world.size)
    todo = [i for i in mine if pipeline.dataset[i].image_id not in finished.places]
    done = len(mine) - len(todo)
    with Journal(folder, world.rank, fingerprint) as journal:
        for sample, picture in _read_ahead(pipeline, todo):
            if isinstance(picture, Picture):
                journal.add(pipeline.predict(predictor, sample, picture))
            else:
                journal.add({"image_id": sample.image_id, "error": str(picture)})
            done += 1
            if advance:
                advance(done, len(mine))


def _read_ahead(
    pipeline: Protocol[Any], indices: Sequence[int]
) -> Iterator[tuple[Sample, Picture | Exception]]:
    """Samples and their pictures, or why they cannot be used; the next one is read while one is worked on."""

    def read(index: int) -> tuple[Sample, Picture | Exception]:
        sample = pipeline.dataset[index]
        try:
            return sample, pipeline.read(sample)
        except (ValueError, FileNotFoundError) as error:
            return sample, error

    with ThreadPoolExecutor(1) as reader:
        ahead = [reader.submit(read, index) for index in indices[:1]]
        for following in [*indices[1:], None]:
            if not ahead:
                return
            found = ahead.pop().result()
            if following is not None:
                ahead.append(reader.submit(read, following))
            yield found


def _fingerprint(job: Run, subject: EvaluatedModel) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "weights": subject.digest,
        "dtype": str(subject.predictor.model.logit_scale.dtype).removeprefix("torch."),
        **asdict(job.benchmark),
        "short_side": job.short_side,
        "long_side": job.long_side,
        "classes": job.classes,
    }


def _settings_changed(settings: InferenceConfig, kind: BenchmarkTask) -> list[str]:
    """Settings of the model that are not the published ones and bear on a kind of benchmark."""
    published = InferenceConfig()
    relevant: dict[BenchmarkTask, tuple[str, ...]] = {
        "panoptic": ("object_threshold", "overlap_threshold", "prompt_ensemble"),
        "instance": ("detections", "prompt_ensemble"),
        "semantic": ("resize_probabilities", "prompt_ensemble"),
        "referring": (),
        "caption": ("caption_steps", "caption_beams"),
        "retrieval": (),
        "question": (),
    }
    ours, theirs = asdict(settings), asdict(published)
    return [
        f"the model's {name} is {ours[name]}, the published {theirs[name]}"
        for name in relevant[kind]
        if ours[name] != theirs[name]
    ]


def _report(
    job: Run,
    subject: EvaluatedModel,
    scores: Scores,
    changes: Overrides,
    images: int,
    path: Path,
    seconds: float,
) -> BenchmarkReport:
    benchmark, settings = job.benchmark, subject.predictor.config.inference
    told: list[str] = []
    if changes.short_side is not None:
        told.append(f"input size {job.short_side} instead of {benchmark.short_side}")
    if changes.limit is not None:
        told.append(f"the first {images} images alone")
    if changes.classes == "present":
        told.append("each image asked for the classes of its own truth alone")
    told += _settings_changed(settings, benchmark.kind)
    if scores.skipped:
        told.append(f"{len(scores.skipped)} left out")
    report = BenchmarkReport(
        benchmark=benchmark,
        weights=subject.name,
        digest=subject.digest,
        checkpoint=subject.checkpoint,
        short_side=job.short_side,
        long_side=job.long_side,
        classes=job.classes,
        settings=settings,
        changes=tuple(told),
        scores=scores,
        published=published_scores(benchmark, subject.checkpoint),
        predictions=path,
        seconds=seconds,
    )
    plots = plot_scores(scores, job.folder, title=f"{benchmark.name}, {Path(subject.name).name}")
    report = replace(report, plots=plots)
    write_report([report], job.folder)
    return report
