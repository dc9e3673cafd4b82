"""How far a verb is that works through several images."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress


@contextmanager
def progress_bar(total: int | None, *, shown: bool) -> Generator[Callable[[int], None]]:
    """A bar on stderr, or in a notebook, which is gone in the end.

    Args:
        total: images that there are; None where nobody knows.
        shown: False shows nothing.

    Yields:
        What is called with the number of images that were done.
    """
    with Progress(console=Console(stderr=True), transient=True, disable=not shown) as progress:
        task = progress.add_task("images", total=total)
        yield lambda count: progress.advance(task, count)
