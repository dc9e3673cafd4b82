"""What the server gives to its page."""

import base64
import io
import re
from collections.abc import Iterator

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from xdecoder.drawing.regions import label_color
from xdecoder.picturebook import draw_scene
from xdecoder.predictor.predictor import Predictor
from xdecoder.server.app import create_app
from xdecoder.server.page.write import write_page
from xdecoder.server.settings import ServerSettings


@pytest.fixture(scope="module")
def client(served_predictor: Predictor) -> Iterator[TestClient]:
    with TestClient(create_app(served_predictor), base_url="http://localhost") as opened:
        yield opened


def test_the_page_runs_its_own_script_and_style_and_nothing_else(client: TestClient) -> None:
    answer = client.get("/")
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert policy["script-src"].startswith("'sha256-")
    assert len(policy["script-src"].split()) == len(policy["style-src"].split()) == 1


def test_the_page_is_one_file_that_fetches_nothing_from_elsewhere() -> None:
    page = write_page()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert "src=" not in page
    assert page.count("<script") == page.count("<style") == 1
    assert not re.search(r"<[^>]* (on\w+|style)=", page)


def test_a_sample_is_a_scene_and_what_may_be_asked_of_it(client: TestClient) -> None:
    told = client.get("/v1/samples/7").json()
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(told["png"]))))
    assert np.array_equal(picture, draw_scene(7, split="val", size=480).image)
    assert told == client.get("/v1/samples/7").json()
    assert told["phrases"]
    assert all(question.endswith("?") for question in told["questions"])
    for seed in ("-1", "10000", "x"):
        assert client.get(f"/v1/samples/{seed}").status_code == 422


def test_labels_have_the_library_s_colors(client: TestClient) -> None:
    labels = ["dog", "a red <b>car</b>", "größe"]
    told = client.get("/v1/colors", params={"label": labels}).json()
    assert told == {label: "#{:02x}{:02x}{:02x}".format(*label_color(label)) for label in labels}
    for wrong in ({}, {"label": "x" * 1001}, {"label": ["a"] * 257}):
        assert client.get("/v1/colors", params=wrong).status_code == 422


def test_with_a_token_the_page_is_shown_and_a_browser_asks_for_it_before_the_reference(
    served_predictor: Predictor,
) -> None:
    app = create_app(served_predictor, ServerSettings(host="0.0.0.0", token="0123456789abcdef"))
    client = TestClient(app, base_url="http://photos.example")
    assert client.get("/").status_code == 200
    assert client.get("/docs").headers["www-authenticate"].startswith("Basic ")
    assert client.get("/docs", auth=("anybody", "0123456789abcdef")).status_code == 200
    for path in ("/v1/models", "/v1/samples/1", "/v1/colors?label=a"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
