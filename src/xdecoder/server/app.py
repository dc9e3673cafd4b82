"""The server's addresses, and what happens at each."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import PurePath
from typing import Annotated, Any, cast

import numpy as np
from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from PIL import Image

from xdecoder.drawing.regions import Region
from xdecoder.editing import edit_region
from xdecoder.images import read_image
from xdecoder.predictor.predictor import Predictor
from xdecoder.search.found import Found
from xdecoder.search.index import Index
from xdecoder.server import label_studio
from xdecoder.server.admission import admitted
from xdecoder.server.bodies import BODIES, EditBody, ImageBody, KeepBody, to_call, to_change
from xdecoder.server.calls import Located, SearchCall
from xdecoder.server.formats import Format, Masks, png_text, render
from xdecoder.server.guard import Guard
from xdecoder.server.page import routes as page_routes
from xdecoder.server.reading import parse_body, read_body, split_body
from xdecoder.server.reference import describe, page_policy, write_reference
from xdecoder.server.service import Service, told_errors
from xdecoder.server.settings import ServerSettings
from xdecoder.structures.png import png_bytes
from xdecoder.structures.result import region_to_dict
from xdecoder.vocabularies import BUILT_IN

Endpoint = Callable[..., Awaitable[Response]]

_SUMMARIES = {
    "segment": "Divide an image into classes",
    "refer": "Find what phrases mean",
    "caption": "Describe an image, or a region of it",
    "answer": "Answer questions about an image",
    "embed": "Embed an image, or a region of it, and hold it against texts",
    "search": "Search the index by words, by an image or by a region of it",
    "edit": "Remove, recolor or blur a region",
}
_DRAWN = "This model was trained on drawn scenes and does not read photographs."


def create_app(
    predictor: Predictor,
    settings: ServerSettings | None = None,
    *,
    index: Index | None = None,
    name: str = "picturebook",
) -> FastAPI:
    """The application, to be run by any ASGI server; in one process, as it holds the model.

    Args:
        predictor: the model, which belongs to the application from now on.
        settings: how it is set up.
        index: the collection that is searched; None for none.
        name: what the model is called.
    """
    chosen = settings or ServerSettings()
    service = Service(predictor, chosen, index=index, name=name)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        service.start()
        yield
        await to_thread.run_sync(service.close)

    app = FastAPI(
        title="X-Decoder",
        description="Segmentation with words, referring, captions, answers, embeddings, search and edits.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.add_middleware(Guard, settings=chosen)
    app.add_exception_handler(RequestValidationError, _tell_malformed)
    _add_facts(app, service)
    _add_images(app, service)
    for verb, body in BODIES.items():
        endpoint = _edit_endpoint(service) if verb == "edit" else _verb_endpoint(service, verb, body)
        app.post(f"/v1/{verb}", name=verb, summary=_SUMMARIES[verb])(endpoint)
    label_studio.add_routes(app, service)
    page_routes.add_routes(app)
    app.state.service = service
    app.openapi = lambda: describe(app)
    return app


# Facts


def _add_facts(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", summary="Whether the server lives")
    async def healthz() -> JSONResponse:
        alive = service.worker.is_alive
        return JSONResponse({"status": "ok" if alive else "the model's thread ended"}, 200 if alive else 503)

    @app.get("/readyz", summary="Whether the model answers at once")
    async def readyz() -> JSONResponse:
        ready = service.is_ready
        return JSONResponse({"status": "ready" if ready else "loading"}, 200 if ready else 503)

    @app.get("/metrics", summary="Numbers for Prometheus", response_class=PlainTextResponse)
    async def metrics() -> PlainTextResponse:
        return PlainTextResponse(service.metrics.text(), media_type="text/plain; version=0.0.4")

    @app.get("/v1/models", summary="The model, and what it can be asked")
    async def models() -> JSONResponse:
        return JSONResponse(_model_facts(service))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        page = write_reference(app.openapi())
        return HTMLResponse(page, headers={"content-security-policy": page_policy(page)})


def _model_facts(service: Service) -> dict[str, Any]:
    words, settings = service.default_vocabulary, service.settings
    missing = {
        "caption": not service.config.decoder.captions,
        "answer": not service.answers,
        "search": service.index is None,
    }
    return {
        "models": [
            {
                "id": service.name,
                "verbs": [verb for verb in BODIES if not missing.get(verb, False)],
                "classes": list(words.classes),
                "things": sorted(words.things),
                "short_side": service.config.inference.short_side,
                "note": _DRAWN if service.config.inference.is_drawn_world else "",
            }
        ],
        "vocabularies": list(BUILT_IN),
        "limits": {"bytes": settings.max_bytes, "pixels": settings.max_pixels, "requests": settings.queue},
    }


# Images


def _add_images(app: FastAPI, service: Service) -> None:
    @app.post("/v1/images", status_code=201, name="images", summary="Encode an image once, to ask many times")
    async def keep(request: Request) -> JSONResponse:
        async with admitted(service, "encode", request):
            told, data = await _receive(service, request, KeepBody, "encode", "native")
            if data is None:
                raise HTTPException(422, "send an image: a file, a form with one, or JSON with base64")
            with told_errors():
                call = to_call("encode", told, service.served)
            encoded = await service.ask(request, call, await service.source(data, None))
            height, width = encoded.geometry.output
            key = service.keep(encoded)
            return JSONResponse({"id": key, "height": height, "width": width}, 201)

    @app.delete("/v1/images/{image_id}", status_code=204, summary="Forget an image")
    async def forget(image_id: str) -> Response:
        if not service.cache.remove(image_id):
            raise HTTPException(404, "no image is kept by this id, or no longer")
        return Response(status_code=204)

    @app.get("/v1/hits/{hit_id}", summary="The picture of a search's hit", response_class=JpegResponse)
    async def hit(hit_id: str, side: Annotated[int, Query(ge=16, le=2048)] = 512) -> Response:
        path = service.hit_path(hit_id)
        if path is None:
            raise HTTPException(404, "no such hit, or no longer; search again")
        return JpegResponse(await to_thread.run_sync(lambda: _thumbnail(path, side)))


class JpegResponse(Response):
    """A picture."""

    media_type = "image/jpeg"


def _thumbnail(path: str, side: int) -> bytes:
    try:
        picture = Image.fromarray(read_image(path))
    except (ValueError, OSError):
        raise HTTPException(404, "the hit's file is gone or damaged; index its folder again") from None
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=85)
    return stream.getvalue()


# Verbs


def _verb_endpoint(service: Service, verb: str, body: type[ImageBody]) -> Endpoint:
    async def endpoint(request: Request, format: Format = "native", masks: Masks = "rle") -> JSONResponse:
        async with admitted(service, verb, request):
            told, data = await _receive(service, request, body, verb, format)
            with told_errors():
                call = to_call(verb, told, service.served)
            source = await service.source(data, told.image_id)
            by_words = isinstance(call, SearchCall) and call.query is not None
            if source is None and not by_words:
                raise HTTPException(422, "no image: send image, image_id or a file")
            result = await service.ask(request, call, source)
            with told_errors():
                content = await to_thread.run_sync(
                    lambda: _shape(service, result, format, masks, told.image_id or "image")
                )
            return JSONResponse(content)

    return endpoint


def _edit_endpoint(service: Service) -> Endpoint:
    one_at_a_time = CapacityLimiter(1)  # filling takes seconds, and all cores

    async def endpoint(request: Request) -> Response:
        async with admitted(service, "edit", request):
            told, data = await _receive(service, request, EditBody, "edit", "native")
            with told_errors():
                call = to_call("edit", told, service.served)
                change, options = to_change(told)
            source = await service.source(data, told.image_id)
            if source is None:
                raise HTTPException(422, "no image: send image, image_id or a file")
            found = cast("Located", await service.ask(request, call, source))
            with told_errors():
                picture = await to_thread.run_sync(
                    lambda: edit_region(found.image.image, found.mask, change, options), limiter=one_at_a_time
                )
            if "image/png" in request.headers.get("accept", ""):
                return Response(await to_thread.run_sync(lambda: png_bytes(picture)), media_type="image/png")
            name = cast("Any", told).change
            return JSONResponse(await to_thread.run_sync(lambda: _edited(name, found, picture)))

    return endpoint


def _edited(change: str, found: Located, picture: np.ndarray) -> dict[str, Any]:
    region = Region(label="region", category=0, mask=found.mask)
    height, width = picture.shape[:2]
    return {
        "kind": "edit",
        "edit": change,
        "height": height,
        "width": width,
        "region": region_to_dict(region),
        "png": png_text(picture),
    }


def _shape(service: Service, result: object, form: Format, masks: Masks, image_id: str) -> Any:
    """A result ready for JSON; hits without their paths, which are the server's own business."""
    if not isinstance(result, Found) or form != "native":
        return render(result, form, masks=masks, image_id=image_id)
    data = result.to_dict()
    for row in data["hits"]:
        path = row.pop("file")
        row |= {"name": PurePath(path).name, "hit": service.name_hit(path)}
    return data


# What all have in common


async def _receive(
    service: Service, request: Request, body: type[ImageBody], verb: str, form: str
) -> tuple[ImageBody, bytes | None]:
    settings = service.settings
    data = await read_body(request, most=settings.max_bytes, seconds=settings.body_seconds)
    received = await split_body(request, data)
    return await to_thread.run_sync(lambda: parse_body(received, body, verb=verb, hf=form == "hf"))


async def _tell_malformed(_: Request, error: Exception) -> JSONResponse:
    """What is wrong with a query or a path, as text like every other error."""
    rows = cast("RequestValidationError", error).errors()
    text = "; ".join(f"{'.'.join(map(str, row['loc']))}: {row['msg']}"[:200] for row in rows[:5])
    return JSONResponse({"detail": text}, 422)
