"""What every request goes through: admission, and its faults told."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager

from fastapi import HTTPException, Request

from xdecoder.server.guard import drain
from xdecoder.server.service import Service

_logger = logging.getLogger(__name__)


@asynccontextmanager
async def admitted(service: Service, verb: str, request: Request) -> AsyncGenerator[None]:
    """One request among those that are taken on.

    The body of one that is refused unread is read to its end and forgotten, so that its sender listens. A
    fault of the server's own is told in its log, not to the client.

    Raises:
        HTTPException: 429 where there is no room, 500 for a fault, or what the request raised.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(service.admit(verb))
        except HTTPException:
            await _drain(service, request)
            raise
        try:
            yield
        except HTTPException as error:
            if error.status_code == 413:
                await _drain(service, request)
            raise
        except Exception as error:
            _logger.exception("a request failed: %s", verb)
            raise HTTPException(500, "the server failed; its log says why") from error


async def _drain(service: Service, request: Request) -> None:
    await drain(request.receive, most=service.settings.max_bytes)
