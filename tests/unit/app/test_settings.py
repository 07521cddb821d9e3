"""What the environment may say, and what refuses to start."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from app.settings import EngineDialect, Settings, parse_engine_pools
from servicekit.tokens import generate_signing_key


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_SERVICE_URL", "http://rag:8082/")
    monkeypatch.setenv("VLLM_SERVICE_URL", "http://engine:8100")
    monkeypatch.setenv("SERVICE_SIGNING_KEY", generate_signing_key())


def test_the_least_environment_gives_a_working_service() -> None:
    settings = Settings()
    assert (settings.orchestrator_host, settings.orchestrator_port) == ("127.0.0.1", 8081)
    assert settings.rag_service_url == "http://rag:8082"
    assert settings.engine_pools() == {"pooled": ("http://engine:8100",)}
    assert settings.engine_dialect is EngineDialect.VLLM
    assert len(settings.verify_keys()) == 1


def test_replicas_and_named_pools_are_told_apart() -> None:
    pools = parse_engine_pools("http://a:1, http://b:1/ ,big=https://c/v1,big=http://d,gold-2=http://e")
    assert pools == {
        "pooled": ("http://a:1", "http://b:1"),
        "big": ("https://c", "http://d"),
        "gold-2": ("http://e",),
    }


@pytest.mark.parametrize(
    "text", ["", " , ", "engine:8100", "ftp://a", "http://", "big=", "big=a", "http://a,http://a", "http://a?x=1"]
)
def test_an_address_that_cannot_work_refuses_to_start(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_SERVICE_URL", text)
    with pytest.raises(ValidationError):
        Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENGINE_API_KEY", "changeme"),
        ("RAG_SERVICE_URL", "rag"),
        ("ENGINE_DIALECT", "tgi"),
        ("MAX_ANSWER_TOKENS", "0"),
        ("SERVICE_SIGNING_KEY", "<secret>"),
        ("ORCHESTRATOR_PORT", "0"),
    ],
)
def test_a_value_that_cannot_work_refuses_to_start(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert "<secret>" not in str(refused.value)
