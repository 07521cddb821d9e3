"""The API's description (`/openapi.json`): the credentials, so that `/docs` can send them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from router.domain.access import ROUTES, Permission

_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "an API key (`atr_…`) or a JWT"},
    "tenant": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Tenant-Id",
        "description": "beside a platform key: the tenant it acts for; alone only where AUTH_MODE has `header`",
    },
}


def described(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
        schema.setdefault("components", {})["securitySchemes"] = _SCHEMES
        for path, operations in schema["paths"].items():
            for method, operation in operations.items():
                if ROUTES.get((method.upper(), path)) is not Permission.OPEN:
                    operation["security"] = [{"bearer": []}, {"tenant": []}]
        app.openapi_schema = schema
    return app.openapi_schema
