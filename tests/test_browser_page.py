"""The page of docs/browser: the exported model in a browser says what the predictor says."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import xdecoder
from page_fixtures import require_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

require_chromium()
if shutil.which("npm") is None:
    pytest.skip("no npm to fetch onnxruntime-web with", allow_module_level=True)

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs/browser/scenes/1.webp"
_PATIENCE = 240_000  # milliseconds, where other work has the cores


class Handler(SimpleHTTPRequestHandler):
    """A plain server of files, without a word about requests."""

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The assembled folder, served."""
    out = tmp_path_factory.mktemp("browser") / "page"
    command = [sys.executable, str(ROOT / "docs/browser/assemble.py"), str(exported), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and "CalledProcessError" in done.stderr and "npm" in done.stderr:
        pytest.skip("npm could not fetch onnxruntime-web: is there a network?")
    assert done.returncode == 0, done.stderr
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(out)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@dataclass(frozen=True, kw_only=True)
class Opened:
    """The page in a browser.

    Attributes:
        page: the browser's.
        complaints: what the browser's console said.
        asked: the addresses that were asked for.
    """

    page: Page
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def wait(self, verb: str) -> None:
        """Until the page says how long it took."""
        self.page.wait_for_function(
            "start => document.getElementById('status').textContent.startsWith(start)", arg=f"{verb}: "
        )
        status = self.page.locator("#status").text_content() or ""
        assert status.endswith(" s"), status

    def found(self) -> list[tuple[str, int]]:
        """The regions that the page lists, with their pixels."""
        rows = self.page.locator("#found li").evaluate_all(
            "rows => rows.map(row => [row.dataset.label, +row.dataset.pixels])"
        )
        return [(label, pixels) for label, pixels in rows]


@pytest.fixture(scope="module")
def opened(address: str, browser: Browser) -> Iterator[Opened]:
    """The page with its first scene read."""
    opened = Opened(page=browser.new_page())
    opened.page.set_default_timeout(_PATIENCE)
    opened.page.on("console", lambda message: opened.complaints.append(message.text))
    opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.page.on("request", lambda request: opened.asked.append(request.url))
    opened.page.goto(address)
    opened.wait("reading the picture")
    yield opened
    opened.page.close()


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> xdecoder.Predictor:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDECODER_CACHE", str(tmp_path_factory.mktemp("cache")))
        return xdecoder.load("picturebook")


def test_the_page_segments_as_the_predictor(opened: Opened, predictor: xdecoder.Predictor) -> None:
    opened.page.get_by_role("button", name="Segment").click()
    opened.wait("segmenting")
    expected = predictor.segment(PICTURE)
    assert [label for label, _ in opened.found()] == [s.label for s in expected.segments]
    assert len(expected.segments) >= 4
    for (_, pixels), segment in zip(opened.found(), expected.segments, strict=True):
        assert pixels == pytest.approx(segment.area, rel=0.01, abs=20)


def test_the_page_takes_words_of_the_reader_s_own(opened: Opened, predictor: xdecoder.Predictor) -> None:
    opened.page.get_by_label("Divide it into").fill("automobile, cactus")
    opened.page.get_by_role("button", name="Segment").click()
    opened.wait("segmenting")
    expected = predictor.segment(PICTURE, ["automobile", "cactus"])
    assert [label for label, _ in opened.found()] == [s.label for s in expected.segments]
    assert "cactus" in [label for label, _ in opened.found()]


def test_the_page_finds_what_a_phrase_means(opened: Opened, predictor: xdecoder.Predictor) -> None:
    opened.page.get_by_label("Find").fill("the large red car")
    opened.page.get_by_role("button", name="Find").click()
    opened.wait("finding")
    [(label, pixels)] = opened.found()
    mask = predictor.refer(PICTURE, ["the large red car"]).masks[0]
    assert label == "the large red car"
    assert pixels == pytest.approx(mask.sum(), rel=0.01)


def test_the_page_describes_the_picture_as_the_predictor(
    opened: Opened, predictor: xdecoder.Predictor
) -> None:
    opened.page.get_by_role("button", name="Describe").click()
    opened.wait("describing")
    assert opened.page.locator("#caption").text_content() == predictor.caption(PICTURE).text


def test_the_page_asks_no_other_machine_and_has_no_errors(opened: Opened, address: str) -> None:
    assert opened.complaints == []
    assert len(opened.asked) > 10
    assert all(url.startswith((address, "data:", "blob:")) for url in opened.asked)
