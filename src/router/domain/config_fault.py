"""A fault of a config that its schema cannot see, told as the schema's own faults are."""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from tenancy.config import TenantConfig


def config_fault(kind: str, told: str, where: tuple[str, ...]) -> ValidationError:
    """`told` is for the tenant, `where` the path of the field. What was said there is not repeated."""
    fault = InitErrorDetails(type=PydanticCustomError(kind, "{told}", {"told": told}), loc=where, input=None)
    return ValidationError.from_exception_data(TenantConfig.__name__, [fault], hide_input=True)
