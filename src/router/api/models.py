"""`GET /v1/models`: the models that a tenant may name, as OpenAI's API lists them."""

from __future__ import annotations

from fastapi import APIRouter, Request

from router.api.dependencies import PrincipalDep, ServicesDep, admit, own_tenant
from router.domain.access import Permission
from router.domain.openai_answers import OPENAI_ERRORS, Model, ModelList
from router.domain.policy import Policy

api = APIRouter(prefix="/v1", tags=["openai"], responses=OPENAI_ERRORS)


@api.get("/models")
async def list_models(request: Request, who: PrincipalDep, found: ServicesDep) -> ModelList:
    """What may be given as `model`; `atrium` is the tenant's default."""
    policy = await _policy(request, who, found)
    return ModelList(data=[Model(id=name) for name in found.models.of(policy)])


@api.get("/models/{model:path}")
async def get_model(model: str, request: Request, who: PrincipalDep, found: ServicesDep) -> Model:
    """One of them, or 404 `model_not_found`."""
    return Model(id=found.models.known(await _policy(request, who, found), model))


async def _policy(request: Request, who: PrincipalDep, found: ServicesDep) -> Policy:
    return (await admit(request, found, who, own_tenant(who, None), Permission.CHAT)).policy
