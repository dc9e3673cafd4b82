"""The API's description: OpenAPI's document, and a page of it that fetches nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from html import escape
from typing import Any, cast

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from xdecoder.html.frame import frame
from xdecoder.server.bodies import BODIES, KeepBody
from xdecoder.server.label_studio import PredictBody

_REF = "#/components/schemas/{model}"
_ANY = {
    "401": "The server wants a token, and none or another was shown.",
    "403": "Asked under another host's name, or from another site's page.",
    "500": "The server failed; its log says why.",
}
_WITH_BODY = {
    "400": "The request is cut short, or its form malformed.",
    "408": "The request did not arrive in time.",
    "413": "The request is over the limit of bytes.",
    "415": "Another kind of content than those listed.",
}
_QUEUED = {
    "404": "No image is kept by this id, or no longer.",
    "429": "Too much is asked at once; the header Retry-After says for how many seconds to wait.",
    "503": "Out of memory, or the server shuts down.",
}
_BY_PATH = {
    "/v1/images/{image_id}": {"404": _QUEUED["404"]},
    "/v1/hits/{hit_id}": {"404": "No such hit, or no longer; or its file is gone."},
    "/healthz": {"503": "The thread of the model ended."},
    "/readyz": {"503": "The model is being loaded."},
    "/predict": _WITH_BODY | _QUEUED,
    "/setup": _WITH_BODY,
}
_MALFORMED = "What was sent cannot be read, or asks for what is not known here."
_STYLE = """
article { margin: 2rem 0; padding: 1rem 1.25rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .75rem; overflow-x: auto; }
article h2 { margin: 0 0 .4rem; font-size: 1.1rem; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-top: 1px solid var(--line);
  vertical-align: top; font-size: .92rem; }
"""


def describe(app: FastAPI) -> dict[str, Any]:
    """OpenAPI's document of an application, with the bodies that its verbs take."""
    document = get_openapi(title=app.title, version="1", description=app.description, routes=app.routes)
    bodies: dict[str, type[BaseModel]] = {"images": KeepBody, **BODIES}
    every = [*bodies.values(), PredictBody, Error]
    _, schemas = models_json_schema([(body, "validation") for body in every], ref_template=_REF)
    document["components"] = {"schemas": schemas["$defs"]}  # FastAPI's own are of errors told otherwise
    paths = document["paths"]
    for path, body in bodies.items():
        form = {
            "type": "object",
            "properties": {
                "image": {"type": "string", "format": "binary", "description": "The image's file."},
                "options": {"type": "string", "description": f"JSON: {body.__name__} without an image."},
            },
            "additionalProperties": False,
        }
        paths[f"/v1/{path}"]["post"]["requestBody"] = {
            "required": True,
            "content": {
                "application/json": {"schema": _reference(body)},
                "multipart/form-data": {"schema": form},
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            },
        }
    predicted = {"application/json": {"schema": _reference(PredictBody)}}
    paths["/predict"]["post"]["requestBody"] = {"required": True, "content": predicted}
    picture = {"image/png": {"schema": {"type": "string", "format": "binary"}}}
    paths["/v1/edit"]["post"]["responses"]["200"]["content"] |= picture
    for path, operations in paths.items():
        for operation in operations.values():
            operation["responses"] |= _refusals(path, operation)
    return document


class Error(BaseModel):
    """What is wrong, and what to do."""

    detail: str


def _refusals(path: str, operation: Mapping[str, Any]) -> dict[str, Any]:
    """The answers of an operation that are errors."""
    told = _ANY | _BY_PATH.get(path, {})
    if "requestBody" in operation and path.startswith("/v1/"):
        told |= _WITH_BODY | _QUEUED
    if "requestBody" in operation or "422" in operation["responses"]:
        told |= {"422": _MALFORMED}
    content = {"application/json": {"schema": _reference(Error)}}
    return {status: {"description": text, "content": content} for status, text in sorted(told.items())}


def _reference(body: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=body.__name__)}


def write_reference(document: Mapping[str, Any]) -> str:
    """A page of an OpenAPI document."""
    schemas = document["components"]["schemas"]
    operations = [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    main = "".join(_operation(method, path, told, schemas) for method, path, told in operations)
    return frame(
        title="X-Decoder: the API",
        main=f"<h1>The API</h1><p>{escape(document['info']['description'])}</p>{main}",
        footer='As data: <a href="/openapi.json">openapi.json</a>',
        style=_STYLE,
    )


def page_policy(page: str) -> str:
    """The policy under which a page may use the styles and scripts that stand in it, and nothing else."""

    def hashes(tag: str) -> str:
        found = re.findall(rf"<{tag}\b[^>]*>(.*?)</{tag}>", page, flags=re.DOTALL)
        digests = (hashlib.sha256(text.encode()).digest() for text in found)
        return " ".join(f"'sha256-{base64.b64encode(d).decode('ascii')}'" for d in digests) or "'none'"

    return (
        f"default-src 'none'; style-src {hashes('style')}; script-src {hashes('script')}; "
        "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


def _operation(method: str, path: str, told: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    rows = [(p["name"], p["in"], p["schema"], p.get("description", "")) for p in told.get("parameters", ())]
    content = told.get("requestBody", {}).get("content", {})
    if "application/json" in content:
        name = content["application/json"]["schema"].get("$ref", "").rpartition("/")[2]
        if name in schemas:
            required = schemas[name].get("required", ())
            for field, schema in schemas[name]["properties"].items():
                where = "body, required" if field in required else "body"
                rows.append((field, where, schema, schema.get("description", "")))
    cells = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(where)}</td>"
        f"<td>{escape(_kind(schema))}</td><td>{escape(text)}</td></tr>"
        for name, where, schema, text in rows
    )
    head = "<tr><th>name</th><th>where</th><th>kind</th><th></th></tr>"
    sent = f"<p>Sent as {escape(', '.join(content))}.</p>" if content else ""
    return (
        f"<article><h2><code>{method.upper()} {escape(path)}</code></h2>"
        f"<p>{escape(told.get('summary', ''))}</p>{sent}"
        f"{f'<table>{head}{cells}</table>' if rows else ''}</article>"
    )


def _kind(schema: Mapping[str, Any]) -> str:
    """A schema in a few words."""
    if "anyOf" in schema:
        kinds = [_kind(option) for option in cast("list[Any]", schema["anyOf"])]
        text = " or ".join(dict.fromkeys(kind for kind in kinds if kind != "null"))
    elif "$ref" in schema:
        text = cast("str", schema["$ref"]).rpartition("/")[2]
    elif "enum" in schema:
        text = ", ".join(map(str, schema["enum"]))
    elif "items" in schema:
        text = f"list of {_kind(schema['items'])}"
    elif "prefixItems" in schema:
        text = f"list of {len(schema['prefixItems'])} numbers"
    else:
        text = str(schema.get("type", schema.get("const", "any")))
    default = schema.get("default")
    return text if default is None else f"{text}; {json.dumps(default)}"
