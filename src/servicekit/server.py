"""Run a service under uvicorn the same way everywhere, and end it without cutting an answer short."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import uvicorn
from fastapi import FastAPI

from guard.canonical import read_tables
from servicekit.collector import keep_what_is_there
from servicekit.request_heads import BoundedHeads
from servicekit.settings import ServiceSettings

TICK_S = 0.1


class _LingeringServer(uvicorn.Server):
    """Between the signal and the end of listening it serves for `linger_s` as before, but ends each connection with its
    answer: callers that keep connections open would otherwise send their next request on one that is being closed."""

    def __init__(self, config: uvicorn.Config, *, linger_s: float) -> None:
        super().__init__(config)
        self._linger_s = linger_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        read_tables()
        keep_what_is_there()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.config.encoded_headers.append((b"connection", b"close"))
        until = loop.time() + self._linger_s
        while loop.time() < until and not self.force_exit:
            await self.on_tick(0)  # makes the headers that every answer gets
            await asyncio.sleep(TICK_S)
        await super().shutdown(sockets)


def serve(app: FastAPI, settings: ServiceSettings, *, host: str, port: int) -> None:
    """Blocks until SIGTERM or SIGINT, then until what is being answered has ended, but at most as `settings` says."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        loop="uvloop",
        http=BoundedHeads,
        ws="none",
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=settings.shutdown_grace_s,
        proxy_headers=False,
    )
    with suppress(KeyboardInterrupt):  # uvicorn raises what it was ended by once more
        _LingeringServer(config, linger_s=settings.shutdown_linger_s).run()
