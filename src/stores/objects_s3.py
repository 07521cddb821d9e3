"""Objects in an S3 bucket, versioned or not, encrypted as the bucket says."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import boto3.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from contracts.tenant import TenantId
from stores.blocking_calls import THREADS, BlockingCalls, out_of_reach
from stores.object_keys import check_prefix, is_key, object_path, tenant_folder
from stores.tenant_sessions import TenantSessions

CONNECT_S = 2
READ_S = 10
ATTEMPTS = 2
"""Of one call, the first included."""
_PUT_ID = "atrium-put"
_CONFLICTS = 3
READY = "ready"
"""A key that is never used: whether the bucket answers is asked by listing it, which tells nothing of any tenant."""
R = TypeVar("R")


class S3Objects:
    """The Objects port on one bucket, below `prefix` (empty, or a path without slashes at its ends).

    Needs s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject and s3:DeleteObject on its objects; who deletes
    tenants also s3:ListBucketVersions and s3:DeleteObjectVersion. With `role_arn` that role needs them, for the prefix
    of the tenant in the session's tag, and the caller sts:AssumeRole and sts:TagSession, and s3:ListBucket for READY.
    An object is one request: at most 5 GiB, and no multipart upload is left.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        region: str | None = None,
        endpoint_url: str | None = None,
        role_arn: str | None = None,
    ) -> None:
        # A bucket is no host name on a store of one's own, so it goes into the path there.
        style = {"addressing_style": "path"} if endpoint_url else {}
        config = Config(
            connect_timeout=CONNECT_S,
            read_timeout=READ_S,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            max_pool_connections=THREADS,
            s3=style,
        )
        own = boto3.session.Session(region_name=region)
        self._own: Any = own.client("s3", endpoint_url=endpoint_url, config=config)
        self._client: Any = self._own
        self._sessions: TenantSessions | None = None
        if role_arn is not None:
            self._sessions = TenantSessions(role_arn, region=region, endpoint_url=endpoint_url, config=config)
            session = self._sessions.session(region=region)
            self._client = session.client("s3", endpoint_url=endpoint_url, config=config)
        self._bucket = bucket
        self._root = f"{prefix}/" if prefix else ""
        self._calls = BlockingCalls(ClientError, BotoCoreError, OSError)

    async def put(self, tenant_id: TenantId, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        name = self._name(tenant_id, key)
        if if_absent:
            return await self._run(tenant_id, partial(self._put_if_absent, name, data))
        await self._run(tenant_id, partial(self._client.put_object, Bucket=self._bucket, Key=name, Body=data))
        return True

    async def get(self, tenant_id: TenantId, key: str) -> bytes | None:
        return await self._run(tenant_id, partial(self._get, self._name(tenant_id, key)))

    async def list(self, tenant_id: TenantId, prefix: str = "") -> list[str]:
        check_prefix(prefix)
        folder = self._root + tenant_folder(tenant_id)
        found: list[str] = []
        begin = {"Bucket": self._bucket, "Prefix": folder + prefix}
        more: dict[str, str] | None = {}
        while more is not None:
            # Page by page, each with its own time bound: a tenant may have any number of objects.
            page = await self._run(tenant_id, partial(self._client.list_objects_v2, **begin, **more))
            found += [entry["Key"].removeprefix(folder) for entry in page.get("Contents", ())]
            more = {"ContinuationToken": page["NextContinuationToken"]} if page["IsTruncated"] else None
        return [key for key in found if is_key(key)]

    async def delete(self, tenant_id: TenantId, key: str) -> bool:
        return await self._run(tenant_id, partial(self._delete, self._name(tenant_id, key)))

    async def delete_all(self, tenant_id: TenantId) -> int:
        folder = self._root + tenant_folder(tenant_id)
        keys, last = 0, ""
        # Always from the beginning: it ends when the bucket itself says that nothing is left.
        while batch := await self._run(tenant_id, partial(self._delete_versions, folder)):
            keys += len(batch) - (last in batch)  # the versions of one key may fill more than one batch
            last = max(batch)
        return keys

    async def check(self) -> None:
        one = {"Bucket": self._bucket, "Prefix": self._root + READY, "MaxKeys": 1}
        await self._calls.check(partial(self._own.list_objects_v2, **one))

    async def close(self) -> None:
        self._calls.close()
        self._client.close()
        self._own.close()
        if self._sessions is not None:
            self._sessions.close()

    async def _run(self, tenant_id: TenantId, work: Callable[[], R]) -> R:
        return await self._calls.run(work if self._sessions is None else self._sessions.acting(tenant_id, work))

    def _name(self, tenant_id: TenantId, key: str) -> str:
        return self._root + object_path(tenant_id, key)

    def _put_if_absent(self, name: str, data: bytes) -> bool:
        put_id = secrets.token_hex(8)
        for _ in range(_CONFLICTS):
            try:
                self._client.put_object(
                    Bucket=self._bucket, Key=name, Body=data, IfNoneMatch="*", Metadata={_PUT_ID: put_id}
                )
            except ClientError as error:
                if _status(error) == 412:
                    # boto3 sends a put again whose answer was lost: then what is in the way may be our own.
                    return (self._metadata(name) or {}).get(_PUT_ID) == put_id
                if _status(error) != 409:  # "a conflicting operation occurs: retry the upload"
                    raise
            else:
                return True
        return False

    def _get(self, name: str) -> bytes | None:
        try:
            found = self._client.get_object(Bucket=self._bucket, Key=name)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":  # and not NoSuchBucket, which is also a 404
                return None
            if _status(error) == 403 and not self._is_there(name):
                return None
            raise
        with found["Body"] as body:
            data: bytes = body.read()
        return data

    def _delete(self, name: str) -> bool:
        if self._metadata(name) is None:  # S3 itself does not say whether there was anything
            return False
        self._client.delete_object(Bucket=self._bucket, Key=name)
        return True

    def _metadata(self, name: str) -> Mapping[str, str] | None:
        try:
            metadata: Mapping[str, str] = self._client.head_object(Bucket=self._bucket, Key=name)["Metadata"]
        except ClientError as error:
            if _status(error) == 404 or (_status(error) == 403 and not self._is_there(name)):
                return None
            raise
        return metadata

    def _is_there(self, name: str) -> bool:
        """To who may not list a whole bucket S3 says 403 of what is not there, as of what is forbidden."""
        page = self._client.list_objects_v2(Bucket=self._bucket, Prefix=name, MaxKeys=1)
        return any(entry["Key"] == name for entry in page.get("Contents", ()))

    def _delete_versions(self, folder: str) -> set[str]:
        """Delete up to 1,000 versions and delete markers; an unversioned bucket has one version of each key."""
        page = self._client.list_object_versions(Bucket=self._bucket, Prefix=folder, MaxKeys=1000)
        versions = [
            {"Key": entry["Key"], "VersionId": entry["VersionId"]}
            for kind in ("Versions", "DeleteMarkers")
            for entry in page.get(kind, ())
        ]
        if versions:
            answer = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": versions, "Quiet": True})
            if answer.get("Errors"):  # a lock, or a right that is missing: never "deleted"
                raise out_of_reach()
        return {version["Key"] for version in versions}


def _status(error: ClientError) -> int:
    status: int = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return status
