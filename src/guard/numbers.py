"""Card numbers, IBANs and telephone numbers in a text's shadow.

A card number has an issuer's prefix, that issuer's length and a Luhn check digit, and stands alone or in the groups in
which cards are printed: so one in thirty of random 16-digit numbers is taken for one, not one in ten. An IBAN has its
country's length and form and its check digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from stdnum import iban, luhn, numdb

from guard.bounds import Bounds

GROUP = re.compile(r"\d+")
SEVEN_DIGITS = re.compile(r"\d(?:[^\dA-Za-z]{0,3}\d){6}")


def begins(shadow: str, start: int) -> bool:
    """Not within a word, a longer number or a decimal fraction."""
    before = shadow[max(0, start - 2) : start]
    return not before[-1:].isalnum() and not (before[-1:] == "." and before[0].isdigit())


def ends(shadow: str, end: int) -> bool:
    after = shadow[end : end + 2]
    return not after[:1].isalnum() and not (after[:1] == "." and after[1:].isdigit())


# Cards

MAX_CARD = 23
"""19 digits and four separators."""
CARD = Bounds(MAX_CARD, MAX_CARD + 2, 2)

_SHAPES = {(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (4, 4, 4, 4, 1), (4, 4, 4, 4, 2), (8, 8), (4, 4, 4, 1)}
_ISSUED = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    r"|(?:5[1-5]\d{2}|222[1-9]|22[3-9]\d|2[3-6]\d{2}|27[01]\d|2720)\d{12}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|3(?:0[0-5]|[689]\d)\d{11}"  # Diners Club
    r"|(?:6011|64[4-9]\d|65\d{2}|81\d{2}|82\d{2})\d{12}(?:\d{3})?"  # Discover, RuPay
    r"|35(?:2[89]|[3-8]\d)\d{12}(?:\d{3})?"  # JCB
    r"|220[0-4]\d{12}(?:\d{3})?"  # Mir
    r"|62\d{14,17}"  # UnionPay
    r"|(?:50|5[6-8]|6[037])\d{11,17}"  # Maestro
)


def cards(shadow: str) -> Iterator[tuple[int, int]]:
    if not SEVEN_DIGITS.search(shadow):
        return
    groups = [match.span() for match in GROUP.finditer(shadow)]
    for number, (start, _) in enumerate(groups):
        for end in _card_ends(shadow, groups, number):
            if begins(shadow, start) and ends(shadow, end) and _is_card(re.sub(r"\D", "", shadow[start:end])):
                yield start, end


def _card_ends(shadow: str, groups: list[tuple[int, int]], first: int) -> Iterator[int]:
    start, end = groups[first]
    if 13 <= end - start <= 19:
        yield end
        return
    shape: tuple[int, ...] = (end - start,)
    separator = shadow[end : end + 1]
    for next_start, next_end in groups[first + 1 : first + 5]:
        if separator not in {" ", "-", "."} or shadow[end:next_start] != separator:
            return
        shape, end = (*shape, next_end - next_start), next_end
        if shape in _SHAPES:
            yield end


def _is_card(digits: str) -> bool:
    return _ISSUED.fullmatch(digits) is not None and luhn.is_valid(digits)


def undecided_card(shadow: str) -> int:
    return digits_tail(shadow, " -.", CARD.reach)


def digits_tail(shadow: str, separators: str, reach: int) -> int:
    """Where the digits at the end begin, separators between them included."""
    tail = shadow[-reach:]
    run = tail[len(tail.rstrip("0123456789" + separators)) :]
    first = re.search(r"[+(\d]", run)
    return len(shadow) - len(run) + first.start() if first else len(shadow)


# IBANs

MAX_IBAN = 34 + 11
"""34 characters at most, in groups of four or, hand-written, of three."""
IBAN = Bounds(MAX_IBAN, MAX_IBAN + 1, 1)

_IBAN_START = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}")
_IBAN_UNDECIDED = re.compile(r"(?<![A-Za-z0-9])[A-Za-z](?:[A-Za-z](?:\d(?:\d[A-Za-z0-9 -]*)?)?)?\Z")
_COUNTRIES = numdb.get("iban")


def ibans(shadow: str) -> Iterator[tuple[int, int]]:
    for match in _IBAN_START.finditer(shadow):
        start = match.start()
        length = _iban_length(match.group()[:2].upper())
        end = _end_of(shadow, start, length) if length else None
        if end is not None and iban.is_valid(shadow[start:end], check_country=False):
            yield start, end


def _iban_length(country: str) -> int:
    """0 where the country has none."""
    _, properties = _COUNTRIES.info(country)[0]
    return 4 + sum(map(int, re.findall(r"(\d+)!", properties.get("bban", "")))) if properties else 0


def _end_of(shadow: str, start: int, length: int) -> int | None:
    """Behind `length` letters and digits with at most one space or dash between two, where a word ends there."""
    at, left = start, length
    for at in range(start, min(len(shadow), start + MAX_IBAN)):
        if shadow[at].isalnum():
            left -= 1
            if not left:
                break
        elif shadow[at] not in " -" or not shadow[at - 1].isalnum():
            return None
    return at + 1 if not left and not shadow[at + 1 : at + 2].isalnum() else None


def undecided_iban(shadow: str) -> int:
    tail = shadow[-IBAN.reach :]
    for match in re.finditer(r"(?<![A-Za-z0-9])[A-Za-z]", tail):
        if _IBAN_UNDECIDED.match(tail, match.start()):
            return len(shadow) - len(tail) + match.start()
    return len(shadow)
