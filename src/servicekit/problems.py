"""Errors become HTTP here: one table from code to status, one envelope, for every service."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import compile_path

from contracts import errors
from contracts.errors import AtriumError, ErrorBody, ErrorEnvelope
from observability.error_shape import told
from observability.record import record_of

STATUS: Mapping[str, int] = {
    errors.AtriumError.code: 500,
    errors.InvalidRequestError.code: 422,
    errors.PromptTooLongError.code: 422,
    errors.IdempotencyMismatchError.code: 422,
    errors.BodyTooLargeError.code: 413,
    errors.RequestTimeoutError.code: 408,
    errors.UnauthenticatedError.code: 401,
    errors.ForbiddenError.code: 403,
    errors.TenantSuspendedError.code: 403,
    errors.TenantMismatchError.code: 403,
    errors.NotFoundError.code: 404,
    errors.ModelNotFoundError.code: 404,
    errors.ConflictError.code: 409,
    errors.RequestInProgressError.code: 409,
    errors.PreconditionFailedError.code: 412,
    errors.RateLimitedError.code: 429,
    errors.OverloadedError.code: 503,
    errors.PoolUnavailableError.code: 503,
    errors.ModelUnavailableError.code: 503,
    errors.DependencyDownError.code: 503,
    errors.ModerationUnavailableError.code: 503,
    errors.UpstreamError.code: 502,
    errors.UpstreamTimeoutError.code: 504,
    errors.SlowReaderError.code: 408,
}

_COME_BACK = frozenset(
    {
        errors.OverloadedError.code,
        errors.PoolUnavailableError.code,
        errors.DependencyDownError.code,
        errors.ModerationUnavailableError.code,
        errors.RequestInProgressError.code,
    }
)
"""Always with `Retry-After`: a second, where nothing better is known."""
_FRAMEWORK_CODES = {404: errors.NotFoundError.code, 405: "method_not_allowed"}
_RESPONSES = {
    401: "no credential, or not a valid one",
    403: "not allowed",
    404: "absent, or another tenant's",
    409: "in conflict with what is there",
    412: "changed meanwhile",
    413: "too large",
    429: "over a limit; Retry-After says when it fits",
    503: "overloaded, or a store or the moderation is out of reach; Retry-After says when to try again",
    422: "malformed; nothing was stored",
}

_ENCODED = "send the body as it is: none with a Content-Encoding is taken"
_VAGUE = "There was an error parsing the body"
"""FastAPI's words for whatever it could not read."""
_UNREADABLE = "the body could not be read: send JSON in UTF-8, not too deep and without numbers of thousands of digits"

MAX_FAULTS, MAX_PATH_CHARS = 20, 200
"""An answer must not be larger than the request that it refuses."""

CLIENT_GONE = 499
"""nginx's status for a request whose client left: only the log and the metrics ever see it."""


class ClientGoneError(Exception):
    """The client closed the connection before the answer began."""


OPENAPI_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorEnvelope, "description": text} for status, text in _RESPONSES.items()
}


def install_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(AtriumError, _expected)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _framework)
    app.add_exception_handler(ClientGoneError, _gone)


def error_response(request: Request, error: AtriumError) -> JSONResponse:
    headers = {}
    wait_s = error.retry_after_s
    if wait_s is not None or error.code in _COME_BACK:
        headers["retry-after"] = str(max(1, math.ceil(wait_s or 0)))
    if error.code == errors.DependencyDownError.code:
        record_of(request.scope).dependency_down = str(error.details.get("dependency", ""))
    if error.code == errors.UnauthenticatedError.code:
        headers["www-authenticate"] = "Bearer"
    if error.code == errors.RequestTimeoutError.code:
        headers["connection"] = "close"  # RFC 9110, 15.5.9: the rest of the body is not waited for
    extra = error.details.get("headers")
    if isinstance(extra, dict):
        headers.update(extra)
    details = {key: value for key, value in error.details.items() if key != "headers"}
    return _envelope(request, STATUS.get(error.code, 500), error.code, error.message, details, headers)


