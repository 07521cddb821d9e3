"""Tenants, keys and the audit log from the command line, against the running stack."""

from __future__ import annotations

import json
import secrets
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg
import pytest

from cli.local.postgres import Postgres
from support.command import Done, run_atrium
from support.stack import PLATFORM_KEY, Stack

Atrium = Callable[..., Done]


@pytest.fixture
def atrium(stack: Stack) -> Atrium:
    """The command as the platform, unless `key` says otherwise. Fails where the exit code is another than `code`."""

    def run(*arguments: str, code: int = 0, key: str = PLATFORM_KEY, stdin: str = "") -> Done:
        done = run_atrium(*arguments, stdin=stdin, ATRIUM_URL=stack.router, ATRIUM_KEY=key)
        assert done.code == code, done
        return done

    return run


@pytest.fixture
def tenant(atrium: Atrium) -> str:
    name = f"cli-{secrets.token_hex(4)}"
    atrium("tenant", "create", name, "--tier", "pro")
    return name


@pytest.fixture
def owner(stack_postgres: Postgres) -> Callable[..., int]:
    """Whoever has the database's own password: statements that no service may run."""

    def execute(statement: str, *values: object) -> int:
        with psycopg.connect(stack_postgres.owner_url, autocommit=True) as connection:
            return connection.execute(statement.encode(), values).rowcount

    return execute


def refused(stack: Stack, tenant: str, key: str) -> bool:
    """Whether it is, within the second that is promised."""
    until = time.monotonic() + 1
    while answer(stack, tenant, key) != 401:
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def answer(stack: Stack, tenant: str, key: str) -> int:
    return httpx.get(
        f"{stack.router}/tenant/{tenant}/documents", headers={"authorization": f"Bearer {key}"}, timeout=30
    ).status_code


def test_a_repeated_create_with_the_same_idempotency_key_shows_the_same_key(atrium: Atrium) -> None:
    name = f"cli-{secrets.token_hex(4)}"
    twice = [atrium("tenant", "create", name, "--idempotency-key", name) for _ in range(2)]
    assert twice[0].out == twice[1].out
    assert twice[0].out.startswith("atr_")
    assert "exists already (409" in atrium("tenant", "create", name, code=1).err


def test_a_keys_life(stack: Stack, atrium: Atrium, tenant: str) -> None:
    """Created, listed, rotated, revoked: and its text alone on stdout, so that a shell can keep it."""
    made = atrium("key", "create", "--tenant", tenant, "--label", "nightly [job] :key:", "--expires", "30d")
    text = made.out.removesuffix("\n")
    assert text.startswith("atr_")
    assert "\n" not in text
    assert text not in made.err
    assert "Shown this once" in made.err
    assert answer(stack, tenant, text) == 200

    listed = atrium("key", "list", "--tenant", tenant)
    assert "nightly [job] :key:" in listed.out
    assert text not in listed.out
    items = atrium("key", "list", "--tenant", tenant, "--json").json()
    found = next(item for item in items if item["label"] == "nightly [job] :key:")
    assert found["role"] == "tenant_user"

    rotated = atrium("key", "rotate", found["key_id"], "--tenant", tenant, "--overlap", "0", "--json").json()
    assert rotated["key_id"] != found["key_id"]
    assert answer(stack, tenant, rotated["key"]) == 200
    assert refused(stack, tenant, text)

    assert "nothing was done" in atrium("key", "revoke", rotated["key_id"], "-t", tenant, stdin="n\n", code=1).err
    atrium("key", "revoke", rotated["key_id"], "--tenant", tenant, "--yes")
    assert refused(stack, tenant, rotated["key"])
    assert "404" in atrium("key", "revoke", rotated["key_id"], "--tenant", tenant, "--yes", code=1).err


def test_a_tenants_admin_needs_no_platform_key(atrium: Atrium, tenant: str) -> None:
    admin = atrium("key", "create", "-t", tenant, "--label", "admin", "--role", "tenant_admin").out.strip()
    assert atrium("key", "list", "-t", tenant, "--json", key=admin).json()
    assert atrium("audit", "verify", "-t", tenant, key=admin).out
    assert "403" in atrium("key", "list", "--platform", key=admin, code=1).err
    assert "403" in atrium("tenant", "list", key=admin, code=1).err


def test_a_platform_key_is_made_listed_and_revoked(atrium: Atrium) -> None:
    made = atrium("key", "create", "--platform", "--label", "second", "--expires", "1h", "--json").json()
    assert made["role"] == "platform_admin"
    assert made["key_id"] in atrium("key", "list", "--platform", key=made["key"]).out
    atrium("key", "revoke", made["key_id"], "--platform", "--yes")
    left = atrium("key", "list", "--platform", "--json").json()
    assert made["key_id"] not in [item["key_id"] for item in left]


def test_suspend_and_resume_show_in_the_list(atrium: Atrium, tenant: str) -> None:
    def row() -> dict[str, object]:
        return next(item for item in atrium("tenant", "list", "--json").json() if item["tenant_id"] == tenant)

    assert "is suspended" in atrium("tenant", "suspend", tenant).err
    assert (row()["state"], row()["tier"]) == ("suspended", "pro")
    assert atrium("tenant", "resume", tenant, "--json").json()["state"] == "active"
    assert any(line.split()[:3] == [tenant, "active", "pro"] for line in atrium("tenant", "list").out.splitlines())


