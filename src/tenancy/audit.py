"""The audit log's events and the hash chain that binds each to all before it.

The hash of an event is SHA-256 over the hash of the one before and the event's own fields as canonical JSON (sorted
keys, no white space), so that a row that was changed, removed or put in between shows. What was removed from the end
shows against the head, which is kept apart, and against the archive in the object store.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from contracts.tenant import TenantId

GENESIS = "0" * 64
"""Stands in for the hash before the first event."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something, from where, in which request."""

    name: str
    role: str
    address: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Deed:
    """What was done, to be written into the log. Holds ids and hashes: never a secret, a prompt or a text."""

    actor: Actor
    action: str
    resource: str
    before_hash: str | None = None
    after_hash: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """A deed in its chain. `tenant_id` is None in the platform's own; `seq` counts from 1."""

    tenant_id: TenantId | None
    seq: int
    at: datetime
    actor: str
    role: str
    address: str
    request_id: str
    action: str
    resource: str
    before_hash: str | None
    after_hash: str | None
    details: str
    prev_hash: str
    hash: str

    def as_json(self) -> dict[str, Any]:
        """As it travels and is archived; `event_from_json` reads it again."""
        return {**_fields(self), "prev_hash": self.prev_hash, "hash": self.hash}


@dataclass(frozen=True, slots=True)
class Head:
    """The last event of a chain; `seq` 0 while it is empty."""

    seq: int = 0
    hash: str = GENESIS


@dataclass(frozen=True, slots=True)
class Breach:
    """Where a chain is broken, and how that shows."""

    seq: int
    reason: str


def link(tenant_id: TenantId | None, head: Head, deed: Deed, at: datetime) -> AuditEvent:
    """The event that follows `head`. `at` is cut to what PostgreSQL keeps: microseconds, UTC."""
    event = AuditEvent(
        tenant_id=tenant_id,
        seq=head.seq + 1,
        at=at.astimezone(UTC),
        actor=deed.actor.name,
        role=deed.actor.role,
        address=deed.actor.address,
        request_id=deed.actor.request_id,
        action=deed.action,
        resource=deed.resource,
        before_hash=deed.before_hash,
        after_hash=deed.after_hash,
        details=_canonical(deed.details),
        prev_hash=head.hash,
        hash="",
    )
    return _with_hash(event)


def link_all(tenant_id: TenantId | None, head: Head, deeds: Iterable[Deed], at: datetime) -> list[AuditEvent]:
    """The events that follow `head`, each the one before it."""
    events: list[AuditEvent] = []
    for deed in deeds:
        events.append(link(tenant_id, head, deed, at))
        head = Head(events[-1].seq, events[-1].hash)
    return events


def find_breach(events: Iterable[AuditEvent], head: Head, *, before: Head | None = None) -> Breach | None:
    """The first fault of a chain whose events are given in order and whose end must be `head`; None if it is whole.

    `before` is the event in front of the first one given, for a chain that is read from the middle.
    """
    last = before or Head()
    for event in events:
        if event.seq != last.seq + 1:
            return Breach(last.seq + 1, f"event {last.seq + 1} is missing: {event.seq} follows {last.seq}")
        if event.prev_hash != last.hash:
            return Breach(event.seq, "it does not follow from the event before it")
        if not _is_whole(event):
            return Breach(event.seq, "its content was changed")
        last = Head(event.seq, event.hash)
    if last.seq < head.seq:
        return Breach(last.seq + 1, f"the last {head.seq - last.seq} events are missing")
    if last != head:
        return Breach(last.seq, "the chain ends otherwise than its head says")
    return None


def event_from_json(row: Mapping[str, Any]) -> AuditEvent:
    """Raises ValueError for what is no audit event."""
    try:
        known = {name: row[name] for name in _NAMES}
        tenant = row["tenant_id"]
        return AuditEvent(
            **known,
            tenant_id=TenantId(tenant) if tenant is not None else None,
            at=datetime.fromisoformat(row["at"]),
            details=_canonical(row["details"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not an audit event: {error}") from error


def digest(value: Mapping[str, Any]) -> str:
    """SHA-256 of a value's canonical JSON, in hex: what was there, without saying it."""
    return hashlib.sha256(_canonical(value).encode()).hexdigest()


_NAMES = ("seq", "actor", "role", "address", "request_id", "action", "resource", "before_hash", "after_hash",
          "prev_hash", "hash")  # fmt: skip


def _fields(event: AuditEvent) -> dict[str, Any]:
    return {
        "tenant_id": str(event.tenant_id) if event.tenant_id is not None else None,
        "seq": event.seq,
        "at": event.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor": event.actor,
        "role": event.role,
        "address": event.address,
        "request_id": event.request_id,
        "action": event.action,
        "resource": event.resource,
        "before_hash": event.before_hash,
        "after_hash": event.after_hash,
        "details": _details(event.details),
    }


def _details(text: str) -> Any:
    """As JSON; text that is none, which only somebody who changed it can have written, as it is: the hash tells."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _is_whole(event: AuditEvent) -> bool:
    try:
        return _with_hash(event).hash == event.hash and _canonical(json.loads(event.details)) == event.details
    except ValueError:  # details that are no JSON, or text that is no Unicode
        return False


def _with_hash(event: AuditEvent) -> AuditEvent:
    from_here = hashlib.sha256(f"{event.prev_hash}\n{_canonical(_fields(event))}".encode()).hexdigest()
    return AuditEvent(**{name: getattr(event, name) for name in AuditEvent.__slots__} | {"hash": from_here})


def _canonical(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
