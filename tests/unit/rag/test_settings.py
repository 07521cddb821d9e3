"""What the service reads from its environment, and when it refuses to start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rag.settings import Settings
from servicekit.tokens import generate_signing_key


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAG_HOST", "RAG_PORT", "EMBEDDING_MODEL", "SERVICE_VERIFY_KEYS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SERVICE_SIGNING_KEY", generate_signing_key())
    monkeypatch.setenv("DATABASE_URL", "postgresql://app:hush@db/atrium")


def test_the_defaults_serve_on_loopback_with_the_bundled_model() -> None:
    settings = Settings()
    assert (settings.rag_host, settings.rag_port) == ("127.0.0.1", 8082)
    assert (Path(settings.embedding_model) / "model.safetensors").is_file()
    assert "hush" not in repr(settings)


@pytest.mark.parametrize("url", ["", "CHANGE_ME", "placeholder"])
def test_a_placeholder_address_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(ValueError, match="DATABASE_URL is empty or a placeholder"):
        Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RAG_PORT", "70000"),
        ("INDEX_CACHE_BYTES", "0"),
        ("SNAPSHOT_WRITES", "0"),
        ("SNAPSHOT_AGE_S", "0"),
        ("LOG_LEVEL", "X"),
    ],
)
def test_a_value_out_of_range_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=name.lower()):
        Settings()


def test_importing_the_service_loads_no_model_library() -> None:
    code = "import rag.main, sys; sys.exit(bool({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
