"""The object store: in memory, in a folder and on S3 the same promises are kept."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import boto3.session
import pytest

from contracts.tenant import TenantId
from stores.objects import Objects, open_objects
from stores.objects_memory import MemoryObjects


@pytest.fixture(params=["memory", "folder", "s3", "s3 with versions", "s3 with tenants' sessions"])
async def objects(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Objects]:
    if request.param == "memory":
        store: Objects = MemoryObjects()
    elif request.param == "folder":
        store = open_objects((tmp_path / "objects").as_uri())
    else:
        request.getfixturevalue("aws")
        endpoint = request.getfixturevalue("s3_server")
        bucket = make_bucket(endpoint, versioned="versions" in request.param)
        role = "arn:aws:iam::123456789012:role/atrium-rag-tenant" if "sessions" in request.param else None
        store = open_objects(f"s3://{bucket}/some/prefix", endpoint_url=endpoint, role_arn=role)
    yield store
    await store.close()


def make_bucket(endpoint: str, *, versioned: bool) -> str:
    name = f"atrium-{secrets.token_hex(6)}"
    client = boto3.session.Session().client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket=name)
    if versioned:
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    client.close()
    return name


A, AA, A_B = TenantId("a"), TenantId("aa"), TenantId("a-b")


async def test_what_was_put_is_read_again(objects: Objects) -> None:
    data = bytes(range(256)) * 1000
    assert await objects.put(A, "uploads/2026/Book_1.pdf", data)
    assert await objects.get(A, "uploads/2026/Book_1.pdf") == data
    assert await objects.put(A, "uploads/2026/Book_1.pdf", b"")
    assert await objects.get(A, "uploads/2026/Book_1.pdf") == b""


async def test_what_was_never_put_is_none(objects: Objects) -> None:
    await objects.put(A, "uploads/x", b"1")
    assert await objects.get(A, "uploads/y") is None
    assert await objects.get(A, "uploads") is None
    assert await objects.get(A, "uploads/x/y") is None
    assert await objects.get(AA, "uploads/x") is None
    assert await objects.list(AA) == []


async def test_if_absent_keeps_what_is_there(objects: Objects) -> None:
    assert await objects.put(A, "leader", b"first", if_absent=True)
    assert not await objects.put(A, "leader", b"second", if_absent=True)
    assert await objects.get(A, "leader") == b"first"
    assert await objects.put(A_B, "leader", b"another tenant's", if_absent=True)
    await objects.delete(A, "leader")
    assert await objects.put(A, "leader", b"third", if_absent=True)


async def test_of_many_writers_at_once_exactly_one_is_told_that_it_wrote(objects: Objects) -> None:
    written = await asyncio.gather(*(objects.put(A, "new/k", b"%d" % n, if_absent=True) for n in range(8)))
    assert sum(written) == 1
    assert await objects.get(A, "new/k") == b"%d" % written.index(True)


async def test_keys_are_listed_in_order_by_any_beginning(objects: Objects) -> None:
    keys = ["a/1", "a/10", "a/2", "a-b", "a.b", "ab/c/d", "Z", "0"]
    for key in keys:
        await objects.put(A, key, b"x")
    assert await objects.list(A) == sorted(keys)
    assert await objects.list(A, "a/") == ["a/1", "a/10", "a/2"]
    assert await objects.list(A, "a/1") == ["a/1", "a/10"]
    assert await objects.list(A, "a") == sorted(key for key in keys if key.startswith("a"))
    assert await objects.list(A, "ab/c/") == ["ab/c/d"]
    assert await objects.list(A, "none/here") == []


async def test_delete_says_whether_there_was_anything(objects: Objects) -> None:
    await objects.put(A, "x/y", b"1")
    assert not await objects.delete(A, "x")
    assert not await objects.delete(A_B, "x/y")
    assert await objects.delete(A, "x/y")
    assert not await objects.delete(A, "x/y")
    assert await objects.get(A, "x/y") is None
    assert await objects.list(A) == []


async def test_delete_all_leaves_tenants_with_like_names_alone(objects: Objects) -> None:
    for tenant in (A, AA, A_B):
        await objects.put(tenant, "k", b"1")
        await objects.put(tenant, "folder/k", b"2")
        await objects.put(tenant, "folder/k", b"3")
    assert await objects.delete_all(A) == 2
    assert await objects.list(A) == []
    assert await objects.delete_all(A) == 0
    for tenant in (AA, A_B):
        assert await objects.list(tenant) == ["folder/k", "k"]
        assert await objects.get(tenant, "folder/k") == b"3"


async def test_more_than_one_page_is_listed_and_deleted_whole(objects: Objects) -> None:
    keys = [f"many/{number:04}" for number in range(1005)]
    for begin in range(0, len(keys), 100):
        await asyncio.gather(*(objects.put(A, key, b"x") for key in keys[begin : begin + 100]))
    await objects.put(A_B, "k", b"x")
    assert await objects.list(A) == keys
    assert await objects.list(A, "many/09") == keys[900:1000]
    assert await objects.delete_all(A) == len(keys)
    assert await objects.list(A) == []
    assert await objects.list(A_B) == ["k"]


@pytest.mark.parametrize(
    "key",
    [
        *("", "/etc/passwd", "..", "../b/k", "x/../y", "x/./y", "x//y", "x/", ".hidden", "x/.put-1", "a b", "é", "-x"),
        *("x\n", "x\x00", "x\\y", "~", "%2e%2e", "k" * 256, "/".join(["k" * 100] * 6)),
    ],
)
async def test_what_is_no_key_reaches_nothing(objects: Objects, key: str) -> None:
    with pytest.raises(ValueError, match="object key"):
        await objects.put(A, key, b"x")
    with pytest.raises(ValueError, match="object key"):
        await objects.get(A, key)
    with pytest.raises(ValueError, match="object key"):
        await objects.delete(A, key)
    if key not in {"", "x/"}:
        with pytest.raises(ValueError, match="object key"):
            await objects.list(A, key)


async def test_it_answers(objects: Objects) -> None:
    await objects.check()
