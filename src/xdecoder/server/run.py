"""The server run until it is told to stop."""

from __future__ import annotations

import logging
from typing import Any

import uvicorn

from xdecoder.server.settings import ServerSettings

_GRACE = 60


def run(app: Any, settings: ServerSettings) -> None:
    """Serve an application until SIGINT or SIGTERM; what was admitted by then is answered.

    Nothing of a request but its failure is logged: addresses may hold what is nobody's business.

    Args:
        app: from `create_app`.
        settings: where it listens.

    Raises:
        SystemExit: the address is taken; uvicorn has said so.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        access_log=False,
        server_header=False,
        log_config=None,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=_GRACE,
    )
