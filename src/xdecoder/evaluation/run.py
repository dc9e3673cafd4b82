"""A benchmark on a model: predict what is not yet on disk, write the result file, score it, report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, final

from xdecoder.config import InferenceConfig
from xdecoder.data.dataset import Skip
from xdecoder.evaluation.benchmark import Benchmark, BenchmarkTask
from xdecoder.evaluation.cluster import EvaluationWorker, predict_on_cluster
from xdecoder.evaluation.kinds import protocol_of
from xdecoder.evaluation.plan import Overrides, open_benchmark, plan_run
from xdecoder.evaluation.plots import plot_scores
from xdecoder.evaluation.predicting import predict
from xdecoder.evaluation.protocol import BenchmarkProtocol, BenchmarkRun, Scores
from xdecoder.evaluation.published import published_scores
from xdecoder.evaluation.report import BenchmarkReport, write_report
from xdecoder.jobs.cluster import Actors
from xdecoder.jobs.distributed import World, wait_for_all
from xdecoder.jobs.journal import Finished, Journal
from xdecoder.jobs.progress import ProgressCallback
from xdecoder.predictor.model_source import ModelSource
from xdecoder.predictor.predictor import Predictor

_FORMAT = 2  # of the journals' entries


@final
@dataclass(frozen=True, kw_only=True)
class EvaluatedModel:
    """What is evaluated.

    Attributes:
        name: as the user called it.
        predictor: the loaded model that answers.
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


def evaluate(
    benchmark: Benchmark,
    model: EvaluatedModel,
    *,
    data: Path | None = None,
    out: Path,
    overrides: Overrides | None = None,
    world: World | None = None,
    actors: Actors | None = None,
    progress: ProgressCallback | None = None,
) -> BenchmarkReport | None:
    """Run a benchmark.

    Images are worked on one by one, and each process takes every `world.size`-th: the figures do not depend
    on the number of processes, nor on how often the run was killed and begun again.

    Args:
        benchmark: a row of `BENCHMARKS`.
        model: predicts every image of the benchmark.
        data: the folder that holds the data sets' folders; the drawn world needs none.
        out: the results go to its subfolder of the benchmark's name; what is finished there is kept.
        overrides: what to do otherwise.
        world: the processes; they share `out`.
        actors: the processes of a Ray cluster that predict instead of this one; they reach `data` and `out`
            under the same names.
        progress: told how many images are predicted, and of how many.

    Returns:
        The report; None in all processes but the first.

    Raises:
        FileNotFoundError: the data set is missing or incomplete.
        ValueError: it is malformed; `out` holds results of another model or protocol; no image is usable.
    """
    overrides, world = overrides or Overrides(), world or World()
    started = time.monotonic()
    dataset = open_benchmark(benchmark, data, overrides)
    run = plan_run(benchmark, dataset, folder=out / benchmark.name, overrides=overrides)
    protocol = protocol_of(benchmark)(run, dataset)
    fingerprint = _fingerprint(run, model)
    if actors is None:
        _predict(protocol, model.predictor, fingerprint, world, progress)
    else:
        todo = _unfinished(protocol, fingerprint, range(len(dataset)))
        worker = EvaluationWorker(
            model=ModelSource.of(model.name, model.predictor),
            benchmark=benchmark,
            data=data and data.absolute(),
            folder=run.folder.absolute(),
            overrides=overrides,
            fingerprint=fingerprint,
        )
        predict_on_cluster(worker, todo, len(dataset), actors=actors, progress=progress)
    if world.size > 1:
        wait_for_all()
    if not world.is_first:
        return None

    finished = Finished.read(run.folder, fingerprint)
    order = [sample.image_id for sample in dataset]
    failed = [Skip(item=f"image {i}", reason=finished.failed[i]) for i in order if i in finished.failed]
    if len(failed) == len(order):
        raise ValueError(
            f"{benchmark.name}: none of the {len(order)} images could be used; the first: {failed[0].reason}"
        )
    path = run.folder / protocol.file
    protocol.write(finished.entries(iter(order)), path)
    scores = protocol.score(path, frozenset(i for i in order if i not in finished.places))
    scores = replace(scores, skipped=(*dataset.skipped, *failed, *scores.skipped))
    return _report(run, model, scores, overrides, len(order), path, time.monotonic() - started)


