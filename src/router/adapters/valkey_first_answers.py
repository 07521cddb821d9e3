"""First answers in Valkey: a record for each tenant and Idempotency-Key, which expires."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from contracts.errors import IdempotencyMismatchError, RequestInProgressError
from contracts.tenant import TenantId
from router.adapters.valkey_admissions import Scripts

_SCRIPT = Path(__file__).with_name("first_answers.lua")
_MILLISECOND = timedelta(milliseconds=1)


class ValkeyFirstAnswers:
    """Implements `FirstAnswerStore`."""

    def __init__(self, valkey: Scripts) -> None:
        self._script = valkey.script(_SCRIPT)

    async def begin(
        self, tenant_id: TenantId, name: str, owner: str, request_print: str, lease: timedelta
    ) -> bytes | None:
        state, *answer = await self._run(tenant_id, name, "begin", owner, lease, request_print)
        if state == b"other":
            raise IdempotencyMismatchError("this Idempotency-Key was used for another request")
        if state == b"running":
            raise RequestInProgressError("the first request with this Idempotency-Key is still running")
        return bytes(answer[0]) if answer else None

    async def renew(self, tenant_id: TenantId, name: str, owner: str, lease: timedelta) -> bool:
        return bool(await self._run(tenant_id, name, "renew", owner, lease))

    async def keep(self, tenant_id: TenantId, name: str, owner: str, answer: bytes, keep_for: timedelta) -> bool:
        return bool(await self._run(tenant_id, name, "keep", owner, keep_for, answer.decode()))

    async def drop(self, tenant_id: TenantId, name: str, owner: str) -> None:
        await self._run(tenant_id, name, "drop", owner, timedelta())

    async def _run(self, tenant_id: TenantId, name: str, what: str, owner: str, lives: timedelta, *more: str) -> Any:
        return await self._script(tenant_id, [("answers", name)], [what, owner, lives // _MILLISECOND, *more])
