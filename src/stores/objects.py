"""The object store: whole objects of one tenant, in a folder or in an S3 bucket."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from contracts.tenant import TenantId
from stores.object_keys import is_key
from stores.objects_folder import FolderObjects


class Objects(Protocol):
    """Every object belongs to a tenant and lies under `tenants/<tenant>/<key>`.

    A key is a relative path of at most 512 characters; each part begins with a letter or a digit and goes on with
    letters, digits, `.`, `_` and `-`. Do not use the folder of a key as a key: a file system cannot hold both.
    Every method raises DependencyDownError while the store is out of reach, and ValueError for a key that is none.
    """

    async def put(self, tenant_id: TenantId, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        """Store `data` whole or not at all; it is durable on return.

        With `if_absent`, False when the key was taken: of several writers at once exactly one gets True.
        """
        ...

    async def get(self, tenant_id: TenantId, key: str) -> bytes | None: ...

    async def list(self, tenant_id: TenantId, prefix: str = "") -> list[str]:
        """All keys that begin with `prefix` (which may end inside a part), in the order of their characters."""
        ...

    async def delete(self, tenant_id: TenantId, key: str) -> bool:
        """False when there was nothing."""
        ...

    async def delete_all(self, tenant_id: TenantId) -> int:
        """Remove whatever lies under the tenant, old versions and remains of broken-off writes included.

        Returns the number of keys. May be called again after a failure; a write at the same time may survive.
        """
        ...

    async def check(self) -> None:
        """For `/readyz`: raises when the store does not answer within a second."""
        ...

    async def close(self) -> None: ...


def open_objects(
    url: str, *, region: str | None = None, endpoint_url: str | None = None, role_arn: str | None = None
) -> Objects:
    """The store at `file:///absolute/folder` (made if it is not there) or `s3://bucket/prefix` (which must exist).

    `region` and `endpoint_url` are S3's. Without them boto3 looks where it always does: in AWS_DEFAULT_REGION (not in
    AWS_REGION), AWS_ENDPOINT_URL and its config files. It also looks for credentials here, which may take a second.
    `role_arn`, S3's as well: a role that is assumed for each tenant anew, with the tenant's id as session tag.
    Raises ValueError for another URL.
    """
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise ValueError("OBJECT_STORE_URL has neither a query nor a fragment")
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/") and parts.path != "/":
        return FolderObjects(Path(unquote(parts.path)))
    prefix = parts.path.strip("/")
    if parts.scheme == "s3" and parts.netloc and (not prefix or is_key(prefix)):
        from stores.objects_s3 import S3Objects  # noqa: PLC0415  boto3 takes half a second, and a folder needs none

        return S3Objects(parts.netloc, prefix, region=region, endpoint_url=endpoint_url, role_arn=role_arn)
    raise ValueError("OBJECT_STORE_URL must be file:///absolute/folder or s3://bucket/prefix")
