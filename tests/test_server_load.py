"""The server under load, at its door, and when it is told to stop."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from huggingface_hub import InferenceClient
from typer.testing import CliRunner

from server_fixtures import WORDS, in_base64, plain_png
from server_load import Watched, held, wait_for
from xdecoder.cli.app import app as cli
from xdecoder.predictor.predictor import Predictor
from xdecoder.server.app import create_app
from xdecoder.server.calls import AnswerCall, Call, CaptionCall, SegmentCall
from xdecoder.server.guard import OPEN_PATHS
from xdecoder.server.settings import ServerSettings, read_token
from xdecoder.server.worker import ModelWorker, ShuttingDownError
from xdecoder.structures import PanopticSegmentation
from xdecoder.vocabularies import parse_vocabulary

TOKEN = "0123456789abcdef-secret"
LOCAL = "http://localhost"


# Batches


class Batches:
    """What a worker says of its batches, and a worker that waits for `go` before its first."""

    def __init__(self, predictor: Predictor, *, batch: int = 8) -> None:
        self.sizes: list[int] = []
        self.worker = ModelWorker(
            predictor,
            batch=batch,
            wait=0,
            max_pixels=100_000,
            observe_batch=lambda verb, size, seconds: self.sizes.append(size),
        )

    def ask(self, *asked: tuple[Call, bytes]) -> list[Future[Any]]:
        """All asked before the worker starts, and answered."""
        futures = [self.worker.submit(call, image) for call, image in asked]
        self.worker.start()
        self.worker.close()
        return futures


def test_requests_with_an_equal_question_are_answered_together_and_as_one_by_one(
    served_predictor: Predictor, pictures: Path
) -> None:
    images = [(pictures / f"{i}.png").read_bytes() for i in range(3)]
    batches = Batches(served_predictor)
    words = parse_vocabulary(WORDS)
    other = AnswerCall(questions=("is it red?",))
    asked = [
        *((SegmentCall(words=parse_vocabulary(WORDS)), image) for image in images[:2]),
        (other, images[0]),
        (SegmentCall(words=words), images[2]),
    ]
    results = [future.result() for future in batches.ask(*asked)]
    assert batches.sizes == [3, 1]
    for i, place in enumerate((0, 1, 3)):
        expected = served_predictor.segment(images[i], WORDS)
        assert isinstance(expected, PanopticSegmentation)
        assert np.array_equal(results[place].ids, expected.ids)
        told, alone = ([s.score for s in result.segments] for result in (results[place], expected))
        assert told == pytest.approx(alone, rel=1e-4)
    assert results[2][0].text == served_predictor.answer(images[0], "is it red?").text


def test_a_batch_holds_no_more_than_told(served_predictor: Predictor, picture: bytes) -> None:
    batches = Batches(served_predictor, batch=2)
    call = AnswerCall(questions=("is it red?",))
    batches.ask(*[(call, picture)] * 5)
    assert batches.sizes == [2, 2, 1]


def test_an_image_that_fails_fails_alone(served_predictor: Predictor, picture: bytes) -> None:
    batches = Batches(served_predictor)
    call = CaptionCall(region=(0.0, 0.0, 50.0, 50.0))
    futures = batches.ask((call, picture), (call, plain_png(9, 8)), (call, picture[:200]))
    expected = served_predictor.caption(picture, region=(0.0, 0.0, 50.0, 50.0))
    assert futures[0].result().text == expected.text
    with pytest.raises(ValueError, match="within the image of 8 x 9"):
        futures[1].result()
    with pytest.raises(ValueError, match="damaged"):
        futures[2].result()


def test_a_question_that_was_cancelled_is_never_asked(served_predictor: Predictor, picture: bytes) -> None:
    batches = Batches(served_predictor)
    first, second = Watched(), Watched()
    futures = [batches.worker.submit(call, picture) for call in (first, second)]
    batches.worker.start()
    assert first.begun.wait(30)
    assert futures[1].cancel()
    first.go.set()
    batches.worker.close()
    assert futures[0].result() == "answered"
    assert not second.begun.is_set()
    assert batches.sizes == [1]
    with pytest.raises(ShuttingDownError):
        batches.worker.submit(first, picture)


# Admission


def test_requests_over_the_queue_are_told_to_come_back(served_predictor: Predictor, picture: bytes) -> None:
    app = create_app(served_predictor, ServerSettings(queue=2))
    body = {"image": in_base64(picture)}
    with TestClient(app, base_url=LOCAL) as client, ThreadPoolExecutor(2) as pool:
        with held(app):
            admitted = [pool.submit(client.post, "/v1/caption", json=body) for _ in range(2)]
            wait_for(client, "xdecoder_admitted 2.0")
            refused = client.post("/v1/caption", json=body)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
            assert client.get("/healthz").status_code == 200
        assert [future.result().status_code for future in admitted] == [200, 200]
        assert client.post("/v1/caption", json=body).status_code == 200
        assert 'xdecoder_requests_total{status="429",verb="caption"} 1.0' in client.get("/metrics").text


def test_a_request_whose_client_is_gone_is_dropped(served_predictor: Predictor, picture: bytes) -> None:
    app = create_app(served_predictor)
    messages: list[Any] = [
        {"type": "http.request", "body": json.dumps({"image": in_base64(picture)}).encode()},
        {"type": "http.disconnect"},
    ]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/caption",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"host", b"localhost")],
    }

    async def receive() -> Any:
        return messages.pop(0)

    async def send(_: Any) -> None:
        return

    with TestClient(app, base_url=LOCAL) as client:
        wait_for(client, "xdecoder_batch_size_sum 2.0")
        with held(app):
            asyncio.run(app(scope, receive, send))
        wait_for(client, 'xdecoder_requests_total{status="499",verb="caption"} 1.0')
        client.post("/v1/caption", json={"image": in_base64(picture)})
        assert "xdecoder_batch_size_sum 4.0" in client.get("/metrics").text  # warming, the held one, this one


def test_a_body_that_does_not_arrive_is_not_waited_for(served_predictor: Predictor) -> None:
    app = create_app(served_predictor, ServerSettings(body_seconds=0.05))

    async def receive() -> Any:
        await asyncio.sleep(5)

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/caption",
        "query_string": b"",
        "headers": [(b"content-type", b"image/png"), (b"host", b"localhost")],
    }
    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 408


# The door


def test_a_token_is_asked_for_everywhere_but_at_the_open_paths(
    served_predictor: Predictor, picture: bytes, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    settings = ServerSettings(host="0.0.0.0", token=read_token(tmp_path / "token"))
    app = create_app(served_predictor, settings)
    with TestClient(app, base_url="http://photos.example") as client:
        paths = [
            path.format(image_id="x", hit_id="x", seed=1)
            for path in app.openapi()["paths"]
            if path not in OPEN_PATHS
        ]
        for path in [*paths, "/docs", "/openapi.json"]:
            for headers in ({}, {"authorization": f"Bearer {TOKEN[:-1]}"}, {"authorization": "Basic eDp5"}):
                for method in ("GET", "POST"):
                    answer = client.request(method, path, headers=headers)
                    assert answer.status_code == 401, path
                    assert TOKEN not in answer.text
        assert client.get("/healthz").status_code == 200
        body = {"image": in_base64(picture)}
        shown = {"authorization": f"Bearer {TOKEN}"}
        assert client.post("/v1/caption", json=body, headers=shown).status_code == 200
        assert client.post("/v1/caption", json=body, auth=("anybody", TOKEN)).status_code == 200


def test_pages_of_other_sites_and_of_made_up_names_are_turned_away(served_predictor: Predictor) -> None:
    with TestClient(create_app(served_predictor), base_url=LOCAL) as client:
        for headers in (
            {"origin": "http://evil.example"},
            {"origin": "null"},
            {"host": "evil.example"},
            {"host": "localhost.evil.example:8000"},
        ):
            assert client.get("/v1/models", headers=headers).status_code == 403
        for headers in ({"origin": LOCAL}, {"host": "127.0.0.1:8000"}, {"host": "[::1]:8000"}):
            answer = client.get("/v1/models", headers=headers)
            assert answer.status_code == 200
            assert "access-control-allow-origin" not in answer.headers
        assert client.options("/v1/caption", headers={"origin": "http://evil.example"}).status_code == 403


def test_every_answer_forbids_guessing_its_type_and_running_anything(served_predictor: Predictor) -> None:
    with TestClient(create_app(served_predictor), base_url=LOCAL) as client:
        for path in ("/healthz", "/v1/models", "/docs", "/nowhere"):
            headers = client.get(path).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["content-security-policy"].startswith("default-src 'none'")


def test_other_machines_are_not_let_in_unless_told(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.168.1.7", "photos.example"):
        with pytest.raises(ValueError, match="protect it with --token-file FILE, or say --open-to-all"):
            ServerSettings(host=host)
        ServerSettings(host=host, open_to_all=True)
    ServerSettings(host="127.0.0.1")
    ServerSettings(host="::1")
    (tmp_path / "short").write_text("guess-me")
    with pytest.raises(ValueError, match="one token of 16 ASCII characters or more"):
        read_token(tmp_path / "short")
    with pytest.raises(FileNotFoundError, match="openssl rand"):
        read_token(tmp_path / "none")
    result = CliRunner().invoke(cli, ["serve", "--host", "0.0.0.0"])
    assert result.exit_code == 2
    assert "--token-file" in result.output


# A process


@contextmanager
def serving(folder: Path, cache: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`xdecoder serve` in a process of its own, at the address it chose."""
    command = [sys.executable, "-m", "xdecoder", "serve", "--weights", str(folder), "--port", "0", *options]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "XDECODER_CACHE": str(cache)}
    )
    assert process.stderr is not None
    try:
        address = ""
        for line in process.stderr:
            if match := re.search(r"running on (http://\S+)", line):
                address = match[1]
                break
        assert address, "the server did not start"
        yield address, process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_a_server_answers_hugging_face_s_client_and_finishes_what_it_admitted(
    served_folder: Path, served_predictor: Predictor, picture: bytes, tmp_path: Path
) -> None:
    with serving(served_folder, tmp_path) as (address, process):

        def client(verb: str) -> InferenceClient:
            return InferenceClient(f"{address}/v1/{verb}?format=hf")

        assert (
            client("caption").image_to_text(picture).generated_text == served_predictor.caption(picture).text
        )
        parts = client("segment").image_segmentation(picture)
        assert {part.label for part in parts} <= set(served_predictor.default_vocabulary.classes)
        assert all(part.mask.size == (96, 80) for part in parts)
        (answer,) = client("answer").visual_question_answering(picture, "is it red?", top_k=1)
        assert answer.answer == served_predictor.answer(picture, "is it red?").text
        labels = ["a car", "a tree"]
        ranked = client("embed").zero_shot_image_classification(picture, candidate_labels=labels)
        assert {row.label for row in ranked} == set(labels)
        assert sum(row.score for row in ranked) == pytest.approx(1)
        body = {"image": in_base64(picture), "vocabulary": [f"class {i}" for i in range(20)]}  # takes a while
        with ThreadPoolExecutor(2) as pool:
            running = [
                pool.submit(httpx.post, f"{address}/v1/segment", json=body, timeout=60) for _ in range(2)
            ]
            until = time.monotonic() + 20
            while "xdecoder_admitted 2.0" not in httpx.get(f"{address}/metrics").text:
                assert time.monotonic() < until
            process.send_signal(signal.SIGTERM)
            assert [future.result().status_code for future in running] == [200, 200]
        assert process.wait(30) in (0, -signal.SIGTERM)
