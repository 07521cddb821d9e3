"""Keys and tokens in a text's shadow.

Where an issuer's prefix says what it is (`AKIA…`, `sk-…`, `ghp_…`), that is enough. Without one, a value is taken for a
key behind a name that says so (`api_key=`, `Authorization: Bearer`), a password within a URL, and for an AWS secret key
also where 40 characters look as random as it does; a git hash, a UUID or a base64 image does not. Of a token longer
than MAX_KEY that many characters are found: the rest opens nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import re2

from guard.bounds import Bounds, word_tail

MAX_KEY = 256
_NAME_BEHIND = 48
API_KEY = Bounds(MAX_KEY, MAX_KEY + 2, _NAME_BEHIND)
AWS_KEY = Bounds(40, 42, _NAME_BEHIND)

_ACCESS_KEY_ID = re.compile(
    r"(?<![A-Za-z0-9])(?:A3T[A-Z0-9]|A(?:BIA|CCA|GPA|IDA|IPA|KIA|NPA|NVA|ROA|SCA|SIA))[A-Z2-7]{16}(?![A-Za-z0-9])"
)
_SECRET = re.compile(r"(?<![A-Za-z0-9/+])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])")
_SECRET_NAME = re.compile(r"(?:secret|aws)[A-Za-z_ -]{0,24}[\"']?\s?(?:[:=]|=>|is)\s?[\"']?$", re.IGNORECASE)
_HEX = re.compile(r"[0-9a-f]+|[0-9A-F]+")
_CHANGES = 12
"""Between lower case, upper case, digits and signs within 40 characters. Random ones have 25, a path under 10."""


def aws_keys(shadow: str) -> Iterator[tuple[int, int]]:
    if len(shadow) < 20:
        return
    for match in _ACCESS_KEY_ID.finditer(shadow):
        yield match.span()
    for match in _SECRET.finditer(shadow):
        start, end = match.span()
        named = _SECRET_NAME.search(shadow[max(0, start - _NAME_BEHIND) : start]) is not None
        if named or _looks_random(match.group()):
            yield start, end


def _looks_random(value: str) -> bool:
    if _HEX.fullmatch(value):
        return False
    classes = [_class_of(character) for character in value]
    return len(set(classes)) >= 3 and sum(a != b for a, b in pairwise(classes)) >= _CHANGES


def _class_of(character: str) -> int:
    return 0 if character.islower() else 1 if character.isupper() else 2 if character.isdigit() else 3


_STARTS = re2.compile(
    rb"\b(?:sk-|sk_(?:live|test)_|rk_(?:live|test)_|pk_live_|whsec_|gh[oprsu]_|github_pat_|glpat-|xox[abeoprs]-|xapp-"
    rb"|AIza|ya29\.|SG\.|npm_|pypi-|hf_|gsk_|xai-|pplx-|r8_|nvapi-|dop_v1_|dapi|key-|SK|AC|shp(?:at|ca|pa|ss)_|lin_api_"
    rb"|atr_|lsv2_|eyJ)"
)
"""Where a key may begin. Short, so that one is found within another: `_KEY` then says whether it is one."""
_RUN = r"[A-Za-z0-9_-]"
_KEY = re.compile(
    rf"sk-{_RUN}{{20,{MAX_KEY}}}"  # OpenAI, Anthropic, OpenRouter, …
    r"|(?:[rs]k_(?:live|test)|pk_live)_[A-Za-z0-9]{16,128}|whsec_[A-Za-z0-9+/]{24,64}"  # Stripe
    r"|gh[oprsu]_[A-Za-z0-9]{36,251}|github_pat_\w{22,200}"
    rf"|glpat-{_RUN}{{20,64}}"
    rf"|xox[abeoprs]-[A-Za-z0-9-]{{12,200}}|xapp-[A-Za-z0-9-]{{20,200}}"  # Slack
    rf"|AIza{_RUN}{{35}}|ya29\.{_RUN}{{20,250}}"  # Google
    rf"|SG\.{_RUN}{{16,32}}\.{_RUN}{{32,64}}"  # SendGrid
    rf"|npm_[A-Za-z0-9]{{36}}|pypi-AgEI{_RUN}{{50,240}}"
    r"|hf_[A-Za-z0-9]{30,64}|gsk_[A-Za-z0-9]{40,64}|xai-[A-Za-z0-9]{40,100}|pplx-[A-Za-z0-9]{40,64}|r8_[A-Za-z0-9]{37,40}"
    rf"|nvapi-{_RUN}{{40,80}}|dop_v1_[0-9a-f]{{64}}|dapi[0-9a-f]{{32}}|key-[0-9a-f]{{32}}|(?:SK|AC)[0-9a-f]{{32}}"
    r"|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}|lin_api_[A-Za-z0-9]{40}"
    rf"|atr_{_RUN}{{32,64}}|lsv2_[a-z]{{2}}_[0-9a-f_]{{32,64}}"
)
_JWT = re.compile(rf"eyJ{_RUN}{{8,}}\.{_RUN}{{8,}}(?:\.{_RUN}*)?")
_NAMES = re2.compile(
    rb"(?i)(?:api[_-]?key|apikey|access[_-]?token|auth[_-]?token|secret[_-]?(?:access[_-]?)?key|client[_-]?secret"
    rb"|private[_-]?key)[\"']?(?: ?[:=]>? ?| is )[\"']?|\b(?:bearer|authorization: basic) "
)
_VALUE = re.compile(rf"[A-Za-z0-9_./+=~-]{{16,{MAX_KEY}}}")
_TWO_DIGITS = re.compile(r"\d.*\d")
_PASSWORD = re.compile(r"[^\s:/?#@]{0,64}:([^\s/?#@]{3,128})@")


_UNBROKEN = re.compile(r"[A-Za-z0-9_./+=~-]{16}")
_SHORT = 256


def api_keys(shadow: str) -> Iterator[tuple[int, int]]:
    yield from _passwords(shadow)
    if len(shadow) < _SHORT and not _UNBROKEN.search(shadow):
        return
    encoded = shadow.encode()  # ASCII: a place in the bytes is the same place in the text
    for match in _STARTS.finditer(encoded):
        start = match.start()
        if shadow.startswith("eyJ", start):
            found = _JWT.match(shadow[start : start + MAX_KEY])
            if found:
                yield start, start + found.end()
        elif found := _KEY.match(shadow, start, start + MAX_KEY):
            yield found.span()
    for match in _NAMES.finditer(encoded):
        value = _VALUE.match(shadow, match.end())
        if value and _TWO_DIGITS.search(value.group()) and shadow[value.end() : value.end() + 1] != "(":
            yield value.span()


def _passwords(shadow: str) -> Iterator[tuple[int, int]]:
    """`postgresql://atrium:…@db/atrium`."""
    at = shadow.find("://")
    while at != -1:
        if found := _PASSWORD.match(shadow, at + 3):
            yield found.span(1)
        at = shadow.find("://", at + 3)


def undecided_key(shadow: str) -> int:
    return word_tail(shadow, API_KEY.reach)
