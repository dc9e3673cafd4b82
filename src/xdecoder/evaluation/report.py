"""What a run has to say, as Markdown and JSON: ours beside the published figure, and the protocol of both."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, final

from xdecoder.config import InferenceConfig
from xdecoder.evaluation.benchmark import Benchmark
from xdecoder.evaluation.protocol import BenchmarkRun, Scores
from xdecoder.evaluation.seen_classes import TRAINED, means_by_seen
from xdecoder.evaluation.table import input_size, prompts_of
from xdecoder.jobs.files import write_whole
from xdecoder.vocabularies import built_in

_LISTED = 20


@final
@dataclass(frozen=True, kw_only=True)
class BenchmarkReport:
    """One benchmark's outcome.

    Attributes:
        run: what was done.
        weights: the model, as the user called it.
        digest: of its weights.
        checkpoint: the published checkpoint that it is, if any.
        settings: the model's own settings of inference.
        changes: what was done otherwise than the benchmark says: the figures then compare with no published
            one.
        scores: what came out.
        published: the checkpoint's published figures, in percent.
        predictions: the result file.
        seconds: this run's.
        plots: pictures that were drawn.
    """

    run: BenchmarkRun
    weights: str
    digest: str
    checkpoint: str | None
    settings: InferenceConfig
    changes: tuple[str, ...]
    scores: Scores
    published: Mapping[str, float]
    predictions: Path
    seconds: float
    plots: tuple[Path, ...] = field(default=())

    @property
    def benchmark(self) -> Benchmark:
        """The row."""
        return self.run.benchmark

    @property
    def protocol(self) -> str:
        """How the figures were made, in a line."""
        words = prompts_of(self.benchmark, ensemble=self.settings.prompt_ensemble)
        if self.run.classes == "present":
            words = words.replace("all classes", "only the classes present in the image")
        return f"{input_size(self.run.resizing)}; words: {words}{self._scoring()}"

    def _scoring(self) -> str:
        benchmark, settings = self.benchmark, self.settings
        match benchmark.kind:
            case "panoptic":
                own = benchmark.object_threshold, benchmark.overlap_threshold
                usual = settings.object_threshold, settings.overlap_threshold
                used = [u if o is None else o for o, u in zip(own, usual, strict=True)]
                return f"; thresholds: object {used[0]}, overlap {used[1]}"
            case "instance":
                whose = {"coco": "", "cityscapes": "; Cityscapes' own AP", "lvis": "; LVIS's AP"}[
                    benchmark.ap
                ]
                return f"; the best {benchmark.detections or settings.detections} detections{whose}"
            case "referring" if benchmark.smallest_mask is not None:
                return f"; masks below {benchmark.smallest_mask} pixels are none"
            case "semantic":
                taken = "truth or prediction" if self.run.absent == "union" else "truth alone"
                return f"; mIoU over the classes in {taken}"
            case "caption":
                return f"; {settings.caption_steps} tokens at most, {settings.caption_beams} beams"
            case _:
                return ""

    @property
    def by_seen(self) -> Mapping[str, float]:
        """The mean score of classes that the published models were trained on, and of the others, in percent.

        None on the training vocabulary itself, and where no vocabulary is asked for.
        """
        vocabulary = self.benchmark.vocabulary
        if vocabulary in (None, TRAINED) or not self.scores.per_class:
            return {}
        return means_by_seen(self.scores.per_class, built_in(TRAINED).classes)

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON; what is not a number is null."""
        scores = self.scores
        return {
            "benchmark": self.benchmark.name,
            "data": self.benchmark.data,
            "split": self.benchmark.split,
            "task": self.benchmark.kind,
            "weights": self.weights,
            "weights_digest": self.digest,
            "checkpoint": self.checkpoint,
            "protocol": self.protocol,
            "classes": self.run.classes,
            "settings": asdict(self.settings),
            "changes": list(self.changes),
            "figures": without_nan(scores.figures),
            "published": dict(self.published),
            "images": scores.images,
            "per_class_metric": scores.per_class_metric,
            "per_class": without_nan(scores.per_class),
            "by_seen": without_nan(self.by_seen),
            "precision_at_50": list(scores.precision_at_50),
            "skipped": [{"item": s.item, "reason": s.reason} for s in scores.skipped],
            "missing": list(scores.missing),
            "predictions": str(self.predictions),
            "plots": [str(path) for path in self.plots],
            "seconds": round(self.seconds, 1),
        }


