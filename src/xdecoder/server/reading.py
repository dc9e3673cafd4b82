"""Requests' bodies, read within bounds: JSON, forms and bare images."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from fastapi import HTTPException, Request
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from xdecoder.images import read_header
from xdecoder.server.bodies import ImageBody

_B = TypeVar("_B", bound=ImageBody)
_DATA_ADDRESS = re.compile(r"data:image/[\w.+-]+;base64,", re.ASCII)
_SHOWN = 200

HF_PARAMETERS: Mapping[str, Mapping[str, str]] = {
    "segment": {
        "candidate_labels": "vocabulary",
        "subtask": "task",
        "threshold": "object_threshold",
        "overlap_mask_area_threshold": "overlap_threshold",
    },
    "refer": {"candidate_labels": "phrases"},
    "caption": {"max_new_tokens": "steps"},
    "answer": {"top_k": "top_k"},
    "embed": {"candidate_labels": "texts"},
}
"""Hugging Face's names of parameters, and ours."""


@dataclass(frozen=True, kw_only=True)
class Received:
    """A body as it came.

    Attributes:
        options: JSON text of the verb's options.
        image: the file beside it.
    """

    options: bytes = b"{}"
    image: bytes | None = None


async def read_body(request: Request, *, most: int, seconds: float) -> bytes:
    """A request's whole body.

    Raises:
        HTTPException: 413 where it is over `most` bytes, 408 where it takes too long, 400 where it is cut
            short.
    """
    too_large = HTTPException(413, f"the request is over the limit of {most:,} bytes; send a smaller image")
    told = request.headers.get("content-length", "0")
    if not told.isdigit() or int(told) > most:
        raise too_large
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise too_large
                parts.append(part)
    except TimeoutError:
        raise HTTPException(408, f"the request did not arrive within {seconds:g} seconds") from None
    except ClientDisconnect:
        raise HTTPException(400, "the request was cut short") from None
    return b"".join(parts)


async def split_body(request: Request, data: bytes) -> Received:
    """The options and the image in a body.

    Raises:
        HTTPException: 415 for another kind of content, 400 for a malformed form.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return Received(options=data)
    if kind == "multipart/form-data":
        return await _read_form(request, data)
    if kind.startswith("image/") or kind in ("", "application/octet-stream"):  # unnamed: Hugging Face
        return Received(image=data)
    if kind == "application/x-www-form-urlencoded":  # how Roboflow's clients send base64
        return Received(image=decode_base64(data.decode("ascii", "replace")))
    raise HTTPException(
        415, "expected application/json, multipart/form-data, an image (image/*) or application/octet-stream"
    )


async def _read_form(request: Request, data: bytes) -> Received:
    async def stream() -> AsyncGenerator[bytes]:
        yield data

    try:
        parser = MultiPartParser(
            request.headers, stream(), max_files=1, max_fields=1, max_part_size=max(1, len(data))
        )
        form = await parser.parse()
        try:
            options, image = form.get("options", "{}"), form.get("image")
            unknown = form.keys() - {"options", "image"}
            if unknown or isinstance(options, UploadFile) or isinstance(image, str):
                raise HTTPException(
                    400, 'expected a form with the file "image" and, as JSON, the field "options"'
                )
            return Received(options=options.encode(), image=None if image is None else await image.read())
        finally:
            await form.close()
    except (MultiPartException, KeyError, ValueError) as error:
        raise HTTPException(400, f"a malformed form: {str(error)[:_SHOWN]}") from None


def parse_body(received: Received, body: type[_B], *, verb: str, hf: bool) -> tuple[_B, bytes | None]:
    """The body as a record, and the image's file if one was sent.

    Args:
        received: what came.
        body: what it must be.
        verb: what is asked.
        hf: Hugging Face's `inputs` and `parameters` are understood too.

    Raises:
        HTTPException: 422, with what is wrong.
    """
    options = _from_hf(received.options, verb) if hf else received.options
    try:
        told = body.model_validate_json(options)
    except ValidationError as error:
        raise HTTPException(422, in_words(error)) from None
    given = [told.image is not None, told.image_id is not None, received.image is not None]
    if sum(given) > 1:
        raise HTTPException(422, "give the image once: image, image_id or a file")
    if told.image is not None:
        return told, decode_base64(told.image)
    return told, received.image


def check_image(data: bytes, *, max_pixels: int) -> None:
    """Refuse, before it is decoded, what is no image or too large.

    Raises:
        ValueError: saying what is wrong.
    """
    header = read_header(data, name="the image")
    pixels = header.height * header.width
    if pixels > max_pixels:
        raise ValueError(
            f"the image is {header.width} x {header.height} = {pixels:,} pixels, over the limit of "
            f"{max_pixels:,}; shrink it first"
        )


def decode_base64(text: str) -> bytes:
    """The bytes that a base64 text, or a `data:` address of an image, stands for.

    Raises:
        HTTPException: 422 where it is neither; files' paths and web addresses are neither.
    """
    match = _DATA_ADDRESS.match(text)
    code = "".join((text[match.end() :] if match else text).split())
    try:
        return base64.b64decode(code, validate=True)
    except (binascii.Error, ValueError):
        raise HTTPException(
            422, "image must be a file's bytes in base64; paths and web addresses are not read"
        ) from None


def in_words(error: ValidationError) -> str:
    """What is wrong with a body, in one line."""
    return "; ".join(
        f"{'.'.join(map(str, e['loc'])) or 'the body'}: {e['msg']}"[:_SHOWN]
        for e in error.errors(include_url=False, include_input=False, include_context=False)[:5]
    )


def _from_hf(options: bytes, verb: str) -> bytes:
    """A body of Hugging Face's as ours; ours as it is."""
    try:
        data = json.loads(options)
    except (ValueError, RecursionError):
        return options  # told when it is read as ours
    if not isinstance(data, dict) or "inputs" not in data:
        return options
    found = cast("dict[str, Any]", data)
    inputs, parameters = found["inputs"], found.get("parameters") or {}
    ours: dict[str, Any] = {}
    if isinstance(inputs, dict):
        told = cast("dict[str, Any]", inputs)
        ours["image"] = told.get("image")
        question = told.get("question")
    else:
        ours["image"] = inputs
        question = found.get("question")  # its client's way, with the image a second time
    if question is not None:
        ours["questions"] = [question]
    if not isinstance(parameters, dict):
        raise HTTPException(422, "parameters: expected an object")
    names = HF_PARAMETERS.get(verb, {})
    for name, value in cast("dict[str, Any]", parameters).items():
        if value is None:
            continue
        if name not in names:
            known = ", ".join(names) or "none"
            raise HTTPException(422, f"parameters: {name[:_SHOWN]!r} is not known here; there are {known}")
        ours[names[name]] = value
    return json.dumps(ours).encode()
