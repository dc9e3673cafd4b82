"""A backend for Label Studio: its tasks labeled in advance, with the project's own label names."""

from __future__ import annotations

import asyncio
import http.client
import logging
import re
import urllib.request
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit
from xml.etree import ElementTree

from anyio import to_thread
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, ValidationError

from xdecoder.labeling.labelstudio import mean_score, region_results
from xdecoder.labeling.picture import Simplifications
from xdecoder.server.admission import admitted
from xdecoder.server.bodies import MOST_NAMES
from xdecoder.server.calls import SegmentCall
from xdecoder.server.reading import decode_base64, in_words, read_body
from xdecoder.server.service import Service, told_errors
from xdecoder.server.settings import ServerSettings
from xdecoder.structures import PanopticSegmentation
from xdecoder.vocabularies import parse_vocabulary

_logger = logging.getLogger(__name__)

_CONTROLS = ("BrushLabels", "PolygonLabels", "RectangleLabels")
_LONGEST_CONFIG = 1_000_000
_MOST_TASKS = 64
_FETCH_SECONDS = 10


class _Task(BaseModel):
    model_config = ConfigDict(extra="ignore")
    data: dict[str, Any]


class PredictBody(BaseModel):
    """What Label Studio sends to have tasks labeled beforehand.

    Attributes:
        tasks: with their images.
        label_config: the project's labeling interface, in XML.
    """

    model_config = ConfigDict(extra="ignore")
    tasks: list[_Task]
    label_config: str


