"""Telephone numbers in a text's shadow.

One with `+` needs a possible length for its country. One without is looked for in the tenant's region, where it must be
valid and look like one: written in groups, with the trunk prefix, or behind a word such as "call"; the American form
`(202) 555-0123`, `202-555-0123` is known everywhere. Ten plain digits are an order number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial

import phonenumbers
from phonenumbers import NumberParseException, PhoneMetadata, PhoneNumber, ValidationResult

from guard.bounds import Bounds
from guard.numbers import GROUP, SEVEN_DIGITS, begins, digits_tail, ends

MAX_PHONE = 40
"""15 digits (E.164), each but the first behind a group's separator at worst, and brackets."""
_WORDS_BEHIND = 40
PHONE = Bounds(MAX_PHONE, MAX_PHONE + 12, _WORDS_BEHIND + 2)

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_IN_PHONE = " .-/()+"
_MAX_TRIES = 3
"""Of one beginning: whole groups, from the longest that its country can have."""
_BETWEEN = re.compile(r" ?[-./]? ?|\)[ -]?|[ -]?\(|\) ?-|\)- ")
_AMERICAN = re.compile(r"(?:\([2-9]\d{2}\)[ .-]?|[2-9]\d{2}[.-])\d{3}[.-]\d{4}|\([2-9]\d{2}\) ?\d{3} \d{4}")
_DATE = re.compile(
    r"(?:19|20)\d{2}[-./ ](?:0?[1-9]|1[0-2])[-./ ]\d{1,2}|\d{1,2}([-./])\d{1,2}\1(?:19|20)?\d{2}(?!\1?\d)"
)
_THOUSANDS = re.compile(r"\d{1,3}(?:\.\d{3})+|(?:\d{1,3}\.){3}\d{1,3}")
_AMOUNT = re.compile(r"\s?(?:[$%]|(?:EUR|USD|GBP|CHF|euros?|dollars?|pounds?)\b)", re.IGNORECASE)
_LONE_DIGIT = re.compile(r"(?<!\d)\d(?!\d)")
_NEAR_LEFT, _NEAR = re.compile(r"\d[ ./-]$"), re.compile(r"[ ./-]\d")
_CALLED = re.compile(
    r"\b(?:tel|t.l.phone|telephone|phone|mobile|cell|call|fax|whatsapp|sms|text|dial|ring|telefon|handy|mobil|telefono"
    r"|tel.fono|m.vil|reach)(?:\s(?:me|us|him|her|them|at|on|number|nr|no|is|under|unter)){0,4}[\s:.=#]{0,3}\(?$",
    re.IGNORECASE,
)
_NUMBERED = re.compile(
    r"\b(?:isbn(?:-1[03])?|issn|ean|gtin|sku"
    r"|(?:order|invoice|ticket|serial|tracking|part|bestell|rechnungs)[ -]?(?:number|nummer|no|nr|id|#))[\s:.=#]{0,3}$",
    re.IGNORECASE,
)


def region_of(locale: str) -> str | None:
    """The region in a locale, as in `de-AT` or `zh-Hant-TW`; nothing in one that names a language alone."""
    found = (part.upper() for part in locale.split("-")[1:] if len(part) == 2 and part.isalpha())
    return next((region for region in found if region in phonenumbers.SUPPORTED_REGIONS), None)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How numbers of a region are written, from phonenumbers' metadata: what costs a parse is asked for by few."""

    region: str
    trunk: str
    trunk_needed: bool
    """Nobody leaves it out within the region."""
    lengths: frozenset[int]
    """Digits of a number dialled from anywhere in the region, trunk prefix included."""
    local_lengths: frozenset[int]
    form: re.Pattern[str] | None
    """What a whole number looks like, without its trunk prefix; None where the region has rules of its own."""

    def may_be(self, digits: str, *, called: bool) -> bool:
        if called:
            return len(digits) in self.lengths | self.local_lengths
        if len(digits) not in self.lengths:
            return False
        return self.form is None or any(self.form.fullmatch(form) for form in (digits, digits.removeprefix(self.trunk)))


@cache
def _plan_of(region: str) -> _Plan:
    """At most one for each of the some 240 regions there are."""
    metadata = PhoneMetadata.metadata_for_region(region)
    assert metadata is not None  # noqa: S101  the region is a supported one; narrows the type
    general, trunk = metadata.general_desc, metadata.national_prefix or ""
    whole = set(general.possible_length) if general else set()
    local = set(general.possible_length_local_only) if general else set()
    pattern = general.national_number_pattern if general else None
    forms = metadata.number_format
    plain = pattern is not None and metadata.national_prefix_transform_rule is None
    return _Plan(
        region,
        trunk,
        any(form.national_prefix_formatting_rule for form in forms)
        and not any(form.national_prefix_optional_when_formatting for form in forms),
        frozenset(length for length in whole | {length + len(trunk) for length in whole} if length >= 7),
        frozenset(length for length in local if length >= 7),
        re.compile(pattern) if plain and pattern else None,
    )


def phones(region: str | None) -> Callable[[str], Iterator[tuple[int, int]]]:
    return partial(_phones, _plan_of(region) if region in phonenumbers.SUPPORTED_REGIONS else None)


