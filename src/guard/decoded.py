"""What a prompt says in another notation, read once: base64, percent-encoding, character references, letters apart."""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Iterator
from urllib.parse import unquote

import re2

MIN_ENCODED = 8
MAX_DECODED = 131_072
"""Characters in all: what is decoded is never longer than what it was decoded from, but may be read at four places."""
SEPARATOR = "\ue000"
"""Between two decoded texts, so that no rule is found partly in one and partly in the next."""

_RUN = re.compile(r"[A-Za-z0-9+/_-]{8,}")
_PERCENT = re.compile(r"%[0-9A-Fa-f]{2}")
_REFERENCE = re.compile(r"&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,8});")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|u\{([0-9A-Fa-f]{1,5})\})")
_MAY_HAVE_RUN = re2.compile(rb"[a-z][A-Z]|[A-Z]{2}|[0-9][A-Za-z]|[A-Za-z][0-9]|[A-Za-z0-9][+/][A-Za-z0-9]")
_BETWEEN = r"[ .,;:/*~+_|\r\n\t-]{1,2}"
_APART = re.compile(rf"(?<![A-Za-z0-9])(?:[A-Za-z0-9]{_BETWEEN}){{3,}}[A-Za-z0-9](?![A-Za-z0-9])")
_MAY_BE_APART = re2.compile(rf"(?:^|[^A-Za-z0-9])(?:[A-Za-z0-9]{_BETWEEN}){{3}}[A-Za-z0-9](?:[^A-Za-z0-9]|$)".encode())
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]?[a-z]+(?:[-/_][A-Za-z]?[a-z]*)+|\d+|[+/_-]+")
"""Runs of base64's alphabet that people write: words, also joined by hyphens, and numbers."""
_SHARE_OF_TEXT = 0.9


def decoded(text: str) -> str:
    """All readings of parts of the text, one after another; empty where there are none. In linear time."""
    return SEPARATOR.join(_readings(text))[:MAX_DECODED]


def _readings(text: str) -> Iterator[str]:
    if "%" in text and _PERCENT.search(text):
        yield unquote(text, errors="replace")
    if "&" in text and _REFERENCE.search(text):
        yield html.unescape(text)
    if "\\" in text and _ESCAPE.search(text):
        yield _ESCAPE.sub(_escaped, text)
    encoded = text.encode(errors="replace")  # asked of RE2 first: most prompts end here
    if _MAY_HAVE_RUN.search(encoded):
        for run in _RUN.findall(text):
            if not run.islower() and not _WORD.fullmatch(run):
                yield from _from_base64(run)
    if _MAY_BE_APART.search(encoded):
        yield SEPARATOR.join("".join(filter(str.isalnum, one)) for one in _APART.findall(text))


def _escaped(match: re.Match[str]) -> str:
    point = int(next(filter(None, match.groups())), 16)
    return chr(point) if point < 0x110000 and not 0xD800 <= point < 0xE000 else match[0]


def _from_base64(run: str) -> Iterator[str]:
    """It may begin anywhere in the run: a path or a word joined to it uses the same letters."""
    standard = run.replace("-", "+").replace("_", "/")
    for start in range(4):
        part = standard[start:]
        part = part[: len(part) - (len(part) % 4 == 1)]
        try:
            found = base64.b64decode(part + "=" * (-len(part) % 4)).decode(errors="replace")
        except (binascii.Error, ValueError):
            continue
        if len(found) >= MIN_ENCODED // 2 and _is_text(found):
            yield found
            return


def _is_text(found: str) -> bool:
    if found.isprintable() and "\ufffd" not in found:
        return True
    readable = sum((one.isprintable() or one.isspace()) and one != "\ufffd" for one in found)
    return readable >= _SHARE_OF_TEXT * len(found)
