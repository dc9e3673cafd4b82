"""How far a long piece of work is."""

from __future__ import annotations

import time

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.progress import TimeRemainingColumn as TimeLeft
from rich.text import Text

from xdecoder.cli.console import console

_SECONDS_BETWEEN_LINES = 60


class ProgressBar:
    """A bar on stderr with the time left, gone when it is done; a line now and then where it is no terminal.

    Args:
        name: what the bar calls the work.
        visible: False shows nothing.
        speed: what is counted is images: show how many a second.
        ending: what is done when all is counted; empty for nothing.
    """

    def __init__(self, name: str, *, visible: bool = True, speed: bool = False, ending: str = "") -> None:
        to = console()
        columns: list[ProgressColumn] = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
        columns += [_Speed()] if speed else []
        columns += [TimeLeft(elapsed_when_finished=True), TextColumn("left")]
        self._name = name
        self._ending = ending
        self._lines = visible and not to.is_terminal and not to.quiet
        self._began = self._last_line = time.monotonic()
        self._bar = Progress(
            *columns,
            console=to,
            transient=True,
            redirect_stdout=False,
            disable=not (visible and to.is_terminal),
        )
        self._task = self._bar.add_task(name, total=None)

    def __call__(self, done: int, total: int) -> None:
        self._bar.update(self._task, completed=done, total=total)
        now = time.monotonic()
        if self._lines and done and now - self._last_line > _SECONDS_BETWEEN_LINES:
            self._last_line = now
            left = (now - self._began) / done * (total - done)
            typer.echo(f"{self._name}: {done} of {total}, {left / 60:.0f} minutes left", err=True)
        if done == total and self._ending:
            self._bar.update(self._task, description=self._ending)

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def speed(images_a_second: float) -> str:
    """Images a second, or seconds an image where they are slow."""
    if images_a_second >= 1:
        return f"{images_a_second:.1f} images/s"
    return f"{1 / images_a_second:.1f} s/image"


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(speed(task.speed) if task.speed else "", style="progress.data.speed")
