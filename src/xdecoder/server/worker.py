"""The one thread that asks the model, and what waits for it.

Requests with equal calls that wait at the same time are answered in one batch. Where a batch fails it is
asked again one by one, so that an image fails alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, final

from xdecoder.predictor.predictor import Predictor
from xdecoder.server.calls import Call, SearchCall, Source

_logger = logging.getLogger(__name__)


class ShuttingDownError(RuntimeError):
    """Nothing more is answered."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Job:
    call: Call
    source: Source | None
    result: Future[Any] = field(default_factory=Future[Any])


@final
class ModelWorker:
    """Answers calls in the order they come, equal ones together.

    It holds as much as its caller submits: whoever calls it bounds that.

    Args:
        predictor: the model, which no other thread may use from now on.
        batch: requests answered together at the most.
        wait: seconds that the first of a batch waits for others, at the most.
        max_pixels: the most pixels of an image.
        observe_batch: told the verb of each batch that was answered, its requests and its seconds.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        batch: int,
        wait: float,
        max_pixels: int,
        observe_batch: Callable[[str, int, float], None],
    ) -> None:
        self._predictor = predictor
        self._batch = batch
        self._wait = wait
        self._max_pixels = max_pixels
        self._observe_batch = observe_batch
        self._waiting: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it answers."""
        return self._thread.is_alive()

    def waiting(self) -> int:
        """Requests that wait to be answered."""
        return len(self._waiting)

    def submit(self, call: Call, source: Source | None) -> Future[Any]:
        """Ask; a future that is cancelled before its turn costs nothing more.

        Args:
            call: what is asked.
            source: the image; None for a search by words.

        Raises:
            ShuttingDownError: it was closed.
        """
        job = _Job(call=call, source=source)
        with self._changed:
            if self._closed:
                raise ShuttingDownError("the server is shutting down")
            self._waiting.append(job)
            self._changed.notify()
        return job.result

    def close(self) -> None:
        """Answer what waits, then stop."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while group := self._next_group():
            running = [job for job in group if job.result.set_running_or_notify_cancel()]
            if running:
                self._answer(running)

    def _next_group(self) -> list[_Job]:
        """The next jobs with an equal call; none when it was closed and nothing waits."""
        with self._changed:
            while not self._waiting:
                if self._closed:
                    return []
                self._changed.wait()
            first = self._waiting.popleft()
            group = [first]
            until = time.monotonic() + self._wait
            while True:
                self._take_equal(first, group)
                left = until - time.monotonic()
                if len(group) >= self._batch or first.source is None or self._closed or left <= 0:
                    return group
                self._changed.wait(left)

    def _take_equal(self, first: _Job, group: list[_Job]) -> None:
        if first.source is None:
            return
        others: deque[_Job] = deque()
        while self._waiting:
            job = self._waiting.popleft()
            fits = len(group) < self._batch and job.source is not None and job.call == first.call
            (group if fits else others).append(job)
        self._waiting = others

    def _answer(self, jobs: Sequence[_Job]) -> None:
        start = time.monotonic()
        try:
            results = self._ask(jobs)
        except Exception as error:
            if len(jobs) > 1:
                for job in jobs:
                    self._answer([job])
                return
            if not isinstance(error, ValueError):
                _logger.exception("a call failed: %s", jobs[0].call.verb)
            jobs[0].result.set_exception(error)
            return
        self._observe_batch(jobs[0].call.verb, len(jobs), time.monotonic() - start)
        for job, result in zip(jobs, results, strict=True):
            job.result.set_result(result)

    def _ask(self, jobs: Sequence[_Job]) -> Sequence[object]:
        call = jobs[0].call
        sources = [job.source for job in jobs if job.source is not None]
        if isinstance(call, SearchCall) and not sources:
            return [call.find()]
        images = call.read(self._predictor, sources, self._max_pixels)
        return call.answer(self._predictor, images)
