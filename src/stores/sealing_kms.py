"""Secrets sealed by AWS KMS (https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html): the key never
leaves it. The tenant's id is the encryption context, so that it stands in CloudTrail and is authenticated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import boto3.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from stores.patience import bounded
from stores.sealing import SEALED, UnsealError, as_text, parts_of

DEPENDENCY = "kms"
CALL_S = 5.0
CONNECT_S, READ_S = 1, 2
THREADS = 8
_WRONG = {"InvalidCiphertextException", "IncorrectKeyException"}
R = TypeVar("R")


class KmsSealing:
    """Needs kms:Encrypt and kms:Decrypt on the key; a service that only reads needs kms:Decrypt. A secret has at most
    4,096 bytes. A key that is rotated by KMS keeps opening what it sealed."""

    def __init__(self, key_id: str, *, region: str | None = None, endpoint_url: str | None = None) -> None:
        self._key_id = key_id
        self._client: Any = boto3.session.Session(region_name=region).client(
            "kms",
            endpoint_url=endpoint_url,
            config=Config(
                connect_timeout=CONNECT_S,
                read_timeout=READ_S,
                retries={"mode": "standard", "total_max_attempts": 2},
                max_pool_connections=THREADS,
            ),
        )
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="kms")

    async def seal(self, tenant_id: TenantId, secret: str) -> str:
        sealed = await self._run(partial(self._encrypt, tenant_id, secret.encode()))
        return f"{SEALED}kms:1:{as_text(sealed)}"

    async def unseal(self, tenant_id: TenantId, sealed: str) -> str:
        _, data = parts_of(sealed, "kms")
        return (await self._run(partial(self._decrypt, tenant_id, data))).decode()

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _encrypt(self, tenant_id: TenantId, secret: bytes) -> bytes:
        answer = self._client.encrypt(KeyId=self._key_id, Plaintext=secret, EncryptionContext=_context(tenant_id))
        return bytes(answer["CiphertextBlob"])

    def _decrypt(self, tenant_id: TenantId, data: bytes) -> bytes:
        answer = self._client.decrypt(KeyId=self._key_id, CiphertextBlob=data, EncryptionContext=_context(tenant_id))
        return bytes(answer["Plaintext"])

    @bounded(CALL_S, DEPENDENCY)
    async def _run(self, work: Callable[[], R]) -> R:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except ClientError as error:
            if error.response["Error"]["Code"] in _WRONG:
                raise UnsealError("the secret was not sealed for this tenant") from error
            raise _out_of_reach() from error
        except (BotoCoreError, OSError) as error:
            raise _out_of_reach() from error


def _context(tenant_id: TenantId) -> dict[str, str]:
    return {"atrium-tenant": str(tenant_id)}


def _out_of_reach() -> DependencyDownError:
    return DependencyDownError("the key service is out of reach", details={"dependency": DEPENDENCY}, retry_after_s=2)
