"""`/v1/embed` and `/v1/search`."""

from __future__ import annotations

import orjson
from fastapi import APIRouter, Request, Response

from contracts.retrieval import EmbedRequest, EmbedResponse, LoadedIndex, SearchRequest, SearchResponse
from observability.record import record_of
from rag.api.context import Context, Service
from servicekit.edge import while_awaited
from servicekit.problems import OPENAPI_ERRORS

router = APIRouter(prefix="/v1", tags=["retrieval"], responses=OPENAPI_ERRORS)


@router.post("/embed", response_model=EmbedResponse)
async def embed(body: EmbedRequest, request: Request, context: Context, service: Service) -> Response:
    """Texts to L2-normalised vectors, with the model that the index uses."""
    embedded = await while_awaited(request, context, service.embed(context.tenant_id, body.texts))
    # An EmbedResponse, written straight from the array: 256 rows are 100,000 numbers.
    answer = {"model": embedded.model, "vectors": embedded.rows}
    return Response(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")


@router.post("/search")
async def search(body: SearchRequest, request: Request, context: Context, service: Service) -> SearchResponse:
    """The tenant's own passages nearest to the query, best first."""
    work = service.search(context.tenant_id, body, born=context.tenant_born)
    passages = await while_awaited(request, context, work)
    record_of(request.scope).chunk_ids = [passage.chunk_id for passage in passages]
    return SearchResponse(passages=passages)


@router.get("/index")
async def loaded(context: Context, service: Service) -> LoadedIndex:
    """What this replica holds of the tenant in memory."""
    return LoadedIndex(vectors=service.vectors_loaded(context.tenant_id))


@router.delete("/index")
async def unload(context: Context, service: Service) -> LoadedIndex:
    """Drop the tenant's index from this replica's memory; the answer is what it held."""
    return LoadedIndex(vectors=await service.unload(context.tenant_id))
