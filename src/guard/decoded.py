"""What a prompt says in another notation, read once: base64, percent-encoding, character references, letters apart."""

from __future__ import annotations

import binascii
import html
import re
import string
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any
from urllib.parse import unquote

import re2

from guard.canonical import Canonical, canonical, canonical_parts
from guard.marks import BLANK, invisible_class

MIN_ENCODED = 8

_ALPHABET = (string.ascii_letters + string.digits + "+/").encode()
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_RUNS = bytes(one if one in _ALPHABET else ord(" ") for one in _TO_STANDARD)
"""A text of base64's alphabet alone, as a table for `bytes.translate`: in either of its two ways of writing."""
_LINES = re.compile(rb"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{16,}+(?:\r?\n[A-Za-z0-9+/]++)+")
"""base64 in lines, as mail and programs write it."""
_CONTROLS = bytes((*range(9), *range(0xE, 0x1C), 0x7F))
_SIGNS = re.compile(rb"[+/]")
_PERCENT = re.compile(r"%[0-9A-Fa-f]{2}")
_QUOTED = re.compile(r"=(?:([0-9A-F]{2})|\r?\n)")
_TWO_QUOTED = re.compile(r"=[0-9A-F]{2}\S{0,8}=[0-9A-F]{2}")
_QUOTED_LINE = re.compile(r"\w=\r?\n\w")
_QUOTED_LETTER = re.compile(r"=([46][A-F]|[57]A)(?=[^\W\d_])|=([46][1-9]|[57]\d)(?=[^\W\d_]{3})")
"""One alone, in a word. `age=64` and `72px` behind a `=` are numbers."""
_BLANK_INSIDE = re.compile(rf"(?<=[^\W_]){BLANK}+(?=[^\W_])")
_INLINE = re.compile(
    r"<!--.{0,200}?-->|</?(?:a|abbr|b|bdi|bdo|big|cite|code|del|dfn|em|font|i|ins|kbd|label|mark|q|s|samp|small|span|strike"
    r"|strong|sub|sup|tt|u|var|wbr)(?:\s[^<>]{0,200})?/?>",
    re.IGNORECASE | re.DOTALL,
)
"""Tags that a reader of the page does not see: the letters on both sides are one word to them."""
_BREAK = re.compile(r"</?(?:br|dd|div|dt|h[1-6]|hr|li|ol|p|pre|t[dhr]|ul)(?:\s[^<>]{0,200})?/?>", re.IGNORECASE)
"""Tags behind which another line begins, or another cell."""
_EMPHASIS = re.compile(r"(?<=[^\W\d_])(?:\*{1,3}|`{1,3}|~~|__)(?=[^\W\d_])")
_HYPHENATED = re.compile(r"(?<=[^\W\d_])-[ \t]{0,8}\r?\n[ \t]{0,8}(?=[^\W\d_])")
_REFERENCE = re.compile(r"&(?:#\d{1,9}|#[xX][0-9A-Fa-f]{1,8}|[A-Za-z]{2,31};|nbsp|shy)")
_ESCAPE = re.compile(
    r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|(?:u\{|U00)([0-9A-Fa-f]{1,6})\}?|([0-7]{3})|([nrt\"/\\]))"
)
_PAIR = re.compile(r"\\u([Dd][89ABab][0-9A-Fa-f]{2})\\u([Dd][C-Fc-f][0-9A-Fa-f]{2})")
"""A character beyond the first plane, as JSON escapes it."""
_WRITTEN = {"n": "\n", "r": "\n", "t": "\t"}
_MAY_HAVE_RUN = re2.compile(rb"[a-z][A-Z]|[A-Z]{2}|[0-9][A-Za-z]|[A-Za-z][0-9]|[A-Za-z0-9][+/][A-Za-z0-9]")
_HEX = re2.compile(rb"(?:(?:0x|\\x)?[0-9A-Fa-f]{2}[ :,-]{0,2}){8,}")
"""RE2, as Python's `re` takes 2 ms of the longest prompt, in which no other thread runs."""
_HEX_MARKS = re.compile(rb"0x|\\x|[ :,-]")
_MAY_BE_TAGGED = (b"\xf3\xa0\x80", b"\xf3\xa0\x81")
"""How tag characters begin in UTF-8: quicker to ask for than each of them, and their first byte quicker still."""
_TAGGED = re.compile(
    "(?:(?<![\U0001f3f4\U000e0020-\U000e007e])|(?=[\U000e0020-\U000e007e]{7}))[\U000e0020-\U000e007e]{3,}"
)
"""Letters of tag characters: nobody sees them, and models read them. The six at most behind a black flag are a flag."""
_FROM_TAGS = {0xE0000 + one: one for one in range(0x20, 0x7F)}
_REVERSED = re.compile("\u202e([^\u202c\r\n]{1,400})")
_DOTS_AND_DASHES = "\u00b7\u2022\u2027\u2219\u2013\u2014"
_BETWEEN = rf"[ .,;:/*~+_|()\[\]\r\n\t{_DOTS_AND_DASHES}-]{{1,2}}"
_APART = re.compile(rf"(?<![^\W_])(?:[^\W_]{_BETWEEN}){{3,}}[^\W_](?![^\W_])")
_MAY_BE_APART = re2.compile(rf"(?:^|[^\pL\pN])(?:[\pL\pN]{_BETWEEN}){{3}}[\pL\pN](?:[^\pL\pN]|$)".encode())
_LETTER = re.compile(r"[^\W_]")
_WORD = re.compile(rb"[A-Z]?[a-z]+(?:[+/][A-Za-z]?[a-z]*)*|\d+|[+/]+")
"""Runs of base64's alphabet that people write: words, also joined by hyphens (which stand for its `+`), and numbers."""
_SHARE_OF_TEXT = 0.9


def readings(text: str, plain: str) -> Iterator[Canonical]:
    """Of a text, and of its plain form: what else a reader may make of it. About a dozen, none longer than the text. In
    linear time."""
    written = text.encode(errors="replace")  # what RE2 is asked of: most texts end with that
    yield from map(canonical, _unmarked(text, written))
    if parts := list(_parts(text, written)):
        yield canonical_parts(parts)
    forms = []
    if _MAY_BE_APART.search(written):
        forms.append(text.lower())  # it has all its spaces, the plain form no marks
    is_same = text.isascii() and plain == text.lower()
    if not is_same and _MAY_BE_APART.search(plain.encode(errors="replace")):
        forms.append(plain)
    for form in dict.fromkeys(forms):
        yield from map(canonical, _together(form))


def unescaped(text: str) -> str:
    """Without the escapes of programs and of JSON; also of a text that is cut off."""
    return _ESCAPE.sub(_escaped, _PAIR.sub(_paired, text))


def _parts(text: str, written: bytes) -> Iterator[str]:
    if not text.isascii():
        closed = text.encode("ascii", errors="ignore").translate(None, _CONTROLS)  # what may be hidden is in it whole
        if not (_MAY_HAVE_RUN.search(closed) or _HEX.search(closed)):
            return
        if _has_unseen().search(written):
            text = _unseen().sub("", text)
    encoded = text.encode("ascii", errors="replace").translate(None, _CONTROLS)
    if _MAY_HAVE_RUN.search(encoded):
        is_word = _WORD.fullmatch
        runs = encoded.translate(_RUNS).split()
        long = [run for run in runs if len(run) >= MIN_ENCODED]
        yield from _from_base64([run for run in long if not run.islower() and not is_word(run)])
        if b"\n" in encoded:
            standard = encoded.translate(_TO_STANDARD)
            yield from _from_base64([b"".join(lines.split()) for lines in _LINES.findall(standard)])
    for run in _HEX.finditer(encoded):
        yield from _from_hex(run[0])


@cache
def _unseen() -> re.Pattern[str]:
    return re.compile(invisible_class())


@cache
def _has_unseen() -> Any:
    return re2.compile(invisible_class().encode())


def _unmarked(text: str, written: bytes) -> Iterator[str]:
    """Readings of the whole text, each without what one format puts into it."""
    if _has_tags(text, written):
        yield text.translate(_FROM_TAGS)
    if "%" in text and _PERCENT.search(text):
        yield from _unquoted(text)
    if "&" in text and _REFERENCE.search(text):
        yield html.unescape(text)
    if "\\" in text and _ESCAPE.search(text):
        yield unescaped(text)
    if "=" in text and (_TWO_QUOTED.search(text) or ("\n" in text and _QUOTED_LINE.search(text))):
        yield unquote(_QUOTED.sub(lambda match: f"%{match[1]}" if match[1] else "", text), errors="replace")
    elif "=" in text and _QUOTED_LETTER.search(text):
        yield _QUOTED_LETTER.sub(lambda match: chr(int(match[1] or match[2], 16)), text)
    if "\u202e" in text and _REVERSED.search(text):
        yield _REVERSED.sub(lambda match: match[1][::-1], text)
    if BLANK in text and _BLANK_INSIDE.search(text):
        yield _BLANK_INSIDE.sub("", text)
    if "<" in text and (_INLINE.search(text) or _BREAK.search(text)):
        yield _INLINE.sub("", _BREAK.sub(" ", text))
    if any(mark in text for mark in "*`~_") and _EMPHASIS.search(text):
        yield _EMPHASIS.sub("", text)
    if "-" in text and _HYPHENATED.search(text):
        yield _HYPHENATED.sub("", text)


def _unquoted(text: str) -> Iterator[str]:
    once = unquote(text, errors="replace")
    yield once
    if "+" in text:  # as a form sends a space
        yield unquote(text.replace("+", " "), errors="replace")
    if "%25" in text:
        yield unquote(once, errors="replace")


def _together(text: str) -> Iterator[str]:
    """Letters apart put together where they stand: as words, which something else parts than their letters, and as one
    word."""
    words = _APART.sub(_words, text)
    if words != text:
        yield words
    whole = _APART.sub(lambda run: "".join(_LETTER.findall(run[0])), text)
    if whole != words:
        yield whole


def _words(run: re.Match[str]) -> str:
    between = _LETTER.split(run[0])[1:]
    usual = Counter(between[:-1]).most_common(1)[0][0]
    kept = ("" if one == usual else one for one in between)
    return "".join(letter + mark for letter, mark in zip(_LETTER.findall(run[0]), kept, strict=True))


def _has_tags(text: str, written: bytes) -> bool:
    return b"\xf3" in written and any(begin in written for begin in _MAY_BE_TAGGED) and bool(_TAGGED.search(text))


def _paired(match: re.Match[str]) -> str:
    return bytes.fromhex(match[1] + match[2]).decode("utf-16-be")


def _escaped(match: re.Match[str]) -> str:
    four, two, braced, octal, letter = match.groups()
    if letter:
        return _WRITTEN.get(letter, letter)
    point = int(octal, 8) if octal else int(four or two or braced, 16)
    return chr(point) if point < 0x110000 and not 0xD800 <= point < 0xE000 else match[0]


def _from_hex(run: bytes) -> Iterator[str]:
    found = binascii.unhexlify(_HEX_MARKS.sub(b"", run)).decode(errors="replace")
    if _is_text(found):
        yield found


def _from_base64(runs: Iterable[bytes]) -> Iterator[str]:
    for run in runs:
        if len(run) % 4 != 1:  # by far most of what is meant to be read
            raw = binascii.a2b_base64(run + b"==")
            if raw.isascii() and (found := raw.decode()).isprintable():
                yield found
                continue
        yield from _within_base64(run)


def _within_base64(run: bytes) -> Iterator[str]:
    """It may begin anywhere in the run: a path or a word joined to it uses the same letters."""
    for start in range(4):
        part = run[start : len(run) - ((len(run) - start) % 4 == 1)]
        try:
            found = binascii.a2b_base64(part + b"==").decode(errors="replace")
        except (binascii.Error, ValueError):
            continue
        if len(found) >= MIN_ENCODED // 2 and _is_text(found):
            yield found
            return
    for part in _SIGNS.split(run):
        if len(part) >= MIN_ENCODED and len(part) % 4 != 1 and part != run:
            found = binascii.a2b_base64(part + b"==").decode(errors="replace")
            if _is_text(found):
                yield found


def _is_text(found: str) -> bool:
    if found.isprintable() and "\ufffd" not in found:
        return True
    readable = sum((one.isprintable() or one.isspace()) and one != "\ufffd" for one in found)
    return readable >= _SHARE_OF_TEXT * len(found)
