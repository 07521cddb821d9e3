"""What differs between two configs is said in full, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tenancy.diff
from tenancy.diff import Change, changes

_VALUES = st.none() | st.integers(0, 3) | st.lists(st.integers(0, 3) | st.text("ab", max_size=2))
_CONFIGS = st.dictionaries(st.sampled_from("abcd"), _VALUES)


def test_a_field_is_added_changed_or_removed() -> None:
    found = changes({"a": 1, "b": 2, "c": 3}, {"b": 5, "c": 3, "d": None})
    assert found == [Change("b", "changed", 2, 5), Change("d", "added"), Change("a", "removed", before=1)]


def test_one_new_rule_in_the_middle_is_one_change() -> None:
    rules = [{"pattern": name} for name in "abc"]
    new = {"pattern": "x"}
    assert changes({"rules": rules}, {"rules": [rules[0], new, *rules[1:]]}) == [Change("rules[1]", "added", after=new)]
    assert changes({"rules": rules}, {"rules": rules[1:]}) == [Change("rules[0]", "removed", before=rules[0])]
    assert changes({"rules": rules}, {"rules": [rules[0], new, rules[2]]}) == [
        Change("rules[1]", "changed", rules[1], new)
    ]


def test_the_order_of_a_rules_members_is_no_change() -> None:
    assert changes({"rules": [{"a": 1, "b": 2}]}, {"rules": [{"b": 2, "a": 1}]}) == []


def test_a_list_that_becomes_something_else_is_one_change() -> None:
    assert changes({"a": [1, 2]}, {"a": None}) == [Change("a", "changed", [1, 2], None)]


@given(_CONFIGS, _CONFIGS)
def test_the_changes_lead_from_one_config_to_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    found = changes(before, after)
    assert (found == []) == (_text(before) == _text(after))
    assert _text(_applied(before, found)) == _text(after)


def test_a_rule_that_moved_is_removed_there_and_added_here() -> None:
    assert changes({"a": [*"abcd"]}, {"a": [*"dabc"]}) == [
        Change("a[0]", "added", after="d"),
        Change("a[3]", "removed", before="d"),
    ]


class _Counted(str):
    """Counts how often it is compared."""

    __slots__ = ()
    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        _Counted.compared += 1
        return str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        _Counted.compared += 1
        return str.__ne__(self, other)


def test_what_repeats_costs_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """difflib compares every repeat with every other: cubic, half a minute for these lists."""
    monkeypatch.setattr(tenancy.diff, "_text", _Counted)
    monkeypatch.setattr(_Counted, "compared", 0)
    before, after = ([item for n in range(500) for item in ("x", f"{mark}{n}")] for mark in "uv")
    assert len(changes({"tools": before}, {"tools": after})) == 500
    assert _Counted.compared < 20_000


def _text(config: dict[str, Any]) -> str:
    return repr(sorted(config.items()))


def _applied(before: dict[str, Any], found: list[Change]) -> dict[str, Any]:
    config = {name: list(value) if isinstance(value, list) else value for name, value in before.items()}
    items = [change for change in found if "[" in change.path]
    for change in found:
        if change in items:
            continue
        if change.kind == "removed":
            del config[change.path]
        else:
            config[change.path] = change.after
    for name in {change.path.split("[")[0] for change in items}:
        config[name] = _applied_to_list(config[name], [one for one in items if one.path.startswith(f"{name}[")])
    return config


def _applied_to_list(old: list[Any], found: list[Change]) -> list[Any]:
    """Places of removed items count in the older list, those of all others in the newer."""
    place = {id(change): int(change.path.split("[")[1].removesuffix("]")) for change in found}
    gone = {place[id(change)] for change in found if change.kind == "removed"}
    said = {place[id(change)]: change for change in found if change.kind != "removed"}
    left = iter([item for index, item in enumerate(old) if index not in gone])
    new: list[Any] = []
    length = len(old) - len(gone) + sum(change.kind == "added" for change in found)
    for index in range(length):
        change = said.get(index)
        if change is None or change.kind == "changed":
            item = next(left)
            assert change is None or change.before == item
        new.append(change.after if change else item)
    return new
