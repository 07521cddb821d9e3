"""Sessions of AWS for one tenant each: a role is assumed with the tenant's id as session tag, and its policy names that
tag (`tenants/${aws:PrincipalTag/tenant}/*`). A key built for another tenant is then refused by S3 itself.

https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_session-tags.html
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

import boto3.session
import botocore.session
from botocore.config import Config
from botocore.credentials import Credentials, ReadOnlyCredentials, RefreshableCredentials

from contracts.tenant import TenantId

TAG = "tenant"
SESSION_S = 3_600
"""The longest that AWS gives to a role that was assumed by a role."""
MAX_SESSIONS = 10_000
"""Remembered, of a few hundred bytes each."""
R = TypeVar("R")


class TenantSessions:
    """Which tenant a thread works for, and the credentials with which boto3 then signs."""

    def __init__(self, role_arn: str, *, region: str | None, endpoint_url: str | None, config: Config) -> None:
        """`config`: how long is waited for STS."""
        own = boto3.session.Session(region_name=region)
        self._sts: Any = own.client("sts", endpoint_url=endpoint_url, config=config)
        self._role_arn = role_arn
        self._sessions: OrderedDict[TenantId, RefreshableCredentials] = OrderedDict()
        self._lock = threading.Lock()
        self._tenant: ContextVar[TenantId | None] = ContextVar("tenant", default=None)

    def session(self, *, region: str | None) -> boto3.session.Session:
        """Clients of it sign as the tenant for whom their thread works at that moment, and fail outside `acting`."""
        inner = botocore.session.Session()
        inner.register_component("credential_provider", _Provider(_OfTheTenant(self._credentials)))
        return boto3.session.Session(botocore_session=inner, region_name=region)

    def acting(self, tenant_id: TenantId, work: Callable[[], R]) -> Callable[[], R]:
        """`work`, done for this tenant in whatever thread it is called."""

        def for_the_tenant() -> R:
            before = self._tenant.set(tenant_id)
            try:
                return work()
            finally:
                self._tenant.reset(before)

        return for_the_tenant

    def close(self) -> None:
        self._sts.close()

    def _credentials(self) -> ReadOnlyCredentials:
        """Raises ClientError and BotoCoreError where STS gives none."""
        tenant_id = self._tenant.get()
        if tenant_id is None:
            raise RuntimeError("nothing is asked of S3 without a tenant")
        with self._lock:
            found = self._sessions.get(tenant_id)
        if found is None:
            # Two threads may both come here: two sessions of the same tenant, of which one is kept.
            begin = partial(self._begin, tenant_id)
            found = RefreshableCredentials.create_from_metadata(begin(), refresh_using=begin, method="tenant-session")
        with self._lock:
            self._sessions[tenant_id] = found
            self._sessions.move_to_end(tenant_id)
            while len(self._sessions) > MAX_SESSIONS:
                self._sessions.popitem(last=False)
        return found.get_frozen_credentials()

    def _begin(self, tenant_id: TenantId) -> dict[str, str]:
        given = self._sts.assume_role(
            RoleArn=self._role_arn,
            RoleSessionName=f"@{tenant_id}",  # in CloudTrail: assumed-role/<role>/@<tenant>
            DurationSeconds=SESSION_S,
            Tags=[{"Key": TAG, "Value": str(tenant_id)}],
        )["Credentials"]
        return {
            "access_key": given["AccessKeyId"],
            "secret_key": given["SecretAccessKey"],
            "token": given["SessionToken"],
            "expiry_time": given["Expiration"].isoformat(),
        }


class _OfTheTenant(Credentials):  # type: ignore[misc]  # botocore has no types
    """What boto3 asks when it signs; it asks for each request."""

    def __init__(self, found: Callable[[], ReadOnlyCredentials]) -> None:
        super().__init__("of-the-tenant", "of-the-tenant", method="tenant-session")
        self._found = found

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        return self._found()


class _Provider:
    """In the place of boto3's chain of where credentials may be."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def load_credentials(self) -> Credentials:
        return self._credentials
