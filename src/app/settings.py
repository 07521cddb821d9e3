"""Settings of the orchestrator, read from the environment once."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from contracts.pools import DEFAULT_POOL
from servicekit.settings import OutboundSettings, refuse_placeholder

_NAMED_POOL = re.compile(r"(?P<pool>[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?)=(?P<url>.+)")


class EngineDialect(StrEnum):
    """`vllm` adds vLLM's own parameters to the request; `openai` sends nothing that OpenAI's API does not know."""

    VLLM = "vllm"
    OPENAI = "openai"


class Discovery(StrEnum):
    """Where replicas come from beside VLLM_SERVICE_URL."""

    NONE = "none"
    KUBERNETES = "kubernetes"


class Settings(OutboundSettings):
    """A field's name in capitals is its variable. Frozen; a value that cannot work refuses to start."""

    orchestrator_host: str = "127.0.0.1"
    orchestrator_port: int = Field(default=8081, ge=1, le=65_535)
    rag_service_url: str
    vllm_service_url: str = ""
    vllm_discovery: Discovery = Discovery.NONE
    vllm_discovery_namespace: str | None = Field(default=None, pattern=r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$")
    vllm_discovery_selector: str = "app.kubernetes.io/component=engine"
    vllm_discovery_pool_label: str = "atrium.dev/pool"
    vllm_discovery_api_url: str | None = Field(default=None, description="without it, the cluster around")
    atrium_model: str | None = Field(default=None, description="asked of the engine; without it, the first it serves")
    engine_dialect: EngineDialect = EngineDialect.VLLM
    engine_api_key: SecretStr | None = None
    engine_priority: bool = Field(default=False, description="send priorities: vLLM runs with --scheduling-policy")
    engine_max_seqs: int = Field(default=64, ge=1, le=65_536, description="sequences that one replica works on at once")
    engine_hang_s: float = Field(default=30.0, gt=0, le=3_600, description="to a replica's first token, others there")
    engine_context_tokens: int = Field(default=4_096, ge=64, description="of the engine's model: prompt and answer")
    summary_timeout_s: float = Field(default=5.0, gt=0, le=60, description="how long a summary may take")
    max_answer_tokens: int = Field(default=512, ge=1, le=32_768)
    temperature: float = Field(default=0.0, ge=0, le=2)
    frequency_penalty: float = Field(default=0.0, ge=-2, le=2, description="keeps a very small model out of loops")
    route_threshold: float = Field(default=0.28, ge=-1, le=1, description="cosine below which a query is GENERAL")
    retrieve_passages: int = Field(default=4, ge=1, le=100)
    min_passage_score: float = Field(default=0.25, ge=-1, le=1, description="cosine below which a passage is left out")
    classify_timeout_s: float = Field(default=5.0, gt=0, le=600, description="a quarter of the time left at most")
    retrieve_timeout_s: float = Field(default=10.0, gt=0, le=600, description="a quarter of the time left at most")
    slow_reader_s: float = Field(default=30.0, gt=0, le=3_600, description="then who does not read is cut off")
    max_passages_bytes: int = Field(default=6_000, ge=200, description="of all passages in a prompt; 4 bytes ~ 1 token")
    langsmith_api_key: SecretStr | None = None
    langsmith_endpoint: str | None = None
    langsmith_project: str = Field(default="atrium", min_length=1, description="a tenant's project is this-<tenant>")

    @field_validator("rag_service_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        return http_url(value)

    @field_validator("vllm_discovery_api_url")
    @classmethod
    def _is_address_or_none(cls, value: str | None) -> str | None:
        return http_url(value) if value else None

    @model_validator(mode="after")
    def _engine_is_usable(self) -> Self:
        self.engine_pools()
        if self.engine_api_key is not None:
            refuse_placeholder("ENGINE_API_KEY", self.engine_api_key.get_secret_value())
        return self

    def engine_pools(self) -> dict[str, tuple[str, ...]]:
        """The replicas' addresses by pool, as they are set."""
        if self.vllm_discovery is Discovery.KUBERNETES and not self.vllm_service_url.strip():
            return {}
        return parse_engine_pools(self.vllm_service_url)

    def langsmith_key(self) -> str | None:
        """An empty key is none."""
        return self.langsmith_api_key.get_secret_value().strip() or None if self.langsmith_api_key else None

    def engine_key(self) -> str | None:
        return None if self.engine_api_key is None else self.engine_api_key.get_secret_value()


def parse_engine_pools(text: str) -> dict[str, tuple[str, ...]]:
    """`http://a,http://b,big=http://c` is `{"pooled": (a, b), "big": (c,)}`. Raises ValueError."""
    pools: dict[str, list[str]] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        named = _NAMED_POOL.fullmatch(entry)
        pool, url = (named["pool"], named["url"]) if named else (DEFAULT_POOL, entry)
        replicas = pools.setdefault(pool, [])
        address = http_url(url).removesuffix("/v1")  # OpenAI's base URL ends in /v1: accept that habit
        if address in replicas:
            raise ValueError(f"VLLM_SERVICE_URL names {address} twice in the pool {pool}")
        replicas.append(address)
    if not pools:
        raise ValueError("VLLM_SERVICE_URL names no engine")
    return {pool: tuple(replicas) for pool, replicas in pools.items()}


def http_url(text: str) -> str:
    """The address without a final slash. Raises ValueError for anything but http(s)://host[…]."""
    url = text.strip().rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{text!r} is not an http(s) address")
    return url
