"""What is particular to objects in a folder: modes, remains of a crash, names that collide, a folder that is gone."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from stores.objects_folder import FolderObjects

T = TenantId("t1")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
async def objects(root: Path) -> AsyncIterator[FolderObjects]:
    store = FolderObjects(root)
    yield store
    await store.close()


async def test_an_object_is_a_file_that_only_its_owner_reads(objects: FolderObjects, root: Path) -> None:
    await objects.put(T, "uploads/a.pdf", b"x")
    file = root / "tenants/t1/uploads/a.pdf"
    assert file.read_bytes() == b"x"
    assert [path.name for path in file.parent.iterdir()] == ["a.pdf"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for folder in (root, *(root / name for name in ("tenants", "tenants/t1", "tenants/t1/uploads"))):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_the_remains_of_a_crash_are_not_listed_and_go_with_the_tenant(objects: FolderObjects, root: Path) -> None:
    await objects.put(T, "uploads/a", b"x")
    (root / "tenants/t1/uploads/.put-0123").write_bytes(b"half")
    assert await objects.list(T) == ["uploads/a"]
    assert await objects.delete_all(T) == 1
    assert list((root / "tenants").iterdir()) == []


async def test_a_put_that_lost_leaves_nothing_beside_the_winner(objects: FolderObjects, root: Path) -> None:
    assert await objects.put(T, "k", b"1", if_absent=True)
    assert not await objects.put(T, "k", b"2", if_absent=True)
    assert [path.name for path in (root / "tenants/t1").iterdir()] == ["k"]


@pytest.mark.parametrize("if_absent", [False, True])
async def test_a_key_is_not_the_folder_of_another(objects: FolderObjects, root: Path, if_absent: bool) -> None:
    await objects.put(T, "a/b", b"x")
    for key in ("a", "a/b/c", "a/b/c/d"):
        with pytest.raises(ValueError, match="folder of another"):
            await objects.put(T, key, b"y", if_absent=if_absent)
    assert await objects.list(T) == ["a/b"]
    assert [path.name for path in (root / "tenants/t1/a").iterdir()] == ["b"]


async def test_what_the_disk_refuses_is_an_outage(objects: FolderObjects, root: Path) -> None:
    (root / "tenants").mkdir()
    (root / "tenants/t1").symlink_to("t1")  # a loop
    for call in (objects.put(T, "k", b"x"), objects.get(T, "k"), objects.delete(T, "k"), objects.list(T)):
        with pytest.raises(DependencyDownError) as caught:
            await call
        assert caught.value.details == {"dependency": "object_store"}


async def test_a_folder_that_is_gone_is_not_ready(objects: FolderObjects, root: Path) -> None:
    os.rmdir(root)
    with pytest.raises(DependencyDownError):
        await objects.check()
