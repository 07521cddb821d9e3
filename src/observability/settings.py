"""What every service reads from its environment about metrics, logs and traces."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class TelemetrySettings(BaseSettings):
    """Each field is the environment variable of the same name in capitals."""

    model_config = SettingsConfigDict(frozen=True)

    aws_region: str = "us-east-1"
    aws_endpoint_url: str | None = None
    metrics_sink: Literal["none", "emf", "cloudwatch"] = "none"
    metrics_interval_s: float = Field(default=60.0, gt=0, le=3_600)
    metrics_top_tenants: int = Field(default=50, ge=0, le=1_000)
    logs_sink: Literal["stdout", "cloudwatch"] = "stdout"
    log_group: str = Field(default="multi-tenant-chatbot", pattern=r"^[A-Za-z0-9._/#-]{1,512}$")
    otel_exporter_otlp_endpoint: str | None = None
    otel_traces_sampler_arg: float = Field(default=0.1, ge=0, le=1, description="of the requests at the router")

    @field_validator("otel_exporter_otlp_endpoint", mode="before")
    @classmethod
    def _empty_is_off(cls, value: object) -> object:
        return value or None

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "http://none")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("OTEL_EXPORTER_OTLP_ENDPOINT is an address, as http://collector:4318 (OTLP over HTTP)")
        return value
