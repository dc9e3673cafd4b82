"""A model over many images: found, read, worked on, written, counted; one bad image does not stop it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import typer

from xdecoder.cli.console import FAILED, INTERRUPTED, describe_file, print_error, print_notice, print_text
from xdecoder.cli.options import DataOutput, PictureOutput, check_folder
from xdecoder.cli.progress import ProgressBar, speed
from xdecoder.cli.targets import Target, find_targets
from xdecoder.jobs.files import read_file, remove_drafts, write_whole
from xdecoder.jobs.folder_lock import hold_folder
from xdecoder.jobs.isolation import Pixels, attempt
from xdecoder.jobs.printable import printable
from xdecoder.structures.result import SegmentationResult

_R = TypeVar("_R")


@dataclass(frozen=True, kw_only=True)
class Results:
    """Where results go, and which are there.

    Attributes:
        folder: for files; None writes none.
        as_json: print a line of JSON for each image.
        skip_existing: pass over images whose results are in the folder.
        draws: a drawn PNG belongs to each result.
        single: the command is about one image.
    """

    folder: Path | None
    as_json: bool
    skip_existing: bool
    draws: bool
    single: bool

    def has(self, target: Target) -> bool:
        """Whether an earlier run finished this image."""
        if self.folder is None or not self.skip_existing:
            return False
        suffixes = (".json", ".png") if self.draws else (".json",)
        return all(target.output(self.folder, suffix).is_file() for suffix in suffixes)

    def repeat(self, target: Target) -> None:
        """Print what an earlier run wrote."""
        if self.as_json and self.folder is not None:
            file = target.output(self.folder, ".json")
            try:
                stored = json.loads(read_file(file))
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{file} is damaged ({error}): delete it to have it made anew") from error
            print_json(stored)

    def write(
        self, target: Target, data: dict[str, Any], save_picture: Callable[[Path], None] | None = None
    ) -> None:
        """Write and print one result; the JSON file comes last, and marks the image as finished."""
        data = {"file": str(target.path), **data}
        if self.folder is not None:
            file = target.output(self.folder, ".json")
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                if save_picture:
                    save_picture(file.with_name(f"{target.name.name}.png"))
                write_whole(file, json.dumps(data).encode())
            except OSError as error:
                raise OSError(
                    f"cannot write the result of {target.path} to {self.folder}: {error.strerror or error}"
                ) from error
        if self.as_json:
            print_json(data)

    def write_picture(self, target: Target, result: SegmentationResult) -> None:
        """Write and print a result that draws itself; in words where it is the only one."""
        self.write(target, result.to_dict(), result.save)
        self.print_summary(lambda: str(result))

    def print_line(self, target: Target, *words: str) -> None:
        """Print a result in words with tabs, after the file's name where there are several images."""
        if not self.as_json:
            parts = words if self.single else (str(target.path), *words)
            typer.echo("\t".join(map(printable, parts)))

    def print_summary(self, summary: Callable[[], str]) -> None:
        """Print a result in words where it is the only one."""
        if self.single and not self.as_json:
            print_text(summary())


def print_json(data: dict[str, Any]) -> None:
    """One line of JSON on stdout."""
    typer.echo(json.dumps(data))


@dataclass(frozen=True, kw_only=True)
class ImageTask(Generic[_R]):
    """What a command does with images.

    Attributes:
        compute: images to as many results.
        batch_size: images worked on together.
        finish: writes and prints a result.
        prints: `finish` prints a line for each image.
    """

    compute: Callable[[list[Pixels]], Sequence[_R]]
    batch_size: int
    finish: Callable[[Target, _R], None]
    prints: bool = False


