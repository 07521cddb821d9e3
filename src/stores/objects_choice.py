"""Which object store a service has, by its settings."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Protocol

from stores.objects import Objects, open_objects


class ObjectStoreSettings(Protocol):
    @property
    def object_store_url(self) -> str | None: ...
    @property
    def object_store_role_arn(self) -> str | None: ...
    @property
    def aws_region(self) -> str: ...
    @property
    def aws_endpoint_url(self) -> str | None: ...


def open_object_store(settings: ObjectStoreSettings, stack: AsyncExitStack) -> Objects | None:
    """None where none is named. `stack` closes it. Raises ValueError for a URL that names none."""
    if settings.object_store_url is None:
        return None
    objects = open_objects(
        settings.object_store_url,
        region=settings.aws_region,
        endpoint_url=settings.aws_endpoint_url,
        role_arn=settings.object_store_role_arn,
    )
    stack.push_async_callback(objects.close)
    return objects
