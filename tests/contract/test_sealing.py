"""Secrets sealed with a key of one's own and by KMS (an imitation of its API, moto) open for their tenant alone."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import boto3
import pytest

from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from stores.sealing import SEALED, LocalSealing, RememberedSealing, Sealing, UnsealError, parse_sealing_keys
from stores.sealing_kms import KmsSealing
from support.s3 import running_s3
from support.server import free_port

pytestmark = pytest.mark.usefixtures("aws")
T1, T2 = TenantId("t1"), TenantId("t2")
SECRET = "sk-a-key-of-the-tests"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_s3(Path(tmp_path_factory.mktemp("kms")) / "moto.log") as url:
        yield url


@pytest.fixture(params=["local", "kms", "remembered"])
async def sealing(request: pytest.FixtureRequest) -> AsyncIterator[Sealing]:
    made: Sealing
    if request.param == "kms":
        url = request.getfixturevalue("endpoint")
        kms = boto3.session.Session(region_name="us-east-1").client("kms", endpoint_url=url)
        made = KmsSealing(kms.create_key()["KeyMetadata"]["KeyId"], region="us-east-1", endpoint_url=url)
    else:
        made = LocalSealing([secrets.token_bytes(32)])
        if request.param == "remembered":
            made = RememberedSealing(made)
    yield made
    await made.close()


async def test_what_was_sealed_opens_for_its_tenant_and_shows_nothing(sealing: Sealing) -> None:
    first, second = [await sealing.seal(T1, SECRET) for _ in range(2)]

    assert first != second
    assert first.startswith(SEALED)
    assert SECRET not in first
    assert [await sealing.unseal(T1, one) for one in (first, second, first)] == [SECRET] * 3


async def test_it_does_not_open_for_another_tenant(sealing: Sealing) -> None:
    sealed = await sealing.seal(T1, SECRET)
    await sealing.unseal(T1, sealed)

    with pytest.raises(UnsealError):
        await sealing.unseal(T2, sealed)


async def test_what_was_changed_or_never_sealed_does_not_open(sealing: Sealing) -> None:
    sealed = await sealing.seal(T1, SECRET)
    middle = len(sealed) - 8
    changed = sealed[:middle] + ("A" if sealed[middle] != "A" else "B") + sealed[middle + 1 :]

    for text in (changed, sealed[:-4], "", SECRET, "sealed:", "sealed:aes:x", "sealed:aes:zz:!!", "sealed:kms:1:AAAA"):
        with pytest.raises(UnsealError):
            await sealing.unseal(T1, text)


async def test_an_old_key_still_opens_and_the_new_one_seals() -> None:
    old, new = secrets.token_bytes(32), secrets.token_bytes(32)
    sealed = await LocalSealing([old]).seal(T1, SECRET)
    both = LocalSealing([new, old])

    assert await both.unseal(T1, sealed) == SECRET
    assert await LocalSealing([new]).unseal(T1, await both.seal(T1, SECRET)) == SECRET
    with pytest.raises(UnsealError):
        await LocalSealing([new]).unseal(T1, sealed)


async def test_a_key_service_out_of_reach_is_said_so() -> None:
    sealing = KmsSealing("k", region="us-east-1", endpoint_url=f"http://127.0.0.1:{free_port()}")
    try:
        with pytest.raises(DependencyDownError):
            await sealing.seal(T1, SECRET)
    finally:
        await sealing.close()


def test_keys_are_read_and_a_wrong_one_is_not_repeated() -> None:
    assert len(parse_sealing_keys("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=, " + "B" * 43)) == 2
    for wrong in ("", "short", "!" * 44):
        with pytest.raises(ValueError, match="32 random bytes") as error:
            parse_sealing_keys(wrong)
        assert wrong not in str(error.value) or not wrong
