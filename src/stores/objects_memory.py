"""Objects in memory, for unit tests."""

from __future__ import annotations

from contracts.tenant import TenantId
from stores.object_keys import check_prefix, object_path, tenant_folder


class MemoryObjects:
    """The Objects port without a disk. No call waits, so each is one step for all others."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}

    async def put(self, tenant_id: TenantId, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        path = object_path(tenant_id, key)
        if if_absent and path in self._objects:
            return False
        self._objects[path] = bytes(data)
        return True

    async def get(self, tenant_id: TenantId, key: str) -> bytes | None:
        return self._objects.get(object_path(tenant_id, key))

    async def list(self, tenant_id: TenantId, prefix: str = "") -> list[str]:
        check_prefix(prefix)
        folder = tenant_folder(tenant_id)
        return sorted(path.removeprefix(folder) for path in self._objects if path.startswith(folder + prefix))

    async def delete(self, tenant_id: TenantId, key: str) -> bool:
        return self._objects.pop(object_path(tenant_id, key), None) is not None

    async def delete_all(self, tenant_id: TenantId) -> int:
        paths = [path for path in self._objects if path.startswith(tenant_folder(tenant_id))]
        for path in paths:
            del self._objects[path]
        return len(paths)

    async def check(self) -> None:
        pass

    async def close(self) -> None:
        pass
