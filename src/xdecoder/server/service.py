"""A model in service: who is admitted, what is asked of the model, what is kept."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Generator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, final

import numpy as np
from anyio import to_thread
from fastapi import HTTPException, Request

from xdecoder.predictor.encoding import EncodedImage
from xdecoder.predictor.predictor import Predictor
from xdecoder.search.index import Index
from xdecoder.server.bodies import Served
from xdecoder.server.cache import EncodingCache
from xdecoder.server.calls import Call, EncodeCall, SegmentCall, Source
from xdecoder.server.metrics import Metrics
from xdecoder.server.pace import Pace
from xdecoder.server.reading import check_image
from xdecoder.server.settings import ServerSettings
from xdecoder.server.worker import ModelWorker, ShuttingDownError
from xdecoder.structures.png import png_bytes

_HITS = 4096
CLIENT_GONE = 499
"""What is counted, and seen by nobody, where the client went before the answer came."""


@final
class Service:
    """One model, its thread, and what is kept between requests.

    Args:
        predictor: the model, which belongs to the service from now on.
        settings: how much it takes on.
        index: the collection that is searched; None for none.
        name: what the model is called.
    """

    def __init__(
        self, predictor: Predictor, settings: ServerSettings, *, index: Index | None, name: str
    ) -> None:
        self.name = name
        self.settings = settings
        self.config = predictor.config
        self.default_vocabulary = predictor.default_vocabulary
        self.answers = predictor.answer_head is not None
        self.index = index
        self.metrics = Metrics()
        self.cache = EncodingCache(
            most_images=settings.cache_images, most_bytes=int(settings.cache_megabytes * 1e6)
        )
        self.worker = ModelWorker(
            predictor,
            batch=settings.batch,
            wait=settings.wait_ms / 1000,
            max_pixels=settings.max_pixels,
            observe_batch=self._observe_batch,
        )
        self._pace = Pace(settings.max_slowdown)
        self._admitted = 0
        self._asking: Counter[str] = Counter()
        self._asked = 0
        self._hits: OrderedDict[str, str] = OrderedDict()
        self._hits_lock = threading.Lock()
        self._warmed: Future[Any] | None = None
        self.metrics.observe("queue", "Requests that wait for the model.", self.worker.waiting)
        self.metrics.observe("admitted", "Requests admitted and not answered.", lambda: self._admitted)
        self.metrics.observe("cache_images", "Encoded images kept.", lambda: len(self.cache))
        self.metrics.observe("cache_bytes", "Bytes of encoded images kept.", lambda: self.cache.bytes)

    @property
    def served(self) -> Served:
        """The model and the index that calls are for."""
        return Served(config=self.config, index=self.index)

    def start(self) -> None:
        """Begin to answer; its vocabulary is read first, then it is seen how quick the model is."""
        plain = png_bytes(np.zeros((32, 32, 3), np.uint8))
        self.worker.start()
        self._warmed = self.worker.submit(SegmentCall(), plain)
        self.worker.submit(EncodeCall(), plain)

    def close(self) -> None:
        """Answer what was admitted, then stop."""
        self.worker.close()

    @property
    def is_ready(self) -> bool:
        """Whether it answers at once."""
        warmed = self._warmed
        return self.worker.is_alive and warmed is not None and warmed.done() and warmed.exception() is None

    def _observe_batch(self, verb: str, size: int, seconds: float) -> None:
        self.metrics.batches.observe(size)
        if self.is_ready:  # reading the model's vocabulary is no measure of what comes after it
            self._pace.observe_group(verb, size, seconds)

    @contextmanager
    def admit(self, verb: str) -> Generator[None]:
        """Take on one request, if there is room now, and count it; `ask` decides when it has arrived.

        Raises:
            HTTPException: 429 where there is none.
        """
        if self._admitted >= self.settings.queue or not self._pace.has_room(verb, self._asking):
            self.metrics.requests.labels(verb, 429).inc()
            raise self._full(verb)
        self._admitted += 1
        start, status = time.perf_counter(), 500
        try:
            yield
            status = 200
        except HTTPException as error:
            status = error.status_code
            raise
        finally:
            self._admitted -= 1
            self.metrics.requests.labels(verb, status).inc()
            self.metrics.seconds.labels(verb).observe(time.perf_counter() - start)

    async def source(self, data: bytes | None, image_id: str | None) -> Source | None:
        """The image that a request sent or named; None for neither.

        Raises:
            HTTPException: 404 where none is kept by that id, 422 where this is no image or too large.
        """
        if data is not None:
            with told_errors():
                limit = self.settings.max_pixels
                await to_thread.run_sync(lambda: check_image(data, max_pixels=limit))
            return data
        if image_id is None:
            return None
        found = self.cache.get(image_id)
        (self.metrics.misses if found is None else self.metrics.hits).inc()
        if found is None:
            raise HTTPException(404, "no image is kept by this id, or no longer; send the image again")
        return found

    async def ask(self, request: Request, call: Call, source: Source | None) -> Any:
        """The model's answer; the call is dropped if the client goes before its turn.

        Raises:
            HTTPException: 429 where it would not be answered soon enough, 422 where the model cannot answer
                it, 499 where nobody listens any more, 503 where the memory is full or the server shuts down.
        """
        if not self._pace.has_room(call.verb, self._asking):
            raise self._full(call.verb)
        with told_errors(), self._timed(call.verb):
            answer = asyncio.wrap_future(self.worker.submit(call, source))
            gone = asyncio.ensure_future(_wait_until_gone(request))
            try:
                await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
                if not answer.done():
                    raise HTTPException(CLIENT_GONE, "the client is gone")
                return answer.result()
            finally:
                gone.cancel()
                answer.cancel()

    @contextmanager
    def _timed(self, verb: str) -> Generator[None]:
        """A call among those that wait for the model; how long it took, if it was alone."""
        alone = self._asking.total() == 0
        self._asking[verb] += 1
        self._asked += 1
        asked, start = self._asked, time.monotonic()
        try:
            yield
            if alone and asked == self._asked:
                self._pace.observe_alone(verb, time.monotonic() - start)
        finally:
            self._asking[verb] -= 1

    def _full(self, verb: str) -> HTTPException:
        seconds = self._pace.seconds_until_room(verb, self._asking)
        text = f"the server has as much to do as it takes on; try again in {seconds} s"
        return HTTPException(429, text, {"Retry-After": str(seconds)})

    def keep(self, image: EncodedImage) -> str:
        """Keep an encoded image for further calls; its id.

        Raises:
            HTTPException: 422 where it is too large.
        """
        with told_errors():
            return self.cache.add(image)

    def name_hit(self, path: str) -> str:
        """An id by which a client may see a hit's picture, whose path it is not told."""
        key = secrets.token_urlsafe(12)
        with self._hits_lock:
            self._hits[key] = path
            while len(self._hits) > _HITS:
                self._hits.popitem(last=False)
        return key

    def hit_path(self, key: str) -> str | None:
        """The file of a hit; None where no such hit was told lately."""
        return self._hits.get(key)


@contextmanager
def told_errors() -> Generator[None]:
    """Errors that a client can mend, and full memories, as answers of HTTP."""
    try:
        yield
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    except ShuttingDownError as error:
        raise HTTPException(503, str(error)) from error
    except (MemoryError, RuntimeError) as error:
        text = str(error)
        if isinstance(error, MemoryError) or "out of memory" in text or "not enough memory" in text:
            raise HTTPException(503, "out of memory: send a smaller image, or try again later") from error
        raise


async def _wait_until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