@dataclass(frozen=True, kw_only=True)
class Control:
    """What labels are drawn with.

    Attributes:
        kind: "brushlabels", "polygonlabels" or "rectanglelabels".
        name: by which results refer to the control.
        labels: what it draws.
    """

    kind: str
    name: str
    labels: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class LabelingInterface:
    """What of a project's labeling interface matters here.

    Attributes:
        image: the name of the image that is labeled.
        key: the field of a task's data that holds it.
        controls: what it is labeled with.
    """

    image: str
    key: str
    controls: tuple[Control, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels, each once."""
        return tuple(dict.fromkeys(label for control in self.controls for label in control.labels))


def parse_interface(text: str) -> LabelingInterface:
    """A project's labeling interface.

    Args:
        text: the project's labeling interface, in XML.

    Raises:
        ValueError: it is no XML, or has no image with labels that a mask can become.
    """
    if len(text) > _LONGEST_CONFIG or "<!" in re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL):
        raise ValueError("the labeling interface is too long, or declares a document type or entities")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"the labeling interface is no XML: {error}") from error
    images = {image.get("name", ""): image.get("value", "") for image in root.iter("Image")}
    controls: list[tuple[str, Control]] = []
    for element in root.iter():
        names = tuple(label.get("value", "") for label in element.iter("Label"))
        if element.tag in _CONTROLS and element.get("toName") in images and names:
            control = Control(kind=element.tag.lower(), name=element.get("name", ""), labels=names)
            controls.append((element.get("toName", ""), control))
    if not controls:
        raise ValueError(
            f"the labeling interface has no Image with {', '.join(_CONTROLS)}: add one of these with labels"
        )
    image = controls[0][0]
    return LabelingInterface(
        image=image,
        key=images[image].removeprefix("$"),
        controls=tuple(control for name, control in controls if name == image),
    )


def add_routes(app: FastAPI, service: Service) -> None:
    """The addresses that Label Studio asks of a backend."""

    @app.get("/health", summary="Label Studio: whether the backend lives")
    async def health() -> JSONResponse:
        return JSONResponse({"status": "UP", "model_class": "XDecoder"})

    @app.post("/setup", summary="Label Studio: begin with a project")
    async def setup(request: Request) -> JSONResponse:
        await read_body(request, most=service.settings.max_bytes, seconds=service.settings.body_seconds)
        return JSONResponse({"model_version": service.name})

    @app.post("/predict", summary="Label Studio: label tasks in advance")
    async def predict(request: Request) -> JSONResponse:
        async with admitted(service, "predict", request):
            settings = service.settings
            body = await read_body(request, most=settings.max_bytes, seconds=settings.body_seconds)
            try:
                told = PredictBody.model_validate_json(body)
            except ValidationError as error:
                raise HTTPException(422, in_words(error)) from None
            if len(told.tasks) > _MOST_TASKS:
                raise HTTPException(422, f"{len(told.tasks)} tasks at once; send at most {_MOST_TASKS}")
            with told_errors():
                interface = parse_interface(told.label_config)
                if len(interface.labels) > MOST_NAMES:
                    raise ValueError(
                        f"{len(interface.labels)} labels; this server takes {MOST_NAMES} at the most"
                    )
                call = SegmentCall(words=parse_vocabulary(interface.labels))
            results: list[dict[str, Any]] = []
            for start in range(0, len(told.tasks), settings.batch):
                group = told.tasks[start : start + settings.batch]
                asked = (_label(service, request, call, interface, task) for task in group)
                results += await asyncio.gather(*asked)
            return JSONResponse({"results": results})


async def _label(
    service: Service, request: Request, call: SegmentCall, interface: LabelingInterface, task: _Task
) -> dict[str, Any]:
    """A task's prediction; an empty one where its image cannot be had, which the log says."""
    try:
        address = task.data.get(interface.key)
        data = await to_thread.run_sync(lambda: fetch(address, service.settings))
        found = await service.ask(request, call, await service.source(data, None))
        regions = await to_thread.run_sync(lambda: _regions(found, interface))
    except HTTPException as error:
        if error.status_code not in (404, 422):
            raise
        _logger.warning("a task of Label Studio's could not be labeled: %s", error.detail)
        return {"model_version": service.name, "score": 0.0, "result": []}
    return {"model_version": service.name, "score": mean_score(regions), "result": regions}


# Images


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        return None


def fetch(address: object, settings: ServerSettings) -> bytes:
    """A task's image: sent in its place, or fetched from the one Label Studio that the server was told of.

    Args:
        address: a `data:` address, a path on Label Studio, or an address there.
        settings: the server's.

    Raises:
        HTTPException: 422 where it lies elsewhere, or cannot be had.
    """
    if not isinstance(address, str):
        raise HTTPException(422, "the task has no image where the labeling interface says")
    if address.startswith("data:"):
        return decode_base64(address)
    home = settings.label_studio
    if home is None:
        raise HTTPException(422, "the task's image is an address; start the server with --label-studio URL")
    try:
        parts = urlsplit(address)
    except ValueError:
        raise HTTPException(422, "the task's image has a malformed address") from None
    own = urlsplit(home)
    elsewhere = (parts.scheme, parts.netloc) != (own.scheme, own.netloc)
    if elsewhere and (parts.scheme or parts.netloc or not address.startswith("/")):
        raise HTTPException(422, f"the task's image does not lie on {home}; nothing else is fetched")
    token = settings.label_studio_token
    asked = urllib.request.Request(
        home.rstrip("/") + address if elsewhere else address,
        headers={} if token is None else {"Authorization": f"Token {token}"},
    )
    opener = urllib.request.build_opener(_NoRedirects(), urllib.request.ProxyHandler({}))
    try:
        with opener.open(asked, timeout=_FETCH_SECONDS) as answer:
            data: bytes = answer.read(settings.max_bytes + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise HTTPException(422, f"the task's image could not be fetched: {error}") from None
    if len(data) > settings.max_bytes:
        raise HTTPException(422, f"the task's image is over the limit of {settings.max_bytes:,} bytes")
    return data


# Regions


def _regions(found: object, interface: LabelingInterface) -> list[dict[str, Any]]:
    """The segments as each control draws them."""
    result = cast("PanopticSegmentation", found)
    named = {" ".join(label.split()): label for label in interface.labels}  # as a vocabulary has them
    regions: list[dict[str, Any]] = []
    for region in result.regions():
        label = named[region.label]
        for control in interface.controls:
            if label in control.labels:
                regions += region_results(
                    region,
                    control.kind,
                    control=control.name,
                    image=interface.image,
                    size=result.size,
                    first=len(regions),
                    simplified=Simplifications(),
                    label=label,
                )
    return regions
