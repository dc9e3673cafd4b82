"""How long requests take, by which it is decided whether another one is taken on.

One model answers one group of requests after the other, so that a request waits for all that were admitted
before it. Alone it takes `alone` seconds; of those before it each takes `each` seconds of the model's time,
which is less, as they are answered together. It is taken on if both together are at most so many times
`alone`: its own, or that of the slowest verb before it, so that a quick call is not turned away for one
slow one.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import final

_WEIGHT = 0.2
_LONGEST_WAIT = 60


@final
class Pace:
    """Running means of seconds, by verb.

    Args:
        max_slowdown: times its time alone, or that of the slowest before it, that a request may take.
        clock: seconds that only grow.
    """

    def __init__(self, max_slowdown: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_slowdown = max_slowdown
        self._clock = clock
        self._alone: dict[str, float] = {}
        self._each: dict[str, float] = {}
        self._promised = 0.0
        self._lock = threading.Lock()

    def observe_alone(self, verb: str, seconds: float) -> None:
        """A request, from its start to its answer, beside which there was no other."""
        with self._lock:
            self._alone[verb] = _mixed(self._alone.get(verb), seconds)

    def observe_group(self, verb: str, size: int, seconds: float) -> None:
        """So many requests that the model answered together."""
        with self._lock:
            self._each[verb] = _mixed(self._each.get(verb), seconds / size)

    def seconds_of(self, admitted: Mapping[str, int]) -> float:
        """The model's time that requests take.

        Args:
            admitted: how many of each verb.
        """
        with self._lock:
            return sum(count * self._each_of(verb) for verb, count in admitted.items())

    def has_room(self, verb: str, admitted: Mapping[str, int]) -> bool:
        """Whether a request is answered soon enough.

        Args:
            verb: what it asks.
            admitted: how many of each verb are before it.
        """
        before = self.seconds_of(admitted)
        with self._lock:
            own = self._alone_of(verb)
            slowest = max([own, *(self._alone_of(other) for other, count in admitted.items() if count)])
        return before == 0 or before + own <= self._max_slowdown * slowest

    def seconds_until_room(self, verb: str, admitted: Mapping[str, int]) -> int:
        """When one that was refused may come back: each one later than those refused before it.

        Args:
            verb: what it asks.
            admitted: how many of each verb are before it.
        """
        before = self.seconds_of(admitted)
        with self._lock:
            now = self._clock()
            self._promised = max(self._promised, now) + self._each_of(verb)
            wait = before + self._promised - now
        return min(max(1, math.ceil(wait)), _LONGEST_WAIT)

    def _alone_of(self, verb: str) -> float:
        return self._alone.get(verb, self._each_of(verb))

    def _each_of(self, verb: str) -> float:
        """A verb that was never asked is taken for the slowest that was."""
        return self._each.get(verb, max(self._each.values(), default=0.0))


def _mixed(mean: float | None, seconds: float) -> float:
    return seconds if mean is None else (1 - _WEIGHT) * mean + _WEIGHT * seconds
