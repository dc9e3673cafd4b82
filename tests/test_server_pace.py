"""Requests are taken on as long as they are answered soon enough."""

import heapq
import math
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np
import pytest
from fastapi.testclient import TestClient

from server_fixtures import in_base64
from server_load import held, wait_for
from xdecoder.predictor.predictor import Predictor
from xdecoder.server.app import create_app
from xdecoder.server.pace import Pace
from xdecoder.server.settings import ServerSettings


def learned(slowdown: float = 3.0, **seconds: float) -> Pace:
    """A pace that knows verbs which take so long alone, and half of it in a batch."""
    pace = Pace(slowdown, clock=lambda: 0.0)
    for verb, alone in seconds.items():
        pace.observe_alone(verb, alone)
        pace.observe_group(verb, 8, 4 * alone)
    return pace


def test_a_request_is_taken_on_as_long_as_it_takes_at_most_so_many_times_its_time_alone() -> None:
    pace = learned(segment=1.0, edit=2.0)
    assert [pace.has_room("segment", {"segment": n}) for n in (0, 4, 5)] == [True, True, False]
    assert [pace.has_room("edit", {"segment": n}) for n in (8, 9)] == [True, False]
    assert learned(math.inf, segment=1.0).has_room("segment", {"segment": 1000})
    with pytest.raises(ValueError, match="max_slowdown must be at least 1"):
        ServerSettings(max_slowdown=0.5)


def test_a_quick_request_is_not_turned_away_for_one_slow_one() -> None:
    pace = learned(answer=0.1, caption=3.0)
    assert pace.has_room("answer", {"caption": 1})
    assert [pace.has_room("answer", {"caption": n}) for n in (5, 6)] == [True, False]
    assert [pace.has_room("answer", {"answer": n, "caption": 0}) for n in (4, 5)] == [True, False]


def test_a_verb_that_was_never_asked_is_taken_for_the_slowest_that_was() -> None:
    pace = learned(encode=0.5, segment=1.0)
    assert [pace.has_room("caption", {"caption": n}) for n in (0, 2, 3)] == [True, True, False]
    assert Pace(3.0).has_room("segment", {"segment": 50})


def test_those_refused_are_told_to_come_back_one_after_the_other() -> None:
    pace = learned(segment=1.0)
    waits = [pace.seconds_until_room("segment", {"segment": 5}) for _ in range(200)]
    assert waits[:4] == [3, 4, 4, 5]
    assert max(waits) == 60
    quick = learned(segment=0.001)
    assert quick.seconds_until_room("segment", {"segment": 5}) == 1


class Simulation:
    """Clients that ask a model again and again, in a time of the test's own.

    A batch of n takes 0.4 + 0.6 n seconds, so that one alone takes 1 and eight 5.2.
    """

    def __init__(self, *, clients: int, slowdown: float, seed: int = 0) -> None:
        self.now = 0.0
        self.rng = np.random.default_rng(seed)
        self.pace = Pace(slowdown, clock=lambda: self.now)
        self.pace.observe_alone("segment", 1.0)
        self.arrivals = [float(self.rng.random()) for _ in range(clients)]
        self.waiting: deque[float] = deque()
        self.running: list[float] = []
        self.ends = math.inf
        self.took: list[float] = []
        self.busy = 0.0

    def run(self, seconds: float) -> None:
        heapq.heapify(self.arrivals)
        while self.now < seconds:
            self.now = min(self.arrivals[0] if self.arrivals else math.inf, self.ends)
            if self.now == self.ends:
                self.finish()
            else:
                heapq.heappop(self.arrivals)
                self.arrive()
            if not self.running and self.waiting:
                self.begin()

    def arrive(self) -> None:
        admitted = Counter(segment=len(self.waiting) + len(self.running))
        if self.pace.has_room("segment", admitted):
            self.waiting.append(self.now)
        else:
            heapq.heappush(self.arrivals, self.now + self.pace.seconds_until_room("segment", admitted))

    def begin(self) -> None:
        count = min(8, len(self.waiting))
        self.running = [self.waiting.popleft() for _ in range(count)]
        took = (0.4 + 0.6 * count) * float(self.rng.uniform(0.9, 1.1))
        self.ends = self.now + took
        self.busy += took
        self.pace.observe_group("segment", count, took)

    def finish(self) -> None:
        for begun in self.running:
            self.took.append(self.now - begun)
            heapq.heappush(self.arrivals, self.now + 0.01 * float(self.rng.random()))
        self.running, self.ends = [], math.inf


@pytest.mark.parametrize("clients", [2, 16, 160])
def test_what_is_admitted_is_answered_within_the_bound_and_the_model_is_never_idle(clients: int) -> None:
    load = Simulation(clients=clients, slowdown=3.0)
    load.run(1000)
    assert np.quantile(load.took, 0.99) <= 3.0 * 1.1
    assert load.busy > 0.9 * 1000


def test_without_a_bound_all_wait_for_one_another() -> None:
    load = Simulation(clients=160, slowdown=math.inf)
    load.run(500)
    assert np.quantile(load.took, 0.5) > 30


def test_a_question_that_would_wait_too_long_is_refused_at_once_and_slow_senders_do_not_count(
    served_predictor: Predictor, picture: bytes
) -> None:
    app = create_app(served_predictor)
    body = {"image": in_base64(picture)}
    with (
        TestClient(app, base_url="http://localhost") as client,
        ThreadPoolExecutor(3) as pool,
        ExitStack() as slow,
    ):
        wait_for(client, "xdecoder_batch_size_sum 2.0")
        for _ in range(5):
            slow.enter_context(app.state.service.admit("caption"))  # its body has not arrived
        with held(app):
            asked = [pool.submit(client.post, "/v1/caption", json=body) for _ in range(3)]
            wait_for(client, "xdecoder_queue 3.0")
            begun = time.monotonic()
            refused = client.post("/v1/caption", json=body)
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) >= 1
            assert time.monotonic() - begun < 1.5  # what has been read is not waited for again
        assert [future.result().status_code for future in asked] == [200] * 3
