"""Objects as files: for the local run, and for one machine with a disk that is backed up."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from functools import partial
from pathlib import Path

from contracts.tenant import TenantId
from stores.blocking_calls import BlockingCalls
from stores.object_keys import check_prefix, is_key, object_path, tenant_folder

_UNFINISHED = ".put-"
"""How a file begins that is being written. No key begins with a dot."""
_MAKE_FOLDER_ATTEMPTS = 5


class FolderObjects:
    """The Objects port on a file system that knows hard links. Files are 0600, folders 0700."""

    def __init__(self, root: Path) -> None:
        if not root.is_absolute():
            raise ValueError("the object store's folder must be absolute")
        self._root = root
        self._calls = BlockingCalls(OSError)
        _make_folder(root)

    async def put(self, tenant_id: TenantId, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        path = self._root / object_path(tenant_id, key)
        return await self._calls.run(partial(_write, self._root, path, data, if_absent=if_absent))

    async def get(self, tenant_id: TenantId, key: str) -> bytes | None:
        return await self._calls.run(partial(_read, self._root / object_path(tenant_id, key)))

    async def list(self, tenant_id: TenantId, prefix: str = "") -> list[str]:
        check_prefix(prefix)
        return await self._calls.run(partial(_list, self._root / tenant_folder(tenant_id), prefix))

    async def delete(self, tenant_id: TenantId, key: str) -> bool:
        return await self._calls.run(partial(_delete, self._root / object_path(tenant_id, key)))

    async def delete_all(self, tenant_id: TenantId) -> int:
        return await self._calls.run(partial(_delete_tree, self._root / tenant_folder(tenant_id)))

    async def check(self) -> None:
        await self._calls.check(partial(_check, self._root))

    async def close(self) -> None:
        self._calls.close()


def _write(root: Path, path: Path, data: bytes, *, if_absent: bool) -> bool:
    unfinished = path.with_name(_UNFINISHED + secrets.token_hex(8))
    try:
        _fill(unfinished, data)
        written = _publish(unfinished, path, if_absent=if_absent)
    except (IsADirectoryError, NotADirectoryError) as error:
        raise ValueError("an object key may not be the folder of another") from error
    finally:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            unfinished.unlink()
    # Also when another's object was found: the caller may rely on it. And every folder above, whoever made it.
    _sync_up_to(root, path.parent)
    return written


def _fill(file: Path, data: bytes) -> None:
    for attempt in range(1, _MAKE_FOLDER_ATTEMPTS + 1):
        _make_folder(file.parent)
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            break
        except FileNotFoundError:  # a `delete_all` at the same time removed the folder again
            if attempt == _MAKE_FOLDER_ATTEMPTS:
                raise
    with os.fdopen(descriptor, "wb") as output:
        output.write(data)
        output.flush()
        os.fsync(output.fileno())


def _publish(unfinished: Path, path: Path, *, if_absent: bool) -> bool:
    if not if_absent:
        unfinished.replace(path)
        return True
    try:
        os.link(unfinished, path)  # fails where the name is taken: the one atomic "if absent" of a file system
    except FileExistsError:
        if path.is_dir():
            raise IsADirectoryError(path) from None
        return False
    return True


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _list(tenant: Path, prefix: str) -> list[str]:
    folder, _, _ = prefix.rpartition("/")
    files = (
        (Path(parent) / name).relative_to(tenant).as_posix()
        for parent, _, names in os.walk(tenant / folder, onerror=_unless_gone)
        for name in names
    )
    return sorted(key for key in files if key.startswith(prefix) and is_key(key))


def _delete(path: Path) -> bool:
    if path.is_dir():
        return False
    try:
        path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return False
    _sync(path.parent)
    return True


def _delete_tree(tenant: Path) -> int:
    keys = 0
    for parent, folders, names in os.walk(tenant, topdown=False, onerror=_unless_gone):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                (Path(parent) / name).unlink()
                keys += is_key(name)
        for name in folders:
            _remove_folder(Path(parent) / name)
    _remove_folder(tenant)
    _sync_up_to(tenant.parent.parent, tenant.parent)
    return keys


def _remove_folder(folder: Path) -> None:
    try:
        folder.rmdir()
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:  # POSIX allows both: a write came in between
            raise


def _check(root: Path) -> None:
    if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "the object store's folder is missing, or not ours to write")


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(0o700)  # `parents=True` would give those above the default mode


def _sync_up_to(root: Path, folder: Path) -> None:
    """Make the entries of `folder` and of all above it durable. What was synced already costs next to nothing."""
    while True:
        with contextlib.suppress(FileNotFoundError):
            _sync(folder)
        if folder == root:
            return
        folder = folder.parent


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error
