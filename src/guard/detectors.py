"""Who finds what can be redacted.

Each detector is local: whether something is found at a place is decided by a bounded number of characters around it.
So the beginning of a text can be redacted before its end is known, with the same result; and the work is linear.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from guard import addresses, credentials, numbers, telephone
from guard.kinds import Kind

Found = tuple[int, int]
"""Start and end."""


@dataclass(frozen=True, slots=True)
class Detector:
    """`find` takes a text's shadow (`guard.shadow`) and gives every place, overlapping ones too, in any order.

    Nothing found is wider than `max_width`. `reach`: how many characters, counted from its start, decide it.
    `look_behind`: how many before its start do. `undecided`: where the first one may start that more text could bring
    or take away; never more than `reach` before the end.
    """

    kind: Kind
    max_width: int
    reach: int
    look_behind: int
    find: Callable[[str], Iterable[Found]]
    undecided: Callable[[str], int]


def detectors(kinds: Iterable[Kind], region: str | None = None) -> tuple[Detector, ...]:
    """One for each of `kinds`, in the order of `Kind`. `region` (ISO 3166, as in `DE`): where a phone number without a
    country code is dialled; without it only numbers with one, and those in the American form, are found."""
    wanted = set(kinds)
    return tuple(detector for detector in _all(region) if detector.kind in wanted)


def _all(region: str | None) -> tuple[Detector, ...]:
    email, ip, phone, card, iban = addresses.EMAIL, addresses.IP, telephone.PHONE, numbers.CARD, numbers.IBAN
    aws, key = credentials.AWS_KEY, credentials.API_KEY
    return (
        Detector(Kind.EMAIL, *email, addresses.emails, addresses.undecided_email),
        Detector(Kind.PHONE, *phone, telephone.phones(region), telephone.undecided_phone),
        Detector(Kind.CARD, *card, numbers.cards, numbers.undecided_card),
        Detector(Kind.IBAN, *iban, numbers.ibans, numbers.undecided_iban),
        Detector(Kind.AWS_KEY, *aws, credentials.aws_keys, credentials.undecided_key),
        Detector(Kind.API_KEY, *key, credentials.api_keys, credentials.undecided_key),
        Detector(Kind.IP, *ip, addresses.ips, addresses.undecided_ip),
    )
