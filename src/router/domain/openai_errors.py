"""Atrium's errors as OpenAI's API tells them, so that its clients raise what their users expect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts import errors
from contracts.errors import ErrorBody
from observability.error_shape import ToldError
from router.domain.admission import MONTHLY_BUDGET

_INVALID, _SERVER = "invalid_request_error", "server_error"
_CODES: Mapping[str, str] = {
    errors.UnauthenticatedError.code: "invalid_api_key",
    errors.PromptTooLongError.code: "context_length_exceeded",
    errors.RateLimitedError.code: "rate_limit_exceeded",
}
"""Those that clients look for. The others keep Atrium's own."""
_QUOTA = "insufficient_quota"


def openai_error(status: int, error: ErrorBody, headers: Mapping[str, str]) -> ToldError:
    """Atrium's code, request id and details stand under `atrium`. A 422 is a 400 there."""
    told = 400 if status == 422 else status
    content = error_object(told, error)
    if status == 429 and (content["code"] == _QUOTA or "retry-after" not in headers):
        headers = {**headers, "x-should-retry": "false"}  # waiting some seconds changes nothing
    return ToldError(told, {"error": content}, headers)


def error_object(status: int, error: ErrorBody) -> dict[str, Any]:
    """What stands under `error`; also within a stream."""
    type_, code = _type_and_code(status, error)
    own = {"code": error.code, "request_id": error.request_id, "details": error.details}
    return {"message": error.message, "type": type_, "param": _param(error), "code": code, "atrium": own}


def _type_and_code(status: int, error: ErrorBody) -> tuple[str, str]:
    code = _CODES.get(error.code, error.code)
    if error.code == errors.RateLimitedError.code:
        limit = str(error.details.get("limit", ""))
        if limit == MONTHLY_BUDGET:
            return _QUOTA, _QUOTA
        return ("tokens" if "token" in limit else "requests"), code
    return (_SERVER if status >= 500 else _INVALID), code


def _param(error: ErrorBody) -> str | None:
    """The field at fault."""
    if error.code == errors.PromptTooLongError.code:
        return "messages"
    if error.code == errors.ModelNotFoundError.code:
        return "model"
    faults = error.details.get("faults")
    return (faults[0].get("path") or None) if isinstance(faults, list) and faults else None