def _phones(plan: _Plan | None, shadow: str) -> Iterator[tuple[int, int]]:
    if not SEVEN_DIGITS.search(shadow):
        return
    groups = [match.span() for match in GROUP.finditer(shadow)]
    for number, (digit, _) in enumerate(groups):
        before = shadow[max(0, digit - 2) : digit]
        if before.endswith(("+", "+(")):
            start = digit - (2 if before == "+(" else 1)
            end = _abroad(shadow, start, groups, number)
        else:
            start = digit - before.endswith("(")
            end = _at_home(shadow, start, groups, number, plan)
        if end is not None:
            yield start, end


def _candidates(shadow: str, start: int, groups: list[tuple[int, int]], first: int) -> list[tuple[int, int]]:
    """Where a number that starts here can end, and how many digits it then has; the shortest first."""
    digits, behind = 0, groups[first][0]
    found: list[tuple[int, int]] = []
    for group_start, end in groups[first : first + 15]:
        if end - start > MAX_PHONE or (found and not _BETWEEN.fullmatch(shadow, behind, group_start)):
            break
        digits, behind = digits + end - group_start, end
        if digits > 17:
            break
        found.append((end, digits))
    return found


def _abroad(shadow: str, start: int, groups: list[tuple[int, int]], first: int) -> int | None:
    """The end of a number that begins with `+`: the longest valid one, else the longest possible one."""
    if shadow[max(0, start - 1) : start].isalnum():
        return None
    possible = None
    found = [end for end, digits in _candidates(shadow, start, groups, first) if 8 <= digits <= 15]
    for end in found[: -_MAX_TRIES - 1 : -1]:
        number = _parsed(shadow[start:end], None) if not shadow[end : end + 1].isalnum() else None
        if number is None or _possible(number) != ValidationResult.IS_POSSIBLE:
            continue
        if phonenumbers.is_valid_number(number):
            return end
        possible = possible or end
    return possible


def _at_home(shadow: str, start: int, groups: list[tuple[int, int]], first: int, plan: _Plan | None) -> int | None:
    """The end of a number without a country code."""
    if not begins(shadow, start) or shadow[max(0, start - 1) : start] in {"$", "#"}:
        return None
    american = _AMERICAN.match(shadow, start)
    if american and not shadow[american.end() : american.end() + 1].isalnum():
        return None if _numbered(shadow, start) else american.end()
    if plan is None:
        return None
    opened = shadow[start] == "("
    called = _called(shadow, start)
    if not (called or opened or _may_open(shadow, groups[first], plan)) or _DATE.match(shadow, start):
        return None
    found = [end for end, digits in _candidates(shadow, start, groups, first) if digits >= 7]
    for end in found[: -_MAX_TRIES - 1 : -1]:
        digits = re.sub(r"\D", "", shadow[start:end])
        if plan.may_be(digits, called=called) and _ends_here(shadow, end):
            if not (called or opened or _looks_dialled(shadow, start, end, plan)):
                continue
            if _is_number(shadow[start:end], plan.region, called=called):
                return None if _numbered(shadow, start) else end
    return None


def _called(shadow: str, start: int) -> bool:
    behind = shadow[max(0, start - _WORDS_BEHIND) : start]
    return behind.rstrip(" :.=#(")[-1:].isalpha() and _CALLED.search(behind) is not None


def _may_open(shadow: str, group: tuple[int, int], plan: _Plan) -> bool:
    """Whether a number can begin with this group: the trunk prefix, or more than a lone digit."""
    start, end = group
    if plan.trunk_needed:
        return shadow.startswith(plan.trunk, start) and (end - start > 1 or plan.trunk != "0")
    return end - start > 1 or shadow[start:end] == plan.trunk


def _looks_dialled(shadow: str, start: int, end: int, plan: _Plan) -> bool:
    """In groups, none of them a lone digit but the trunk prefix, unlike an amount and not within a row of numbers; or
    in one run with a trunk prefix of 0."""
    text = shadow[start:end]
    if text.isdigit():
        return plan.trunk_needed and plan.trunk == "0" and len(text) >= 9
    if not plan.trunk_needed and (_NEAR_LEFT.search(shadow[max(0, start - 2) : start]) or _NEAR.match(shadow, end)):
        return False
    alone = bool(plan.trunk) and text.startswith(plan.trunk) and not text[len(plan.trunk)].isdigit()
    return not _LONE_DIGIT.search(text, len(plan.trunk) if alone else 0) and not _THOUSANDS.fullmatch(text)


def _ends_here(shadow: str, end: int) -> bool:
    return ends(shadow, end) and not _AMOUNT.match(shadow, end)


def _numbered(shadow: str, start: int) -> bool:
    return _NUMBERED.search(shadow[max(0, start - _WORDS_BEHIND) : start]) is not None


def _is_number(text: str, region: str, *, called: bool) -> bool:
    number = _parsed(text, region)
    if number is None:
        return False
    local = (ValidationResult.IS_POSSIBLE, ValidationResult.IS_POSSIBLE_LOCAL_ONLY)
    return phonenumbers.is_valid_number(number) or (called and _possible(number) in local)


def _parsed(text: str, region: str | None) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(text, region)
    except NumberParseException:
        return None


def _possible(number: PhoneNumber) -> int:
    return phonenumbers.is_possible_number_with_reason(number)


def undecided_phone(shadow: str) -> int:
    """What follows may be a currency's name, which takes a number away."""
    bare = len(shadow[-PHONE.reach :].rstrip(_LETTERS))
    return min(digits_tail(shadow[: max(0, len(shadow) - PHONE.reach) + bare], _IN_PHONE, PHONE.reach), len(shadow))
