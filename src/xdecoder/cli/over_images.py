"""A model over many images: read, work, write, count; one bad image does not stop it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
import typer

import xdecoder
from xdecoder.cli.console import FAILED, INTERRUPTED, console, describe_file, print_error
from xdecoder.cli.progress import Progress, speed
from xdecoder.cli.targets import Target
from xdecoder.jobs.files import write_whole
from xdecoder.jobs.isolation import Pixels, attempt
from xdecoder.predictor.predictor import Predictor
from xdecoder.vocabularies import Vocabulary

_R = TypeVar("_R")


def load_predictor(
    source: str, *, device: str | None, dtype: str | None, batch_size: int | None
) -> Predictor:
    """The model that the options name.

    Raises:
        ValueError: there is no such device, or the model is damaged.
        FileNotFoundError: there is no such model.
    """
    place = find_device(device)
    size = batch_size or (1 if place.type == "cpu" else 8)
    kind = None if dtype is None else getattr(torch, dtype)
    with console().status(f"loading {source}"):
        return xdecoder.load(source, device=place, dtype=kind, batch_size=size)


def find_device(name: str | None) -> torch.device:
    """The device of a name; where None, a GPU if there is one.

    Raises:
        ValueError: there is no such device here.
    """
    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    here = ["cpu", *gpus, *(["mps"] if torch.backends.mps.is_available() else [])]
    if name is None:
        return torch.device("cuda" if gpus else "cpu")
    if name not in here and not (name == "cuda" and gpus):
        raise ValueError(f"no device {name!r}; this computer has {', '.join(here)}")
    return torch.device(name)


def embed_vocabulary(predictor: Predictor, vocabulary: Vocabulary) -> None:
    """Embed the classes ahead of the images, telling how far it is; the predictor keeps them."""
    with Progress("reading the vocabulary") as progress:
        predictor.embed_vocabulary(vocabulary, progress)


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where results go.

    Attributes:
        folder: for files; None writes none.
        as_json: print a line of JSON for each image.
        skip_existing: pass over images whose results are in the folder.
        pictures: a drawn PNG belongs to each result.
    """

    folder: Path | None
    as_json: bool
    skip_existing: bool = False
    pictures: bool = True

    def __post_init__(self) -> None:
        if self.skip_existing and self.folder is None:
            raise ValueError("--skip-existing needs the folder of the earlier run: add --out FOLDER")

    def has(self, target: Target) -> bool:
        """Whether an earlier run finished this image."""
        if self.folder is None or not self.skip_existing:
            return False
        suffixes = (".json", ".png") if self.pictures else (".json",)
        return all(target.output(self.folder, suffix).is_file() for suffix in suffixes)

    def repeat(self, target: Target) -> None:
        """Print what an earlier run wrote."""
        if self.as_json and self.folder is not None:
            stored = target.output(self.folder, ".json").read_text(encoding="utf-8")
            print_json(json.loads(stored))

    def write(
        self, target: Target, data: dict[str, Any], save_picture: Callable[[Path], None] | None
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


def print_json(data: dict[str, Any]) -> None:
    """One line of JSON on stdout."""
    typer.echo(json.dumps(data))


def run(
    targets: Sequence[Target],
    output: Output,
    *,
    batch_size: int,
    verb: Callable[[list[Pixels]], Sequence[_R]],
    finish: Callable[[Target, _R], None],
    prints: bool = False,
    debug: bool = False,
) -> int:
    """Work through images.

    An image that cannot be read, or that the verb refuses, is told at the end; an error in `finish`, such as
    a full disk, stops the run.

    Args:
        targets: the images.
        output: which of them are finished.
        batch_size: images worked on together.
        verb: images to as many results.
        finish: writes and prints a result.
        prints: `finish` prints a line for each image.
        debug: let the first error through.

    Returns:
        The exit code: 1 where images failed.

    Raises:
        typer.Exit: Ctrl-C was pressed (130).
        OSError: a result could not be written.
    """
    start = time.monotonic()
    failures: list[tuple[Target, str]] = []
    todo = [target for target in targets if not output.has(target)]
    for target in targets:
        if output.has(target):
            output.repeat(target)
    done = 0
    busy_terminal = (prints or output.as_json) and sys.stdout.isatty()  # the lines show how far it is
    try:
        with Progress("images", visible=not busy_terminal, speed=True) as progress:
            for begin in range(0, len(todo), batch_size):
                group = todo[begin : begin + batch_size]
                results = attempt([target.path for target in group], verb, debug=debug)
                for target, result in zip(group, results, strict=True):
                    if isinstance(result, Exception):
                        failures.append((target, describe_file(target.path, result)))
                        if output.as_json:
                            print_json({"file": str(target.path), "error": failures[-1][1]})
                    else:
                        finish(target, result)
                        done += 1
                    progress(done + len(failures), len(todo))
    except KeyboardInterrupt:
        _tell_stop("interrupted", done, len(todo), output)
        raise typer.Exit(INTERRUPTED) from None
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        _tell_stop("stopped", done, len(todo), output)
        raise
    if done or len(todo) < len(targets):
        _tell_end(done, len(targets) - len(todo), time.monotonic() - start, output)
    for _, message in failures:
        print_error(message)
    if failures and len(todo) > 1:
        console().print(f"{len(failures)} of {len(todo)} images failed", highlight=False)
    return FAILED if failures else 0


def _tell_end(done: int, skipped: int, seconds: float, output: Output) -> None:
    parts = [f"{done} image{'' if done == 1 else 's'} in {seconds:.1f} s"]
    if done > 1:
        parts.append(f"({speed(done / seconds)})")
    if skipped:
        parts.append(f"and {skipped} from before")
    where = f", written to {output.folder}" if output.folder else ""
    console().print(" ".join(parts) + where, highlight=False, markup=False, soft_wrap=True)


def _tell_stop(how: str, done: int, total: int, output: Output) -> None:
    further = "; --skip-existing goes on from here" if output.folder else ""
    console().print(f"{how} after {done} of {total} images{further}", highlight=False)
