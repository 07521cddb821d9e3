"""The tenant id: a type of its own, so that no store can be reached with a bare string."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

# The shape of one DNS label: safe in a key, a path, a URL, a metric dimension and a Kubernetes name.
TENANT_ID_PATTERN = r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$"
_TENANT_ID = re.compile(TENANT_ID_PATTERN.removesuffix("$") + r"\Z")  # `$` would let a final newline pass


class InvalidTenantIdError(ValueError):
    """The text is not a tenant id."""


@dataclass(frozen=True, slots=True, order=True)
class TenantId:
    """A syntactically valid tenant id. Holding one says nothing about authority: that is the context's word."""

    value: str

    def __post_init__(self) -> None:
        if not isinstance(self.value, str) or not _TENANT_ID.match(self.value):
            raise InvalidTenantIdError(
                "a tenant id is 1 to 63 of a-z, 0-9 and '-', and neither begins nor ends with '-'"
            )

    def __str__(self) -> str:
        return self.value

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        from_text = core_schema.chain_schema(
            [core_schema.str_schema(), core_schema.no_info_plain_validator_function(cls._parse)]
        )
        return core_schema.json_or_python_schema(
            json_schema=from_text,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), from_text]),
            serialization=core_schema.plain_serializer_function_ser_schema(str, when_used="json"),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: Any) -> dict[str, Any]:
        return {"type": "string", "pattern": TENANT_ID_PATTERN}

    @classmethod
    def _parse(cls, value: str) -> Self:
        return cls(value)
