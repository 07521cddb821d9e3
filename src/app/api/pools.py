"""`GET /v1/pools`: how busy the engines are. It names no tenant and asks for no token, as `/metrics`."""

from __future__ import annotations

from fastapi import APIRouter, Request

from app.adapters.engine_pools import EnginePools
from contracts.pools import PoolsResponse

router = APIRouter(prefix="/v1", tags=["pools"])


@router.get("/pools")
async def get_pools(request: Request) -> PoolsResponse:
    pools: EnginePools = request.app.state.pools
    return PoolsResponse(pools=pools.states())
