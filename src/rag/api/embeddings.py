"""`/v1/embeddings`, in OpenAI's shape."""

from __future__ import annotations

import base64
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from contracts.embeddings import EmbeddingsRequest, EmbeddingsResponse
from rag.api.context import Context, Service
from rag.domain.vectors import Vector
from servicekit.edge import while_awaited
from servicekit.problems import OPENAPI_ERRORS

router = APIRouter(prefix="/v1", tags=["embeddings"], responses=OPENAPI_ERRORS)


@router.post("/embeddings", response_model=EmbeddingsResponse)
async def embeddings(body: EmbeddingsRequest, request: Request, context: Context, service: Service) -> Response:
    """Texts to L2-normalised vectors, with the model that the index uses."""
    work = service.embed_for_client(context.tenant_id, body.texts, model=body.model)
    embedded = await while_awaited(request, context, work)
    # An EmbeddingsResponse, written straight from the array: 256 rows are 100,000 numbers.
    answer = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _written(row, body.encoding_format)}
            for index, row in enumerate(embedded.rows)
        ],
        "model": embedded.model,
        "usage": {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens},
    }
    return Response(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")


def _written(row: Vector, encoding: str) -> Any:
    return base64.b64encode(row.astype("<f4").tobytes()).decode() if encoding == "base64" else row
