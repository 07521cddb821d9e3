"""The tenant context: who asks, and under which terms. Made by the router alone and signed for each callee."""

from __future__ import annotations

from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from contracts.tenant import TenantId


class Role(StrEnum):
    PLATFORM_ADMIN = "platform_admin"
    TENANT_ADMIN = "tenant_admin"
    TENANT_USER = "tenant_user"
    SERVICE = "service"


class Audience(StrEnum):
    """The callee a service token is minted for; a token for one is refused by the other."""

    ORCHESTRATOR = "orchestrator"
    RAG = "rag"


class TenantContext(BaseModel):
    """What every service may know of the caller. A callee takes the tenant from here and from nowhere else."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tenant_id: TenantId
    tenant_born: AwareDatetime | None = Field(
        default=None,
        description="when the tenant was made, which tells it from others of its id; null: whichever has it",
    )
    user_id: str
    roles: tuple[Role, ...]
    session_id: str
    request_id: str
    config_version: int
    allowed_routes: tuple[str, ...] = ()
    model_pool: str = "pooled"
    deadline: AwareDatetime = Field(description="when the work must be finished or given up, UTC")
    cache_salt: str = Field(default="", description="separates the tenant's KV prefix cache; never from a client")
    log_content: bool = Field(default=False, description="the tenant allows its texts in logs and traces")