def _predict(
    protocol: BenchmarkProtocol[Any],
    predictor: Predictor,
    fingerprint: Mapping[str, Any],
    world: World,
    progress: ProgressCallback | None,
) -> None:
    """Add to this process's journal what no journal has yet."""
    folder = protocol.run.folder
    mine = range(world.rank, len(protocol.dataset), world.size)
    todo = _unfinished(protocol, fingerprint, mine)
    with Journal(folder, world.rank, fingerprint) as journal:
        for done, _ in enumerate(
            predict(protocol, predictor, todo, journal), start=len(mine) - len(todo) + 1
        ):
            if progress:
                progress(done, len(mine))


def _unfinished(
    protocol: BenchmarkProtocol[Any], fingerprint: Mapping[str, Any], indices: Sequence[int]
) -> list[int]:
    """The samples that no journal has a prediction of."""
    finished = Finished.read(protocol.run.folder, fingerprint)
    return [i for i in indices if protocol.dataset[i].image_id not in finished.places]


def _fingerprint(run: BenchmarkRun, model: EvaluatedModel) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "weights": model.digest,
        "dtype": model.predictor.model.dtype,
        **asdict(run.benchmark),
        "resizing": None if run.resizing is None else asdict(run.resizing),
        "classes": run.classes,
    }


def _settings_changed(settings: InferenceConfig, benchmark: Benchmark) -> list[str]:
    """Settings of the model that are not the published ones and bear on a benchmark."""
    published = InferenceConfig()
    relevant: dict[BenchmarkTask, tuple[str, ...]] = {
        "panoptic": ("prompt_ensemble",),
        "instance": ("prompt_ensemble",) if benchmark.detections else ("detections", "prompt_ensemble"),
        "semantic": ("resize_probabilities", "prompt_ensemble"),
        "caption": ("caption_steps", "caption_beams"),
    }
    ours, theirs = asdict(settings), asdict(published)
    return [
        f"the model's {name} is {ours[name]}, the published {theirs[name]}"
        for name in relevant.get(benchmark.kind, ())
        if ours[name] != theirs[name]
    ]


def _report(
    run: BenchmarkRun,
    model: EvaluatedModel,
    scores: Scores,
    overrides: Overrides,
    images: int,
    path: Path,
    seconds: float,
) -> BenchmarkReport:
    benchmark, settings = run.benchmark, model.predictor.config.inference
    told: list[str] = []
    if overrides.short_side is not None:
        usual = "the model's own" if benchmark.resizing is None else benchmark.resizing.short_side
        told.append(f"input size {overrides.short_side} instead of {usual}")
    if overrides.limit is not None:
        told.append(f"the first {images} images alone")
    if overrides.classes == "present":
        told.append("each image asked for the classes of its own truth alone")
    if benchmark.kind == "semantic" and overrides.absent == "truth":
        told.append("mIoU over the classes of the truth alone")
    told += _settings_changed(settings, benchmark)
    if scores.skipped:
        told.append(f"{len(scores.skipped)} left out")
    report = BenchmarkReport(
        run=run,
        weights=model.name,
        digest=model.digest,
        checkpoint=model.checkpoint,
        settings=settings,
        changes=tuple(told),
        scores=scores,
        published=published_scores(benchmark, model.checkpoint),
        predictions=path,
        seconds=seconds,
    )
    plots = plot_scores(scores, run.folder, title=f"{benchmark.name}, {Path(model.name).name}")
    report = replace(report, plots=plots)
    write_report([report], run.folder)
    return report