def test_an_export_is_saved_whole_and_its_audit_chain_verifies(atrium: Atrium, tenant: str, tmp_path: Path) -> None:
    target = tmp_path / "out.zip"
    said = atrium("tenant", "export", tenant, "-o", str(target))
    assert said.out == f"{target}\n"
    with zipfile.ZipFile(target) as archive:
        assert {"documents.jsonl", "audit.jsonl", "manifest.json"} <= set(archive.namelist())
        audit = [json.loads(line) for line in archive.read("audit.jsonl").splitlines()]
    assert [event["action"] for event in audit] == ["tenant.create", "tenant.export"]
    assert [path.name for path in tmp_path.iterdir()] == ["out.zip"]
    assert ": 2 events, whole, head " in atrium("audit", "verify", "--file", str(target)).out
    atrium("key", "create", "-t", tenant, "--label", "later")
    both = atrium("audit", "verify", "--file", str(target), "-t", tenant, "--json").json()
    assert [chain["events"] for chain in both["chains"]] == [2, 3]


def test_an_export_of_nobody_leaves_no_file(atrium: Atrium, tmp_path: Path) -> None:
    assert "404" in atrium("tenant", "export", "nobody", "-o", str(tmp_path / "out.zip"), code=1).err
    assert list(tmp_path.iterdir()) == []


def test_the_list_shows_who_did_what_and_verify_names_the_head(atrium: Atrium, tenant: str) -> None:
    atrium("key", "create", "-t", tenant, "--label", "one")
    newest = atrium("audit", "list", "-t", tenant, "--limit", "1", "--json").json()
    assert [event["action"] for event in newest] == ["key.create"]
    shown = atrium("audit", "list", "-t", tenant).out
    assert "tenant.create" in shown
    assert newest[0]["request_id"] in shown
    assert f": 2 events, whole, head {newest[0]['hash'][:12]}" in atrium("audit", "verify", "-t", tenant).out
    assert "the platform: " in atrium("audit", "verify", "--platform").out


def test_a_row_that_was_changed_is_named(atrium: Atrium, tenant: str, owner: Callable[..., int]) -> None:
    for label in ("one", "two"):
        atrium("key", "create", "-t", tenant, "--label", label)
    assert owner("UPDATE audit_events SET actor = 'nobody' WHERE tenant_id = %s AND seq = 2", tenant) == 1
    assert "broken at event 2: its content was changed" in atrium("audit", "verify", "-t", tenant, code=1).err
    told = atrium("audit", "verify", "-t", tenant, "--json", code=1).json()
    assert (told["whole"], told["breach"]["seq"]) == (False, 2)


def test_a_last_row_that_was_removed_is_missed(atrium: Atrium, tenant: str, owner: Callable[..., int]) -> None:
    for label in ("one", "two"):
        atrium("key", "create", "-t", tenant, "--label", label)
    assert owner("DELETE FROM audit_events WHERE tenant_id = %s AND seq = 3", tenant) == 1
    assert "broken at event 3: the last 1 events are missing" in atrium("audit", "verify", "-t", tenant, code=1).err


def test_a_history_cut_with_its_head_shows_against_a_file(
    atrium: Atrium, tenant: str, owner: Callable[..., int], tmp_path: Path
) -> None:
    """The chain alone cannot tell: what is left of it is whole."""
    atrium("tenant", "export", tenant, "-o", str(tmp_path / "kept.zip"))
    assert owner("DELETE FROM audit_events WHERE tenant_id = %s AND seq = 2", tenant) == 1
    assert owner(
        "UPDATE audit_heads SET (seq, hash) = (SELECT seq, hash FROM audit_events WHERE tenant_id = %s)"
        " WHERE tenant_id = %s",
        tenant,
        tenant,
    )
    atrium("audit", "verify", "-t", tenant)
    against = atrium("audit", "verify", "-t", tenant, "--file", str(tmp_path / "kept.zip"), code=1)
    assert "broken at event 2: the file has event 2, which is here no more" in against.err
    atrium("key", "create", "-t", tenant, "--label", "and written over")
    against = atrium("audit", "verify", "-t", tenant, "--file", str(tmp_path / "kept.zip"), code=1)
    assert "broken at event 2: it is another than in the file: history was rewritten" in against.err


def test_a_deletion_asks_for_the_id_and_prints_its_receipt(atrium: Atrium, tenant: str) -> None:
    assert "nothing was done" in atrium("tenant", "delete", tenant, stdin="yes\n", code=1).err
    atrium("audit", "verify", "-t", tenant)
    done = atrium("tenant", "delete", tenant, stdin=f"{tenant}\n")
    rows = [line.split() for line in done.out.splitlines()]
    assert ["postgres", "tenants", "1"] in rows
    assert next(row for row in rows if row[:2] == ["postgres", "all"])[-1] == "0"
    assert "is deleted" in done.err
    assert "404" in atrium("audit", "verify", "-t", tenant, code=1).err
    newest = atrium("audit", "list", "--platform", "--limit", "1", "--json").json()[0]
    assert (newest["action"], newest["resource"]) == ("tenant.delete", f"tenant/{tenant}")
    atrium("audit", "verify", "--platform")