def write_report(reports: Sequence[BenchmarkReport], folder: Path) -> tuple[Path, Path]:
    """Write `report.md` and `report.json` and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    markdown, data = folder / "report.md", folder / "report.json"
    write_whole(markdown, markdown_of(reports, folder).encode())
    write_whole(data, (json.dumps([report.to_dict() for report in reports], indent=1) + "\n").encode())
    return markdown, data


def markdown_of(reports: Sequence[BenchmarkReport], folder: Path) -> str:
    """A table of the best known figures, then each benchmark on its own; pictures as seen from `folder`."""
    lines = [
        f"# Evaluation of {reports[0].weights}",
        "",
        "| benchmark | score | ours | published | images |",
        "|---|---|---:|---:|---:|",
    ]
    for report in reports:
        mark = " *" if report.changes else ""
        for metric in report.benchmark.metrics:
            lines.append(
                f"| {report.benchmark.name} | {metric} | {_figure(report.scores.figures[metric])}{mark} "
                f"| {_figure(report.published.get(metric))} | {report.scores.images} |"
            )
    wild = [r.scores.figures["AP"] for r in reports if r.benchmark.name.startswith("seginw-")]
    if len(wild) > 1:
        lines.append(
            f"| mean of {len(wild)} seginw sets | AP | {_figure(math.fsum(wild) / len(wild))} | – | |"
        )
    if any(report.changes for report in reports):
        lines += ["", "\\* not by the published protocol, see below: not to be set beside published figures."]
    for report in reports:
        lines += ["", *_section(report, folder)]
    return "\n".join(lines) + "\n"


def _section(report: BenchmarkReport, folder: Path) -> list[str]:
    benchmark, scores = report.benchmark, report.scores
    lines = [
        f"## {benchmark.name}",
        "",
        f"- data: {benchmark.data}, {benchmark.split}, {scores.images} images"
        + (f" ({benchmark.remark})" if benchmark.remark else ""),
        f"- protocol: {report.protocol}",
        *(f"- **changed**: {change}" for change in report.changes),
        f"- weights: {report.weights} ({report.digest[:12]})",
        f"- published figures of: {report.checkpoint or 'none, these weights are no published ones'}",
        f"- predictions: {report.predictions}",
        "",
        f"| {' | '.join(scores.figures)} |",
        f"|{'---:|' * len(scores.figures)}",
        f"| {' | '.join(_figure(value) for value in scores.figures.values())} |",
    ]
    if scores.missing:
        lines += [
            "",
            f"{len(scores.missing)} without a prediction, counted as missed: {_some(scores.missing)}",
        ]
    if scores.skipped:
        lines += ["", f"{len(scores.skipped)} left out:", ""]
        lines += [f"- {skip.item}: {' '.join(skip.reason.split())}" for skip in scores.skipped[:_LISTED]]
        if len(scores.skipped) > _LISTED:
            lines.append(f"- ... and {len(scores.skipped) - _LISTED} more, all in report.json")
    if report.by_seen:
        seen = ", ".join(f"{kind} {_figure(value)}" for kind, value in report.by_seen.items())
        lines += ["", f"{scores.per_class_metric} of classes seen in training and of others: {seen}."]
    if scores.per_class:
        lines += ["", f"| class | {scores.per_class_metric} |", "|---|---:|"]
        lines += [f"| {name} | {_figure(value)} |" for name, value in scores.per_class.items()]
    for plot in report.plots:
        lines += ["", f"![{plot.stem}]({plot.relative_to(folder)})"]
    return lines


def without_nan(figures: Mapping[str, float]) -> dict[str, float | None]:
    """Figures as JSON can hold them: what is not a number is None."""
    return {name: None if math.isnan(value) else value for name, value in figures.items()}


def _figure(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.1f}"


def _some(items: Sequence[object]) -> str:
    return ", ".join(map(str, items[:8])) + (", ..." if len(items) > 8 else "")
