"""What exists is in the docs: every setting, endpoint, metric, error code, config field and command."""

from __future__ import annotations

from pathlib import Path

import pytest

import app.settings
import rag.settings
import router.settings
from contracts.errors import error_classes
from router.main import create_app
from servicekit.tokens import generate_signing_key
from support.cli_commands import commands
from tenancy.config import TenantConfig

DOCS = Path(__file__).parents[2] / "docs"
API = (DOCS / "api.md").read_text(encoding="utf-8")
OPERATIONS = (DOCS / "operations.md").read_text(encoding="utf-8")


def settings() -> list[str]:
    classes = (router.settings.Settings, app.settings.Settings, rag.settings.Settings)
    return sorted({name.upper() for cls in classes for name in cls.model_fields})


def endpoints() -> list[str]:
    described = create_app(
        router.settings.Settings(
            database_url="postgresql://x",
            redis_url="redis://x",
            orchestrator_url="http://x",
            rag_service_url="http://x",
            service_signing_key=generate_signing_key(),
        )
    ).openapi()
    return sorted(f"{method.upper()} {path}" for path, item in described["paths"].items() for method in item)


@pytest.mark.parametrize("setting", settings())
def test_every_setting_is_described(setting: str) -> None:
    assert f"`{setting}`" in OPERATIONS


@pytest.mark.parametrize("endpoint", endpoints())
def test_every_endpoint_is_described(endpoint: str) -> None:
    assert f"`{endpoint}" in API


@pytest.mark.parametrize("code", sorted(error_classes()))
def test_every_error_code_is_described(code: str) -> None:
    assert f"`{code}`" in API


@pytest.mark.parametrize("field", sorted(TenantConfig.model_fields))
def test_every_config_field_is_described(field: str) -> None:
    assert f"`{field}`" in API


@pytest.mark.parametrize("command", commands())
def test_every_command_is_described(command: str) -> None:
    assert f"`{command}" in OPERATIONS
