"""Everything a tenant has, to take away."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from router.api.dependencies import CallerDep, ServicesDep, admit_again
from router.api.stream import OwnedStream
from servicekit.problems import OPENAPI_ERRORS
from tenancy.audit import Deed

api = APIRouter(tags=["export"], responses=OPENAPI_ERRORS)

_ZIP = {200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}}


@api.get("/tenant/{tenant_id}/export", response_class=Response, responses=_ZIP)  # type: ignore[arg-type]
async def export(request: Request, caller: CallerDep, found: ServicesDep) -> Response:
    """A ZIP of JSON Lines with a manifest of their SHA-256 sums, sent while it is read. It breaks off when its reader
    loses the right to it or the tenant is deleted. One that broke off does not open."""
    deed = Deed(caller.actor(), "tenant.export", f"tenant/{caller.tenant_id}")
    await found.audit.write(caller.tenant_id, deed, born=caller.born)
    async with AsyncExitStack() as stack:
        body = found.export.stream(caller.tenant_id, caller.born, partial(admit_again, request, found, caller))
        stack.push_async_callback(body.aclose)
        headers = {
            "content-type": "application/zip",
            "content-disposition": f'attachment; filename="{caller.tenant_id}.zip"',
            "cache-control": "no-store",
        }
        return OwnedStream(body, stack.pop_all(), headers)
