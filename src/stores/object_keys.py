"""Where an object lies: `tenants/<tenant>/<key>`, built in this one place from a TenantId and a checked key."""

from __future__ import annotations

import re

from contracts.tenant import TenantId

MAX_KEY_CHARACTERS = 512
"""S3 allows 1,024 bytes with the tenant and the URL's prefix; a file name has at most 255."""

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}"
_KEY = re.compile(rf"{_PART}(?:/{_PART})*")


def is_key(text: str) -> bool:
    """Whether `text` is a relative path whose parts begin with a letter or a digit: so no `..` and no hidden file."""
    return len(text) <= MAX_KEY_CHARACTERS and _KEY.fullmatch(text) is not None


def tenant_folder(tenant_id: TenantId) -> str:
    """`tenants/t1/`. The slash at the end keeps `t1` apart from `t10` and `t1-b`."""
    return f"tenants/{tenant_id}/"


def object_path(tenant_id: TenantId, key: str) -> str:
    """`tenants/t1/uploads/a.pdf`. Raises ValueError for what is not a key."""
    if not is_key(key):
        raise ValueError("an object key is a relative path of letters, digits, '.', '_' and '-'")
    return tenant_folder(tenant_id) + key


def check_prefix(prefix: str) -> None:
    """The beginning of keys, cut anywhere, or nothing. Raises ValueError for what no key begins with."""
    if prefix and not is_key(prefix.removesuffix("/")):
        raise ValueError("no object key begins like this")
