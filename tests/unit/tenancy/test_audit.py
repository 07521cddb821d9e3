"""The audit chain: whatever is changed, removed, put in or moved shows, and where."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from contracts.tenant import TenantId
from tenancy.audit import Actor, AuditEvent, Deed, Head, event_from_json, find_breach, link

T1, T2 = TenantId("t1"), TenantId("t2")
AT = datetime(2031, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)

_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)
_ACTORS = st.builds(Actor, _TEXT, _TEXT, _TEXT, _TEXT)
_HASHES = st.none() | st.text("0123456789abcdef", min_size=64, max_size=64)
_DEEDS = st.builds(Deed, _ACTORS, _TEXT, _TEXT, _HASHES, _HASHES, st.dictionaries(_TEXT, _JSON, max_size=3))
_TENANTS = st.none() | st.just(T1)


def chain(deeds: list[Deed], tenant: TenantId | None = T1, at: datetime = AT) -> tuple[list[AuditEvent], Head]:
    events, head = [], Head()
    for number, deed in enumerate(deeds):
        events.append(link(tenant, head, deed, at + timedelta(seconds=number)))
        head = Head(events[-1].seq, events[-1].hash)
    return events, head


def a_chain(length: int = 5) -> tuple[list[AuditEvent], Head]:
    actor = Actor("ålice", "tenant_admin", "192.0.2.1", "r1")
    return chain(
        [Deed(actor, "config.write", f"config/{n}", "a" * 64, "b" * 64, {"n": n, "w": "🦉"}) for n in range(length)]
    )


OTHERS: dict[str, Any] = {
    "tenant_id": T2,
    "seq": 9,
    "at": AT + timedelta(microseconds=777),
    "actor": "mallory",
    "role": "platform_admin",
    "address": "",
    "request_id": "r2",
    "action": "config.read",
    "resource": "config/7",
    "before_hash": None,
    "after_hash": "c" * 64,
    "details": '{"n":7,"w":"🦉"}',
    "prev_hash": "d" * 64,
    "hash": "e" * 64,
}


def test_a_whole_chain_has_no_breach() -> None:
    events, head = a_chain()
    assert find_breach(events, head) is None
    assert find_breach(iter(events), head) is None
    assert find_breach(events[2:], head, before=Head(events[1].seq, events[1].hash)) is None


def test_every_field_of_an_event_is_bound() -> None:
    assert OTHERS.keys() == {field.name for field in fields(AuditEvent)}


@pytest.mark.parametrize("place", [0, 2, 4])
@pytest.mark.parametrize("field", sorted(OTHERS))
def test_a_changed_field_shows_at_its_event(field: str, place: int) -> None:
    events, head = a_chain()
    events[place] = replace(events[place], **{field: OTHERS[field]})
    breach = find_breach(events, head)
    assert breach is not None
    assert breach.seq == place + 1


@pytest.mark.parametrize(
    "details", ["", "no json", "[1", '{"n": 2,"w":"🦉"}', '{"n":9,"n":2,"w":"🦉"}', '{"n":NaN}', '"\ud800"', "null"]
)
def test_details_that_were_written_otherwise_show(details: str) -> None:
    events, head = a_chain()
    events[2] = replace(events[2], details=details)
    breach = find_breach(events, head)
    assert breach is not None
    assert (breach.seq, breach.reason) == (3, "its content was changed")


@pytest.mark.parametrize("place", [0, 1, 2, 3, 4])
def test_a_removed_event_shows_at_its_number(place: int) -> None:
    events, head = a_chain()
    del events[place]
    breach = find_breach(events, head)
    assert breach is not None
    assert breach.seq == place + 1


def test_a_chain_of_which_nothing_is_left_shows() -> None:
    _, head = a_chain()
    breach = find_breach([], head)
    assert breach is not None
    assert (breach.seq, breach.reason) == (1, "the last 5 events are missing")


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_swapped_events_show(place: int) -> None:
    events, head = a_chain()
    events[place], events[place + 1] = events[place + 1], events[place]
    breach = find_breach(events, head)
    assert breach is not None
    assert breach.seq == place + 1


@pytest.mark.parametrize("place", [0, 2, 5])
def test_an_event_that_was_put_in_shows(place: int) -> None:
    events, head = a_chain()
    before = Head(events[place - 1].seq, events[place - 1].hash) if place else Head()
    events.insert(place, link(T1, before, Deed(Actor("mallory", "x"), "x", "x"), AT))
    breach = find_breach(events, head)
    assert breach is not None
    assert breach.seq in {place + 1, place + 2}


def test_a_chain_that_was_written_anew_from_the_middle_shows_against_its_head() -> None:
    events, head = a_chain()
    forged = events[:3]
    while len(forged) < 5:
        last = Head(forged[-1].seq, forged[-1].hash)
        forged.append(link(T1, last, Deed(Actor("mallory", "x"), "x", "x"), AT))
    breach = find_breach(forged, head)
    assert breach is not None
    assert breach.seq == 5


@pytest.mark.parametrize("head", [Head(), Head(4, "a" * 64), Head(5, "a" * 64), Head(6, "a" * 64)])
def test_a_forged_head_shows(head: Head) -> None:
    events, real = a_chain()
    assert find_breach(events, head) is not None
    assert find_breach(events, Head(real.seq - 1, events[-2].hash)) is not None


def test_an_event_of_another_chain_shows() -> None:
    events, head = a_chain()
    foreign, _ = chain([Deed(Actor("a", "b"), "c", "d")] * 5, T2)
    for place in range(5):
        assert find_breach([*events[:place], foreign[place], *events[place + 1 :]], head) is not None


def test_a_time_is_the_same_in_every_zone() -> None:
    there = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    deed = Deed(Actor("a", "b"), "c", "d")
    assert link(T1, Head(), deed, there) == link(T1, Head(), deed, AT)


@given(st.lists(_DEEDS, max_size=6), _TENANTS)
def test_an_event_comes_back_from_json_as_it_was(deeds: list[Deed], tenant: TenantId | None) -> None:
    events, head = chain(deeds, tenant)
    read = [event_from_json(json.loads(json.dumps(event.as_json()))) for event in events]
    assert read == events
    assert find_breach(read, head) is None


@given(st.lists(_DEEDS, min_size=1, max_size=6), st.data())
def test_whatever_is_done_to_a_chain_shows(deeds: list[Deed], data: st.DataObject) -> None:
    events, head = chain(deeds)
    tampered = list(events)
    place = data.draw(st.integers(0, len(events) - 1))
    other = data.draw(st.integers(0, len(events) - 1))
    match data.draw(st.sampled_from(["change", "remove", "swap", "insert", "repeat", "cut"])):
        case "change":
            field = data.draw(st.sampled_from(sorted(OTHERS)))
            value = data.draw(_value_of(field))
            tampered[place] = replace(events[place], **{field: value})
        case "remove":
            del tampered[place]
        case "swap":
            tampered[place], tampered[other] = tampered[other], tampered[place]
        case "insert":
            tampered.insert(place, replace(events[other], seq=place + 1))
        case "repeat":
            tampered.insert(place, events[other])
        case "cut":
            tampered = tampered[:place]
    assume(tampered != events)
    assert find_breach(tampered, head) is not None


def _value_of(field: str) -> st.SearchStrategy[Any]:
    match field:
        case "tenant_id":
            return st.sampled_from([None, T1, T2])
        case "seq":
            return st.integers(-1, 9)
        case "at":
            return st.datetimes(timezones=st.just(UTC))
        case "before_hash" | "after_hash":
            return _HASHES
        case "details":
            return st.dictionaries(_TEXT, _JSON, max_size=2).map(json.dumps) | _TEXT
        case _:
            return _TEXT


@pytest.mark.parametrize(
    "change",
    [
        {"at": "yesterday"},
        {"at": None},
        {"at": 7},
        {"tenant_id": "No Tenant"},
        {"tenant_id": 7},
        {"details": float("nan")},
    ],
)
def test_what_is_no_event_is_refused(change: dict[str, Any]) -> None:
    row = a_chain(1)[0][0].as_json()
    with pytest.raises(ValueError, match=r"."):
        event_from_json({**row, **change})


@pytest.mark.parametrize("missing", sorted(OTHERS))
def test_an_event_that_lacks_a_field_is_refused(missing: str) -> None:
    row = a_chain(1)[0][0].as_json()
    del row[missing]
    with pytest.raises(ValueError, match="not an audit event"):
        event_from_json(row)