def run_over_images(
    sources: Sequence[str],
    output: PictureOutput | DataOutput,
    prepare: Callable[[Results], ImageTask[_R]],
    *,
    debug: bool,
) -> int:
    """Find images, work through them, and say how it went.

    An image that cannot be read, or that the task refuses, is told at the end; an error in writing, such as
    a full disk, stops the run.

    Args:
        sources: files, folders and globs; none where a command can do without images.
        output: where results go.
        prepare: makes the task, such as by loading a model; called when all else is known to be right.
        debug: let the first error through.

    Returns:
        The exit code: 1 where images failed.

    Raises:
        typer.Exit: Ctrl-C was pressed (130).
        FileNotFoundError: an input does not exist or has no images.
        ValueError: the options do not fit together.
        OSError: a result could not be written.
    """
    check_output(output)
    targets = find_targets(sources, output.folder) if sources else []
    results = Results(
        folder=output.folder,
        as_json=output.as_json,
        skip_existing=output.skip_existing,
        draws=output.draws,
        single=len(targets) == 1,
    )
    task = prepare(results)
    if results.folder is None:
        return _work_through(targets, results, task, debug=debug)
    results.folder.mkdir(parents=True, exist_ok=True)
    with hold_folder(results.folder, print_wait(results.folder)):
        for folder in {target.output(results.folder, "").parent for target in targets}:
            remove_drafts(folder)
        return _work_through(targets, results, task, debug=debug)


def _work_through(targets: Sequence[Target], results: Results, task: ImageTask[Any], *, debug: bool) -> int:
    start = time.monotonic()
    failures: list[str] = []
    todo = [target for target in targets if not results.has(target)]
    for target in targets:
        if results.has(target):
            results.repeat(target)
    done = 0
    busy_terminal = (task.prints or results.as_json) and sys.stdout.isatty()  # the lines show how far it is
    try:
        with ProgressBar("images", visible=not busy_terminal, speed=True) as progress:
            for begin in range(0, len(todo), task.batch_size):
                group = todo[begin : begin + task.batch_size]
                outcomes = attempt([target.path for target in group], task.compute, debug=debug)
                for target, outcome in zip(group, outcomes, strict=True):
                    if isinstance(outcome, Exception):
                        failures.append(describe_file(target.path, outcome))
                        if results.as_json:
                            print_json({"file": str(target.path), "error": failures[-1]})
                    else:
                        task.finish(target, outcome)
                        done += 1
                    progress(done + len(failures), len(todo))
    except KeyboardInterrupt:
        _print_stop("interrupted", done, len(todo), results)
        raise typer.Exit(INTERRUPTED) from None
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        _print_stop("stopped", done, len(todo), results)
        raise
    if done or len(todo) < len(targets):
        _print_end(done, len(targets) - len(todo), time.monotonic() - start, results)
    for message in failures:
        print_error(message)
    if failures and len(todo) > 1:
        print_notice(f"{len(failures)} of {len(todo)} images failed")
    return FAILED if failures else 0


def check_output(output: PictureOutput | DataOutput) -> None:
    """Refuse options of the output that do not fit together, or a folder that cannot be made.

    Raises:
        ValueError: saying which.
    """
    if output.skip_existing and output.folder is None:
        raise ValueError("--skip-existing needs the folder of the earlier run: add --out FOLDER")
    if output.folder is not None:
        check_folder("--out", output.folder)


def print_wait(folder: Path) -> Callable[[], None]:
    """What says that another process writes to a folder, and that its end is waited for."""
    return lambda: print_notice(
        f"another process writes to {printable(str(folder))}: waiting for its end "
        "(with another --out both work at once)"
    )


def _print_end(done: int, skipped: int, seconds: float, results: Results) -> None:
    parts = [f"{done} image{'' if done == 1 else 's'} in {seconds:.1f} s"]
    if done > 1:
        parts.append(f"({speed(done / seconds)})")
    if skipped:
        parts.append(f"and {skipped} from before")
    where = f", written to {printable(str(results.folder))}" if results.folder else ""
    print_notice(" ".join(parts) + where)


def _print_stop(how: str, done: int, total: int, results: Results) -> None:
    further = "; --skip-existing goes on from here" if results.folder else ""
    print_notice(f"{how} after {done} of {total} images{further}")
