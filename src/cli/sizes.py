"""Numbers of bytes and of things as people read them."""

from __future__ import annotations

_UNITS = ("kB", "MB", "GB", "TB")


def tell_bytes(count: int) -> str:
    """`512 bytes`, `1.5 MB`: decimal units."""
    if count < 1_000:
        return f"{count} bytes"
    size, unit = count / 1_000, 0
    while size >= 999.95 and unit < len(_UNITS) - 1:
        size, unit = size / 1_000, unit + 1
    return f"{size:.1f} {_UNITS[unit]}"


def tell_count(count: int, one: str, many: str | None = None) -> str:
    """`1 row`, `12,345 rows`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
