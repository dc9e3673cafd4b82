"""Who may ask, and what every answer says: tokens, hosts, origins and headers, before anything is read."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
from typing import final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xdecoder.server.settings import ServerSettings

OPEN_PATHS = ("/", "/healthz", "/readyz")
"""What is shown without a token: it tells nothing of anybody."""

_READ_BY_PEOPLE = ("/docs",)
"""Where a browser is told to ask for the token itself, as a password."""

_LOCAL = ("localhost", "127.0.0.1", "::1")
_HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_DRAINED_SECONDS = 2.0


@final
class Guard:
    """Middleware that turns away who may not ask.

    Without a token, on this machine alone, only requests to its own names are served, so that no web page
    reaches the server under a name of its own; requests from pages of other sites are always refused.

    Args:
        app: what it guards.
        settings: the server's.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope["path"], Headers(scope=scope))
        if refusal is None:
            await self._app(scope, receive, send_with_headers)
            return
        await drain(receive, most=self._settings.max_bytes)
        await _refuse(send_with_headers, *refusal, path=scope["path"])

    def _refusal(self, path: str, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return 403, "pages of other sites may not ask this server"
        settings = self._settings
        if settings.token is None:
            if settings.is_local and not settings.open_to_all and _name(host) not in (*_LOCAL, settings.host):
                return 403, "this server answers to localhost alone; a proxy before it needs a --token-file"
            return None
        if path in OPEN_PATHS:
            return None
        shown = _shown_token(headers.get("authorization", ""))
        if hmac.compare_digest(shown.encode("utf-8", "replace"), settings.token.encode()):
            return None
        return 401, "show the token: Authorization: Bearer TOKEN"


async def drain(receive: Receive, *, most: int) -> None:
    """Read and forget a body, so that its sender listens to the answer; not without end.

    Args:
        receive: ASGI's.
        most: bytes after which no more is read.
    """
    size = 0
    try:
        async with asyncio.timeout(_DRAINED_SECONDS):
            while size <= most:
                message = await receive()
                size += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return


def _shown_token(header: str) -> str:
    """The token of a bearer, or the password of basic authentication."""
    kind, _, value = header.partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, ValueError):
            return ""
    return ""


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


async def _refuse(send: Send, status: int, detail: str, *, path: str) -> None:
    headers = [(b"content-type", b"application/json")]
    if status == 401:
        challenge = b'Basic realm="X-Decoder"' if path in _READ_BY_PEOPLE else b"Bearer"
        headers.append((b"www-authenticate", challenge))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"detail": detail}).encode()})
