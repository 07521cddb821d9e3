"""What differs between two versions of a config, said so that a person can read it."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Change:
    """`path` as in `refusal_rules[2]`, the place in the newer config (for what was removed: in the older)."""

    path: str
    kind: Literal["added", "removed", "changed"]
    before: Any = None
    after: Any = None


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Field by field in the order of `after`; lists item by item, so that one new rule is one change."""
    found: list[Change] = []
    for name in dict.fromkeys((*after, *before)):
        if name not in before:
            found.append(Change(name, "added", after=after[name]))
        elif name not in after:
            found.append(Change(name, "removed", before=before[name]))
        elif isinstance(before[name], list) and isinstance(after[name], list):
            found += _in_list(name, before[name], after[name])
        elif before[name] != after[name]:
            found.append(Change(name, "changed", before[name], after[name]))
    return found


def _in_list(name: str, before: Sequence[Any], after: Sequence[Any]) -> Iterator[Change]:
    """What stands between the items that both have: one that moved is removed here and added there."""
    ends = (len(before), len(after))
    old_start = new_start = 0
    for old_end, new_end in (*_common([_text(item) for item in before], [_text(item) for item in after]), ends):
        olds, news = range(old_start, old_end), range(new_start, new_end)
        for old, new in zip(olds, news, strict=False):
            yield Change(f"{name}[{new}]", "changed", before[old], after[new])
        for old in olds[len(news) :]:
            yield Change(f"{name}[{old}]", "removed", before=before[old])
        for new in news[len(olds) :]:
            yield Change(f"{name}[{new}]", "added", after=after[new])
        old_start, new_start = old_end + 1, new_end + 1


def _common(before: Sequence[str], after: Sequence[str]) -> list[tuple[int, int]]:
    """Places of equal items, rising on both sides, in O(n log n) whatever repeats: the common beginning and end, and
    between them the longest rising run among the pairs of each value's first, second, … occurrence."""
    start = _same(before, after)
    end = _same(before[start:][::-1], after[start:][::-1])
    waiting: defaultdict[str, deque[int]] = defaultdict(deque)
    for new in range(start, len(after) - end):
        waiting[after[new]].append(new)
    pairs = [
        (old, waiting[before[old]].popleft()) for old in range(start, len(before) - end) if waiting.get(before[old])
    ]
    tail = [(len(before) - back, len(after) - back) for back in range(end, 0, -1)]
    return [*((place, place) for place in range(start)), *_rising(pairs), *tail]


def _same(before: Sequence[str], after: Sequence[str]) -> int:
    """How many items at the beginning are equal."""
    return next((place for place, (old, new) in enumerate(zip(before, after, strict=False)) if old != new),
                min(len(before), len(after)))  # fmt: skip


def _rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest run of pairs whose second member rises, as the first does (patience sorting)."""
    lowest: list[int] = []  # the smallest last member of a run of each length
    last: list[int] = []  # and which pair it is
    previous: list[int | None] = []
    for number, (_, new) in enumerate(pairs):
        length = bisect_left(lowest, new)
        previous.append(last[length - 1] if length else None)
        lowest[length : length + 1] = [new]
        last[length : length + 1] = [number]
    run: list[tuple[int, int]] = []
    at = last[-1] if last else None
    while at is not None:
        run.append(pairs[at])
        at = previous[at]
    return run[::-1]


def _text(item: Any) -> str:
    return json.dumps(item, sort_keys=True)
