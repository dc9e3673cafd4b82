"""What the command line says: text on stdout; on stderr errors, warnings, and when something is under way."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Final

import typer
from rich.console import Console
from rich.markup import escape

from xdecoder.jobs.printable import printable, printable_lines

FAILED = 1
USAGE = 2
INTERRUPTED = 130


_QUIET: Final = ContextVar("quiet", default=False)
"""Whether the command that is running was told to be quiet."""


def console() -> Console:
    """A console on stderr as it is now; where the command is to be quiet, one that shows nothing."""
    return Console(stderr=True, quiet=_QUIET.get())


def print_text(text: str) -> None:
    """Text on stdout; names from outside within a line go through `printable` first."""
    typer.echo(printable_lines(text))


def print_error(message: str) -> None:
    """One error, also of a command that is to be quiet."""
    Console(stderr=True).print(
        f"[red]error:[/red] {escape(printable_lines(message))}", soft_wrap=True, highlight=False
    )


def print_notice(message: str) -> None:
    """A line on stderr for who waits or wants to know what was done."""
    console().print(escape(printable_lines(message)), soft_wrap=True, highlight=False)


@contextmanager
def report_errors(*, debug: bool, quiet: bool = False) -> Generator[None]:
    """Errors become a line on stderr and an exit code, warnings a line.

    Exit codes: 2 for what the user can mend (`ValueError`, a missing file or package, a file in the way), 130
    for Ctrl-C, 1 for everything else, such as a full disk.

    Args:
        debug: print the traceback first.
        quiet: show neither warnings nor progress nor notices.
    """
    token = _QUIET.set(quiet)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _print_warning
            yield
    except (typer.Exit, BrokenPipeError):
        raise
    except KeyboardInterrupt:
        console().print("interrupted")
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:
        if debug:
            traceback.print_exc()
        mendable = isinstance(error, (ValueError, FileNotFoundError, FileExistsError, ImportError))
        print_error(describe(error))
        raise typer.Exit(USAGE if mendable else FAILED) from None
    finally:
        _QUIET.reset(token)


def describe(error: Exception) -> str:
    """An error in words for who uses the program."""
    text = str(error)
    if isinstance(error, MemoryError) or "out of memory" in text or "not enough memory" in text:
        return "out of memory: try a smaller --batch-size or --short-side, or --dtype bfloat16"
    if isinstance(error, OSError) and isinstance(error.filename, str) and error.strerror:
        return f"{printable(error.filename)}: {error.strerror}"
    if isinstance(error, (ValueError, OSError, ImportError)):
        return text or type(error).__name__
    return f"unexpected {type(error).__name__}: {text} (--debug shows where)"


def describe_file(path: Path, error: Exception) -> str:
    """What is wrong with a file, in one line that names it."""
    name = printable(str(path))
    text = printable(" ".join(describe(error).replace(str(path), name).split()))
    return text if name in text else f"{name}: {text}"


def _print_warning(message: Warning | str, *_: object) -> None:
    text = escape(printable_lines(str(message)))
    console().print(f"[yellow]warning:[/yellow] {text}", soft_wrap=True, highlight=False)
