"""Label Studio's tasks labeled in advance."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from server_fixtures import in_base64
from xdecoder.labeling.brush import encode_brush
from xdecoder.predictor.predictor import Predictor
from xdecoder.server.app import create_app
from xdecoder.server.label_studio import parse_interface
from xdecoder.server.settings import ServerSettings
from xdecoder.structures import mask_box

TOKEN = "label-studio-token"
CONFIG = """
<View>
  <Image name="img" value="$photo" zoom="true"/>
  <!-- a comment -->
  <BrushLabels name="brush" toName="img"><Label value="car"/><Label value="tree"/></BrushLabels>
  <PolygonLabels name="poly" toName="img"><Label value="grass"/></PolygonLabels>
  <RectangleLabels name="box" toName="img"><Label value="car"/></RectangleLabels>
</View>
"""


def unpack(code: list[int]) -> list[int]:
    """Label Studio's brush code read value by value, as its editor does."""
    bits = "".join(f"{byte:08b}" for byte in code)
    place = 0

    def read(width: int) -> int:
        nonlocal place
        place += width
        return int(bits[place - width : place], 2)

    count, word = read(32), read(5) + 1
    widths = [read(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < count:
        repeated = read(1)
        length = read(widths[read(2)]) + 1
        values += [read(word)] * length if repeated else [read(word) for _ in range(length)]
    return values


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (70, 301)])
def test_a_brush_mask_is_read_back_by_the_editor_s_rule(size: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    noise = generator.random(size) < 0.5
    halves = np.zeros(size, np.bool_)
    halves[size[0] // 2 :] = True
    for mask in (noise, halves, np.ones(size, np.bool_), np.zeros(size, np.bool_)):
        values = np.array(unpack(encode_brush(mask))).reshape(*size, 4)
        assert np.array_equal(values == 255, np.repeat(mask[..., None], 4, axis=2))


class Pictures(BaseHTTPRequestHandler):
    """A Label Studio that has one picture, and shows it to who has the token."""

    picture: bytes = b""

    def do_GET(self) -> None:
        if self.path == "/data/moved.png":
            self.send_response(302)
            self.send_header("location", "/data/upload/1.png")
            self.end_headers()
            return
        allowed = self.headers.get("authorization") == f"Token {TOKEN}"
        self.send_response(200 if allowed and self.path == "/data/upload/1.png" else 404)
        self.end_headers()
        self.wfile.write(self.picture if allowed else b"")

    def log_message(self, format: str, *args: Any) -> None:
        return


@contextmanager
def label_studio(picture: bytes) -> Iterator[str]:
    handler = type("Handler", (Pictures,), {"picture": picture})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def predict(client: TestClient, *addresses: Any, config: str = CONFIG) -> Any:
    tasks = [{"id": i, "data": {"photo": address}} for i, address in enumerate(addresses)]
    body = {"tasks": tasks, "label_config": config, "project": "1.2", "params": {"login": None}}
    return client.post("/predict", json=body)


def test_tasks_are_labeled_with_the_project_s_own_names(served_predictor: Predictor, picture: bytes) -> None:
    with (
        label_studio(picture) as address,
        TestClient(
            create_app(served_predictor, ServerSettings(label_studio=address, label_studio_token=TOKEN)),
            base_url="http://localhost",
        ) as client,
    ):
        assert client.get("/health").json()["status"] == "UP"
        setup = {"project": "1.2", "schema": CONFIG, "hostname": address, "access_token": "x"}
        assert client.post("/setup", json=setup).json() == {"model_version": "picturebook"}
        sent = f"data:image/png;base64,{in_base64(picture)}"
        told = predict(client, sent, "/data/upload/1.png", f"{address}/data/upload/1.png").json()["results"]
        assert told[0] == told[1] == told[2]
        parts = list(served_predictor.segment(picture, ["car", "tree", "grass"]).regions())
        regions = told[0]["result"]
        for kind, labels in (("brushlabels", {"car", "tree"}), ("rectanglelabels", {"car"})):
            drawn = [region for region in regions if region["type"] == kind]
            found = [part for part in parts if part.label in labels]
            assert [region["value"][kind] for region in drawn] == [[part.label] for part in found]
            for region, part in zip(drawn, found, strict=True):
                assert (region["original_width"], region["original_height"]) == (96, 80)
                if kind == "brushlabels":
                    alpha = np.array(unpack(region["value"]["rle"])).reshape(80, 96, 4)[..., 3]
                    assert np.array_equal(alpha > 0, part.mask)
                else:
                    left, _, right, bottom = mask_box(part.mask)
                    value = region["value"]
                    assert value["x"] == pytest.approx(100 * left / 96)
                    assert value["y"] + value["height"] == pytest.approx(100 * bottom / 80)
                    assert value["width"] == pytest.approx(100 * (right - left) / 96)
        for region in regions:
            if region["type"] == "polygonlabels":
                assert region["value"]["polygonlabels"] == ["grass"]
                assert all(0 <= x <= 100 and 0 <= y <= 100 for x, y in region["value"]["points"])


def test_an_image_elsewhere_is_never_fetched_and_spoils_no_other(
    served_predictor: Predictor, picture: bytes
) -> None:
    sent = f"data:image/png;base64,{in_base64(picture)}"
    with label_studio(picture) as address, label_studio(picture) as other:
        settings = ServerSettings(label_studio=address, label_studio_token=TOKEN)
        app = create_app(served_predictor, settings)
        with TestClient(app, base_url="http://localhost") as client:
            bad = [
                f"{other}/data/upload/1.png",
                f"//{other.removeprefix('http://')}/data/upload/1.png",
                "/data/moved.png",
                "/data/gone.png",
                "file:///etc/passwd",
                "s3://bucket/a.png",
                "data/upload/1.png",
                "data:image/png;base64,????",
                "http://[",
                None,
                7,
            ]
            told = predict(client, *bad, sent)
            results = told.json()["results"]
            assert [result["result"] for result in results[:-1]] == [[]] * len(bad)
            assert results[-1]["result"]


def test_without_the_option_no_address_is_fetched(served_predictor: Predictor, picture: bytes) -> None:
    app = create_app(served_predictor)
    with label_studio(picture) as address, TestClient(app, base_url="http://localhost") as client:
        told = predict(client, f"{address}/data/upload/1.png").json()
        assert told["results"][0]["result"] == []


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("<View", "no XML"),
        ("<View/>", "no Image with BrushLabels"),
        (
            '<View><Image name="i" value="$i"/><Choices name="c" toName="i"/></View>',
            "no Image with BrushLabels",
        ),
        ('<!DOCTYPE a [<!ENTITY b "c">]><View/>', "declares a document type"),
    ],
)
def test_an_interface_without_masks_is_refused(
    served_predictor: Predictor, config: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        parse_interface(config)
    with TestClient(create_app(served_predictor), base_url="http://localhost") as client:
        answer = predict(client, "x", config=config)
        assert (answer.status_code, message in answer.json()["detail"]) == (422, True)
        assert client.post("/predict", content=b"{").status_code == 422
