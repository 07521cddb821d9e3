"""The one error envelope, and the exception tree whose `code` clients rely on.

AtriumError
├── InvalidRequestError        invalid_request        422  malformed input; nothing was stored or sent on
│   ├── PromptTooLongError     prompt_too_long        422  the prompt does not fit the model's context
│   └── IdempotencyMismatchError idempotency_mismatch 422  the Idempotency-Key belongs to another request
├── BodyTooLargeError          body_too_large         413
├── RequestTimeoutError        request_timeout        408  the body did not arrive in time
├── UnauthenticatedError       unauthenticated        401  no usable credential
├── ForbiddenError             forbidden              403  the role may not do this
│   └── TenantSuspendedError   tenant_suspended       403  the platform has suspended the tenant
├── TenantMismatchError        tenant_mismatch        403  two names of a tenant that disagree
├── NotFoundError              not_found              404  absent, or another tenant's
│   └── ModelNotFoundError     model_not_found        404  no model that the tenant may name
├── ConflictError              conflict               409
│   └── RequestInProgressError request_in_progress    409  the first request with this Idempotency-Key still runs
├── PreconditionFailedError    precondition_failed    412
├── RateLimitedError           rate_limited           429
├── OverloadedError            overloaded             503
├── PoolUnavailableError       pool_unavailable       503  the tenant's engine pool has no replica
├── ModelUnavailableError      model_unavailable      503  no replica of the pool serves the model to this tenant
├── DependencyDownError        dependency_unavailable 503  a store is out of reach
├── ModerationUnavailableError moderation_unavailable 503  no verdict on a text, and the tenant lets none pass without
├── UpstreamError              upstream_error         502  the next service or the engine failed
├── UpstreamTimeoutError       upstream_timeout       504
└── SlowReaderError            slow_reader            408  the client did not read its answer; always an event
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class ErrorBody(BaseModel):
    model_config = ConfigDict(frozen=True)

    code: str
    message: str
    request_id: str
    details: dict[str, Any] = {}


class ErrorEnvelope(BaseModel):
    """`{"error": {"code", "message", "request_id", "details"}}`: the body of every answer that is not 2xx."""

    model_config = ConfigDict(frozen=True)

    error: ErrorBody


class AtriumError(Exception):
    """An expected failure with a stable code. `message` is for the caller and names no secret."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, details: Mapping[str, Any] | None = None, retry_after_s: float | None = None):
        super().__init__(message)
        self.message = message
        self.details = dict(details or {})
        self.retry_after_s = retry_after_s


class InvalidRequestError(AtriumError):
    code = "invalid_request"


class PromptTooLongError(InvalidRequestError):
    code = "prompt_too_long"


class IdempotencyMismatchError(InvalidRequestError):
    code = "idempotency_mismatch"


class BodyTooLargeError(AtriumError):
    code = "body_too_large"


class RequestTimeoutError(AtriumError):
    code = "request_timeout"


class UnauthenticatedError(AtriumError):
    code = "unauthenticated"


class ForbiddenError(AtriumError):
    code = "forbidden"


class TenantSuspendedError(ForbiddenError):
    code = "tenant_suspended"


class TenantMismatchError(AtriumError):
    code = "tenant_mismatch"


class NotFoundError(AtriumError):
    code = "not_found"


class ModelNotFoundError(NotFoundError):
    code = "model_not_found"


class ConflictError(AtriumError):
    code = "conflict"


class RequestInProgressError(ConflictError):
    code = "request_in_progress"


class PreconditionFailedError(AtriumError):
    code = "precondition_failed"


class RateLimitedError(AtriumError):
    code = "rate_limited"


class OverloadedError(AtriumError):
    code = "overloaded"


class PoolUnavailableError(AtriumError):
    code = "pool_unavailable"


class ModelUnavailableError(AtriumError):
    code = "model_unavailable"


class DependencyDownError(AtriumError):
    code = "dependency_unavailable"


class ModerationUnavailableError(AtriumError):
    code = "moderation_unavailable"


class UpstreamError(AtriumError):
    code = "upstream_error"


class UpstreamTimeoutError(AtriumError):
    code = "upstream_timeout"


class SlowReaderError(AtriumError):
    code = "slow_reader"


FAULTS = frozenset(
    cls.code
    for cls in (
        AtriumError,
        OverloadedError,
        PoolUnavailableError,
        ModelUnavailableError,
        DependencyDownError,
        ModerationUnavailableError,
        UpstreamError,
        UpstreamTimeoutError,
    )
)
"""Codes of failures that are not the client's: those that are told with 5xx, in an event of a stream as well."""


def error_classes() -> dict[str, type[AtriumError]]:
    """Every code with its class, so that an envelope from the next service can be raised again here."""
    found: dict[str, type[AtriumError]] = {AtriumError.code: AtriumError}
    waiting = list(AtriumError.__subclasses__())
    while waiting:
        cls = waiting.pop()
        found[cls.code] = cls
        waiting.extend(cls.__subclasses__())
    return found
