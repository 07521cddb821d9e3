"""The audit chain recomputed away from its server: from files, from pages, and one against the other."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from cli.chain.check import BrokenChainError
from cli.chain.files import ChainFiles
from cli.chain.live import PAGE, LiveChain
from cli.client.api import Api
from cli.errors import CliError
from contracts.tenant import TenantId
from support.command import run_atrium
from tenancy.audit import Actor, AuditEvent, Deed, Head, link

T1 = TenantId("t1")
AT = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


def chain(
    length: int, tenant_id: TenantId | None = T1, actor: str = "key_1", behind: Head | None = None
) -> list[AuditEvent]:
    head, events = behind or Head(), []
    for number in range(length):
        deed = Deed(Actor(actor, "tenant_admin"), "key.create", f"key/{number}", details={"label": "ü", "n": number})
        events.append(link(tenant_id, head, deed, AT))
        head = Head(events[-1].seq, events[-1].hash)
    return events


def write(path: Path, events: Sequence[AuditEvent]) -> Path:
    path.write_text("".join(json.dumps(event.as_json()) + "\n" for event in events))
    return path


def head_of(events: Sequence[AuditEvent]) -> Head:
    return Head(events[-1].seq, events[-1].hash) if events else Head()


@dataclass(frozen=True)
class Server(Api):
    """Answers as the router does. `coming`: what is added between the reading of the head and that of a page."""

    events: list[AuditEvent] = field(default_factory=list)
    said: Head | None = None
    coming: list[AuditEvent] = field(default_factory=list)

    def call(self, _method: str, path: str, _body: object = None, **_: Any) -> Any:
        query = parse_qs(urlsplit(path).query)
        head = self.said or head_of(self.events)
        self.events.extend(self.coming)
        self.coming.clear()
        page = [event for event in self.events if event.seq > int(query["after"][0])][: int(query["limit"][0])]
        return {"items": [event.as_json() for event in page], "head": {"seq": head.seq, "hash": head.hash}}

    def chain(self) -> LiveChain:
        return LiveChain(self, "/tenant/t1/audit", "tenant t1", T1)


def breach(seq: int, reason: str) -> Any:
    return pytest.raises(BrokenChainError, match=f"is broken at event {seq}: {reason}")


def test_a_file_that_is_whole_has_its_events_and_its_head(tmp_path: Path) -> None:
    events = chain(3)
    found = ChainFiles([write(tmp_path / "audit.jsonl", events)]).verify()
    assert (found.tenant_id, found.first, found.events, found.head) == (T1, 1, 3, head_of(events))


@pytest.mark.parametrize(
    ("change", "seq", "reason"),
    [
        (lambda events: [events[0], replace(events[1], actor="x"), events[2]], 2, "its content was changed"),
        (lambda events: [events[0], events[2]], 2, "event 2 is missing"),
        (lambda events: [events[0], chain(2, actor="x")[1], events[2]], 2, "it does not follow"),
        (lambda events: [replace(events[0], prev_hash="1" * 64), *events[1:]], 1, "it does not follow"),
        (lambda events: [*events[:2], *chain(1, TenantId("t2"), behind=head_of(events[:2]))], 3, "it belongs to"),
    ],
)
def test_what_was_done_to_a_file_is_named(tmp_path: Path, change: Any, seq: int, reason: str) -> None:
    files = ChainFiles([write(tmp_path / "audit.jsonl", change(chain(3)))])
    with breach(seq, reason):
        files.verify()


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b"1",
        b"\xff",
        b"[" * 100_000,
        json.dumps(chain(2)[1].as_json() | {"at": "0001-01-01T00:00:00+23:59"}).encode(),
        json.dumps(chain(2)[1].as_json() | {"tenant_id": "No Tenant"}).encode(),
    ],
)
def test_a_line_that_is_no_event_is_named_by_its_place(tmp_path: Path, line: bytes) -> None:
    path = write(tmp_path / "audit.jsonl", chain(1))
    path.write_bytes(path.read_bytes() + line + b"\n")
    with breach(2, "what stands there is no audit event"):
        ChainFiles([path]).verify()


@pytest.mark.parametrize("text", ["", "\n", "no", json.dumps(chain(1)[0].as_json() | {"seq": "1"})])
def test_a_file_that_is_no_chain_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "audit.jsonl").write_text(text)
    with pytest.raises(CliError, match="audit event"):
        ChainFiles([tmp_path / "audit.jsonl"]).verify()


def test_a_folder_of_the_archive_is_one_chain_in_the_order_of_its_names(tmp_path: Path) -> None:
    events = chain(5)
    write(tmp_path / "000000000003-000000000005.jsonl", events[2:])
    write(tmp_path / "000000000001-000000000002.jsonl", events[:2])
    assert ChainFiles([tmp_path]).verify().events == 5
    (tmp_path / "000000000001-000000000002.jsonl").unlink()
    found = ChainFiles([tmp_path]).verify()
    assert (found.first, found.events) == (3, 3)


def test_an_export_whose_manifest_knows_another_log_is_refused(tmp_path: Path) -> None:
    """The chain of a log that was cut is whole: the manifest tells."""
    whole, cut = (write(tmp_path / name, events).read_bytes() for name, events in [("a", chain(2)), ("b", chain(1))])
    said = {"audit.jsonl": {"sha256": hashlib.sha256(whole).hexdigest(), "bytes": len(whole), "lines": 2}}
    for name, content in (("whole.zip", whole), ("cut.zip", cut)):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("audit.jsonl", content)
            archive.writestr("manifest.json", json.dumps({"format": "atrium-export", "tenant_id": "t1", "files": said}))
    assert ChainFiles([tmp_path / "whole.zip"]).verify().events == 2
    with pytest.raises(CliError, match="SHA-256 differs"):
        ChainFiles([tmp_path / "cut.zip"]).verify()


@pytest.mark.parametrize("length", [0, 1, PAGE, PAGE + 1, 2 * PAGE])
def test_a_live_chain_is_read_page_by_page_to_its_head(length: int) -> None:
    events = chain(length)
    found = Server("x", events=events).chain().verify()
    assert (found.events, found.head) == (length, head_of(events))


@pytest.mark.parametrize("length", [0, 3, PAGE - 1])
def test_events_that_come_while_it_is_read_are_no_breach(length: int) -> None:
    events = chain(length + 2)
    found = Server("x", events=events[:length], coming=events[length:]).chain().verify()
    assert found.head == head_of(events)


def test_a_live_chain_without_its_last_events_is_broken() -> None:
    events = chain(PAGE + 3)
    with breach(PAGE + 2, "the last 2 events are missing"):
        Server("x", events=events[:-2], said=head_of(events)).chain().verify()


@pytest.mark.parametrize("said", [Head(), Head(1, chain(2)[0].hash), Head(2, "f" * 64)])
def test_a_head_that_is_behind_its_events_or_another_is_a_breach(said: Head) -> None:
    with breach(2, "the chain ends otherwise than its head says"):
        Server("x", events=chain(2), said=said).chain().verify()


def test_a_live_chain_that_goes_on_from_what_was_kept_is_whole() -> None:
    events = chain(4)
    assert Server("x", events=events).chain().verify(events[1:3]).events == 4


def test_a_history_that_was_written_anew_shows_against_what_was_kept() -> None:
    kept = chain(4)
    anew = [*kept[:2], *chain(3, actor="somebody", behind=head_of(kept[:2]))]
    Server("x", events=anew).chain().verify()
    with breach(3, "it is another than in the file: history was rewritten"):
        Server("x", events=anew).chain().verify(kept)
    with breach(3, "the file has event 3, which is here no more"):
        Server("x", events=kept[:2]).chain().verify(kept)


def test_the_command_verifies_a_file_without_any_server(tmp_path: Path) -> None:
    path = write(tmp_path / "audit.jsonl", chain(1))
    done = run_atrium("audit", "verify", "--file", str(path))
    assert (done.code, done.err) == (0, "")
    assert done.out == f"✓ {path}: 1 event, whole, head {chain(1)[0].hash[:12]}\n"
    write(path, [replace(chain(1)[0], action="nothing")])
    done = run_atrium("audit", "verify", "--file", str(path), "--json")
    assert (done.code, done.json()["breach"]) == (1, {"seq": 1, "reason": "its content was changed"})


def test_a_file_is_not_compared_with_the_chain_of_another(tmp_path: Path) -> None:
    path = write(tmp_path / "audit.jsonl", chain(1))
    done = run_atrium("audit", "verify", "--file", str(path), "--platform", "--key", "atr_x", "--url", "http://x")
    assert done.code == 1
    assert "is the chain of tenant t1, not of the platform" in done.err
