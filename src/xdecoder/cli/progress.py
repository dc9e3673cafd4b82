"""How far a long piece of work is."""

from __future__ import annotations

import time

import typer

from xdecoder.cli.messages import console

_SECONDS_BETWEEN_LINES = 60


class Progress:
    """A bar on stderr with the time left; where stderr is no terminal, a line now and then.

    Args:
        name: of the work.
        visible: False shows nothing.
        ending: what is done when all is counted; empty for nothing.
    """

    def __init__(self, name: str, *, visible: bool = True, ending: str = "") -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        to = console()
        self._name = name
        self._ending = ending
        self._lines = visible and not to.is_terminal
        self._began = self._told = time.monotonic()
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("left"),
            console=to,
            transient=True,
            disable=not (visible and to.is_terminal),
        )
        self._task = self._bar.add_task(name, total=None)

    def __call__(self, done: int, total: int) -> None:
        self._bar.update(self._task, completed=done, total=total)
        now = time.monotonic()
        if self._lines and now - self._told > _SECONDS_BETWEEN_LINES:
            self._told = now
            left = (now - self._began) / done * (total - done)
            typer.echo(f"{self._name}: {done} of {total}, {left / 60:.0f} minutes left", err=True)
        if done == total and self._ending:
            self._bar.update(self._task, description=self._ending)

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