async def _expected(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AtriumError)  # noqa: S101  registered for this class alone
    return error_response(request, error)


async def _malformed(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101  registered for this class alone
    if _is_encoded(request):
        return error_response(request, errors.InvalidRequestError(_ENCODED))
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not kind.endswith("json") and any(
        item["loc"] == ("body",) and item["type"] != "missing" for item in error.errors()
    ):
        # The framework has not even looked at the body, and would complain that it is no object.
        return error_response(request, errors.InvalidRequestError("send the body with Content-Type: application/json"))
    return error_response(request, malformed(error.errors()))


def malformed(found: Sequence[Mapping[str, Any]]) -> errors.InvalidRequestError:
    """The error for what pydantic found, each with its place as FastAPI gives it: `("body", "query")`."""
    faults = [_fault(item) for item in found[:MAX_FAULTS]]
    first = faults[0] if faults else {"path": "", "reason": "malformed"}
    message = f"{first['path']}: {first['reason']}" if first["path"] else first["reason"]
    return errors.InvalidRequestError(message, details={"faults": faults})


def _fault(item: Mapping[str, Any]) -> dict[str, str]:
    """Where and why, without the value: it may be a secret, or a megabyte."""
    where = item["loc"]
    place = where[1:] if where[:1] and where[0] in {"body", "query", "path", "header"} else where
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")
    unknown = item["type"] == "extra_forbidden"
    reason = "is not known here: leave it out" if unknown else str(item["msg"]).removeprefix("Value error, ")
    return {"path": path[:MAX_PATH_CHARS], "reason": reason[:500]}


def _is_encoded(request: Request) -> bool:
    return request.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}


async def _framework(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101  registered for this class alone
    if isinstance(error.__cause__, AtriumError):  # raised while the framework read the body
        return error_response(request, error.__cause__)
    if error.status_code == 400:  # a body that is not JSON in UTF-8
        reason = _ENCODED if _is_encoded(request) else _UNREADABLE if error.detail == _VAGUE else str(error.detail)
        return _envelope(request, 422, errors.InvalidRequestError.code, reason, {})
    code = _FRAMEWORK_CODES.get(error.status_code, errors.InvalidRequestError.code)
    headers = {"allow": _methods(request)} if error.status_code == 405 else error.headers
    return _envelope(request, error.status_code, code, str(error.detail), {}, headers)


def _methods(request: Request) -> str:
    """Of the path asked for: the framework names those of the first route alone that has it."""
    described = request.app.openapi()["paths"]
    matching = (of_path for path, of_path in described.items() if compile_path(path)[0].match(request.url.path))
    return ", ".join(sorted({method.upper() for of_path in matching for method in of_path}))


async def _gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=CLIENT_GONE)


def _envelope(
    request: Request,
    status: int,
    code: str,
    message: str,
    details: dict[str, Any],
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    record = record_of(request.scope)
    record.error_code = code
    if code == errors.RateLimitedError.code:
        record.limit = details.get("limit")
    error = ErrorBody(code=code, message=message, request_id=record.request_id, details=details)
    answer = told(request.scope, status, error, headers or {})
    return JSONResponse(answer.content, status_code=answer.status, headers=dict(answer.headers))


def error_from_envelope(status: int, body: bytes, *, service: str, retry_after: str | None = None) -> AtriumError:
    """Raise a callee's envelope again here. A body that is not one is the callee's fault: `upstream_error`."""
    try:
        envelope = ErrorEnvelope.model_validate(orjson.loads(body))
    except ValueError:
        return errors.UpstreamError(f"{service} answered {status} without an explanation")
    cls = errors.error_classes().get(envelope.error.code)
    if cls is None or cls in {errors.AtriumError, errors.UnauthenticatedError, errors.ForbiddenError}:
        # A callee that does not trust us, or broke, is not the client's doing.
        return errors.UpstreamError(f"{service} failed")
    wait_s = float(retry_after) if retry_after is not None and retry_after.isdigit() else None
    return cls(envelope.error.message, details=envelope.error.details, retry_after_s=wait_s)
