"""The entity tag of a config version (RFC 9110, section 8.8.3): its number, quoted."""

from __future__ import annotations

import re

from contracts.errors import InvalidRequestError

_TAG = r'(?:W/)?"(\d{1,9})"'
_TAGS = re.compile(rf"\s*{_TAG}\s*(?:,\s*{_TAG}\s*)*")


def entity_tag(version: int) -> str:
    return f'"{version}"'


def expected_versions(if_match: str | None) -> frozenset[int] | None:
    """The versions that `If-Match` accepts; None without the header or for `*`. Raises InvalidRequestError.

    A weak tag counts as well: proxies that compress make tags weak, and a version's number is exact either way.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    if not _TAGS.fullmatch(if_match):
        raise InvalidRequestError('If-Match takes entity tags as given by ETag, such as "3", or *')
    return frozenset(int(number) for number in re.findall(r"\d+", if_match))
