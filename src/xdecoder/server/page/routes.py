"""Where the page is, and what it alone asks for: drawn samples and the colors of labels."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from anyio import to_thread
from fastapi import FastAPI, Path, Query
from fastapi.responses import HTMLResponse, JSONResponse

from xdecoder.drawing.regions import label_color
from xdecoder.picturebook import draw_scene, phrases, questions
from xdecoder.server.formats import png_text
from xdecoder.server.page.write import write_page
from xdecoder.server.reference import page_policy

MOST_SAMPLES = 10_000
_SIDE = 480
_PHRASES = 4
_QUESTIONS = 4
_LABELS = 256
_LONGEST = 1000


def add_routes(app: FastAPI) -> None:
    """The page at `/`, `/v1/samples/SEED` and `/v1/colors`."""
    page = write_page()
    headers = {"content-security-policy": page_policy(page)}

    @app.get("/", include_in_schema=False)
    async def show() -> HTMLResponse:
        return HTMLResponse(page, headers=headers)

    @app.get("/v1/samples/{seed}", summary="A drawn scene to try the model on")
    async def sample(seed: Annotated[int, Path(ge=0, lt=MOST_SAMPLES)]) -> JSONResponse:
        return JSONResponse(await to_thread.run_sync(lambda: draw_sample(seed)))

    @app.get("/v1/colors", summary="The colors that labels have in every picture")
    async def colors(
        label: Annotated[list[Annotated[str, Query(max_length=_LONGEST)]], Query(max_length=_LABELS)],
    ) -> JSONResponse:
        return JSONResponse({name: "#{:02x}{:02x}{:02x}".format(*label_color(name)) for name in label})


def draw_sample(seed: int) -> dict[str, Any]:
    """A scene kept from training: its picture in base64, and what may be asked of it.

    Args:
        seed: 0 or more.
    """
    scene, rng = draw_scene(seed, split="val", size=_SIDE), np.random.default_rng(seed)
    return {
        "png": png_text(scene.image),
        "phrases": [phrase.text for phrase in phrases(scene, rng)][:_PHRASES],
        "questions": [question.text for question in questions(scene, rng, count=_QUESTIONS)],
    }
