"""A model that is kept busy, for tests of what happens meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi.testclient import TestClient

from xdecoder.predictor.encoding import EncodedImage
from xdecoder.predictor.predictor import Predictor
from xdecoder.server.calls import Call


class Watched(Call):
    """A call that says when it is answered, and waits to be let go."""

    verb = "watched"

    def __init__(self) -> None:
        object.__setattr__(self, "begun", threading.Event())
        object.__setattr__(self, "go", threading.Event())
        super().__init__()

    begun: threading.Event
    go: threading.Event
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def read(self, predictor: Predictor, sources: Any, max_pixels: int) -> list[EncodedImage]:
        self.begun.set()
        assert self.go.wait(30)
        return []

    def answer(self, predictor: Predictor, images: list[EncodedImage]) -> list[str]:
        return ["answered"]


@contextmanager
def held(app: Any) -> Iterator[None]:
    """The model busy with a call of nobody's, until the block ends."""
    watched = Watched()
    service = app.state.service
    service.worker.submit(watched, b"")
    assert watched.begun.wait(30)
    try:
        yield
    finally:
        watched.go.set()


def wait_for(client: TestClient, line: str) -> None:
    until = time.monotonic() + 20
    while line not in client.get("/metrics").text:
        assert time.monotonic() < until, line
        time.sleep(0.01)
