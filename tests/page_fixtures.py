"""The bundled model behind its page, and a browser before it."""

from __future__ import annotations

import base64
import functools
import json
import re
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest

import xdecoder
from xdecoder.picturebook import draw_scene
from xdecoder.structures import decode_rle
from xdecoder.structures.png import png_bytes

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium")
SIDE = 480
_OPTIONS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-gpu",
)


def require_chromium() -> None:
    """Leave a module's tests out where there is no browser; pytest says so once for all of them."""
    if CHROMIUM is None:
        reason = "no Chromium to look at the page with: apt-get install chromium fonts-dejavu-core"
        pytest.skip(reason, allow_module_level=True)


@functools.cache
def scene(seed: int) -> np.ndarray:
    """The picture of a sample."""
    return draw_scene(seed, split="val", size=SIDE).image


@pytest.fixture(scope="session")
def page_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with the bundled model and an index of three scenes."""
    import uvicorn

    from xdecoder.search import Index
    from xdecoder.server.app import create_app

    folder = tmp_path_factory.mktemp("scenes")
    for seed in (40, 41, 53):
        image = draw_scene(seed, split="val", size=160).image
        (folder / f"scene-{seed}.png").write_bytes(png_bytes(image))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDECODER_CACHE", str(tmp_path_factory.mktemp("cache")))
        predictor = xdecoder.load("picturebook")
        plain = replace(predictor.config.inference, prompt_ensemble=False)  # one text a name, not 81
        predictor.model.config = replace(predictor.config, inference=plain)
        index = Index.create(tmp_path_factory.mktemp("index"), predictor)
        index.update(folder)
        app = create_app(predictor, index=index)
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser; not for the session, as it keeps a loop running in which no test can run its own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_OPTIONS))
        yield opened
        opened.close()


@dataclass(kw_only=True)
class Visit:
    """A person before the page.

    Attributes:
        page: the browser's.
        address: the server's.
        complaints: what the browser's console said is wrong.
        asked: the addresses that were asked for.
        told: what the server itself answered before.
    """

    page: Page
    address: str
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    told: dict[str, Any]

    def open(self) -> Visit:
        """The page, until its samples are drawn."""
        self.page.goto(self.address)
        self.page.wait_for_selector("#samples img")
        self.wait()
        return self

    def wait(self) -> None:
        """Until nothing is going on."""
        self.page.wait_for_selector("body:not([aria-busy])")

    def open_sample(self, place: int = 1) -> Visit:
        """One of the drawn scenes; the seed is its place."""
        self.page.click(f"#samples li:nth-child({place + 1}) button")
        self.page.wait_for_selector("#legend li")
        self.wait()
        return self

    def submit(self, form: str, tab: str | None = None, **texts: str) -> None:
        """Fill fields by their ids, and send a form off; until it is answered."""
        if tab is not None:
            self.page.click(f"#tab-{tab}")
        for name, text in texts.items():
            self.page.fill(f"#{name}", text)
        self.page.locator(f"#{form} > button").last.click()
        self.wait()

    def legend(self) -> list[str]:
        """The names of the masks."""
        return self.page.locator("#legend .name").all_inner_texts()

    def pixel(self, x: float, y: float) -> tuple[int, int, int]:
        """The color that the canvas shows at a point, given in the picture's pixels."""
        shown: list[int] = self.page.evaluate(
            """([x, y]) => {
                const canvas = document.getElementById("canvas");
                const context = canvas.getContext("2d");
                const [column, row] = [Math.floor(x * canvas.width), Math.floor(y * canvas.height)];
                return [...context.getImageData(column, row, 1, 1).data];
            }""",
            [x / SIDE, y / SIDE],
        )
        return shown[0], shown[1], shown[2]

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where in the window a point of the picture is."""
        self.page.locator("#canvas").scroll_into_view_if_needed()
        box = self.page.locator("#canvas").bounding_box()
        assert box is not None
        return box["x"] + x / SIDE * box["width"], box["y"] + y / SIDE * box["height"]

    def drag(self, tool: str, *points: tuple[float, float]) -> None:
        """Draw with a tool through points of the picture."""
        self.page.check(f"[name=tool][value={tool}]", force=True)
        mouse = self.page.mouse
        mouse.move(*self.at(*points[0]))
        mouse.down()
        for point in points[1:]:
            mouse.move(*self.at(*point), steps=2)
        mouse.up()

    def ask(self, verb: str, seed: int = 1, **body: Any) -> Any:
        """What the server itself answers about a scene."""
        key = json.dumps([verb, seed, body])
        if key not in self.told:
            image = base64.b64encode(png_bytes(scene(seed))).decode()
            answer = httpx.post(f"{self.address}/v1/{verb}", json={"image": image, **body}, timeout=60)
            assert answer.status_code == 200, answer.text
            self.told[key] = answer.json()
        return self.told[key]

    def ask_index(self, **body: Any) -> list[str]:
        """The names of the files that the server itself finds."""
        answer = httpx.post(f"{self.address}/v1/search", json=body, timeout=60)
        return [hit["name"] for hit in answer.json()["hits"]]

    def clipboard(self) -> Any:
        """The JSON that was copied."""
        return json.loads(self.page.evaluate("navigator.clipboard.readText()"))


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": 1000, "height": 760},
        permissions=["clipboard-read", "clipboard-write"],
        reduced_motion="reduce",
    )
    context.set_default_timeout(15_000)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    return {}


@pytest.fixture
def visit(tab: Page, page_address: str, told: dict[str, Any]) -> Iterator[Visit]:
    """The page opened; at the end nothing was asked of another machine, and nothing went wrong unseen."""
    visit = Visit(page=tab, address=page_address, told=told)
    watchers: dict[Any, Any] = {
        "request": lambda request: visit.asked.append(request.url),
        "pageerror": lambda error: visit.complaints.append(str(error)),
        "console": lambda message: _note(visit, message.type, message.text),
    }
    for event, watcher in watchers.items():
        tab.on(event, watcher)
    yield visit.open()
    tab.unroute_all()
    for event, watcher in watchers.items():
        tab.remove_listener(event, watcher)
    own = re.compile(rf"{re.escape(page_address)}/|data:|blob:")
    assert [url for url in visit.asked if not own.match(url)] == []
    assert visit.complaints == []


def _note(visit: Visit, kind: str, text: str) -> None:
    if kind == "error" and "Failed to load resource" not in text:
        visit.complaints.append(text)


def center(segment: Any) -> tuple[float, float]:
    """A point well inside a segment that the server gave."""
    mask = decode_rle(segment["segmentation"])
    ys, xs = np.nonzero(mask)
    order = np.hypot(ys - ys.mean(), xs - xs.mean()).argsort()
    for place in order.tolist():
        y, x = int(ys[place]), int(xs[place])
        if mask[max(0, y - 4) : y + 5, max(0, x - 4) : x + 5].all():
            return float(x), float(y)
    raise ValueError("the segment is too thin")
