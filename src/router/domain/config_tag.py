"""The entity tag of a config version (RFC 9110, section 8.8.3): its number, quoted."""

from __future__ import annotations

import re

from contracts.errors import InvalidRequestError

_TAG = re.compile(r'(?:W/)?"(\d{1,9})"')


def entity_tag(version: int) -> str:
    return f'"{version}"'


def expected_version(if_match: str | None) -> int | None:
    """The version that `If-Match` asks for; None without the header or for `*`. Raises InvalidRequestError."""
    if if_match is None or if_match.strip() == "*":
        return None
    found = _TAG.fullmatch(if_match.strip())
    if not found:
        raise InvalidRequestError('If-Match takes one entity tag as given by ETag, such as "3"')
    return int(found.group(1))
