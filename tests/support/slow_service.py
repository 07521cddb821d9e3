"""`python -m support.slow_service`: a service that answers as slowly as it is asked to, under `servicekit.server`."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from servicekit.server import serve
from servicekit.settings import ServiceSettings
from servicekit.tokens import generate_signing_key

PIECE_S = 0.05


def create_app() -> FastAPI:
    app = FastAPI()

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/objects")
    async def objects() -> dict[str, int | bool]:
        """Those that the garbage collector walks and those that it leaves alone; and whether guards know Unicode."""
        return {
            "walked": len(gc.get_objects()),
            "left_alone": gc.get_freeze_count(),
            "look_alikes_read": "confusable_homoglyphs" in sys.modules,
        }

    @app.get("/stream/{pieces}")
    async def stream(pieces: int) -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            for number in range(pieces):
                yield b"%d\n" % number
                await asyncio.sleep(PIECE_S)

        return StreamingResponse(body())

    return app


if __name__ == "__main__":
    settings = ServiceSettings(service_verify_keys=None, service_signing_key=generate_signing_key())
    serve(create_app(), settings, host="127.0.0.1", port=int(os.environ["SLOW_PORT"]))
