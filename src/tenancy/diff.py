"""What differs between two versions of a config, said so that a person can read it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
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
    matcher = SequenceMatcher(None, [_text(item) for item in before], [_text(item) for item in after], autojunk=False)
    for _, old_start, old_end, new_start, new_end in (code for code in matcher.get_opcodes() if code[0] != "equal"):
        olds, news = range(old_start, old_end), range(new_start, new_end)
        for old, new in zip(olds, news, strict=False):
            yield Change(f"{name}[{new}]", "changed", before[old], after[new])
        for old in olds[len(news) :]:
            yield Change(f"{name}[{old}]", "removed", before=before[old])
        for new in news[len(olds) :]:
            yield Change(f"{name}[{new}]", "added", after=after[new])


def _text(item: Any) -> str:
    return json.dumps(item, sort_keys=True)
