"""A stack backed up while it runs, restored elsewhere and started there: what its API says is the same.

The engine is the imitation: this is about our own state.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.local.secrets import Secrets
from e2e.conftest import ATRIUM
from e2e.test_lasting_state import NOTE, found, up
from support.imitation_engine import running_engine

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    with running_engine() as url:
        yield url


def atrium(*arguments: str) -> str:
    done = subprocess.run([ATRIUM, *arguments], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Where the first stack is, and where it is restored; both are stopped at the end."""
    both = tmp_path / "first", tmp_path / "second"
    yield both
    for folder in both:
        subprocess.run([ATRIUM, "down", f"--data-dir={folder}"], check=False, timeout=60)


def live(url: str, key: str) -> None:
    """A day of a tenant's: a document, a conversation, a config."""
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=60) as client:
        document = {"title": "Lanterns", "text": NOTE, "document_id": "lantern"}
        assert client.post("/tenant/t1/documents", json=document).status_code == 201
        assert client.patch("/tenant/t1/config", json={"display_name": "Lanterns"}).status_code == 200
        for query in ("How much is the copper lantern?", "And two of them?"):
            asked = {"tenant_id": "t1", "user_id": "u", "session_id": "s", "query": query}
            assert client.post("/chat", json=asked).status_code == 200


def told(url: str, key: str) -> dict[str, Any]:
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=60) as client:

        def get(path: str) -> Any:
            answer = client.get(path)
            assert answer.status_code == 200, answer.text
            return answer.json()

        return {
            "tenants": get("/tenants"),
            "config": get("/tenant/t1/config"),
            "usage": get("/tenant/t1/usage"),
            "session": get("/tenant/t1/sessions/s?user_id=u"),
            "documents": get("/tenant/t1/documents"),
            "keys": get("/tenant/t1/keys"),
            "audit": get("/tenant/t1/audit"),
        }


def platform_key(folder: Path) -> str:
    secrets = Secrets.load(folder / "secrets.json")
    assert secrets is not None
    return secrets.platform_key


def lasting(found: dict[str, Any]) -> dict[str, Any]:
    """Without when a key was last used, which is told some seconds late."""
    for key in found["keys"]["items"]:
        key.pop("last_used_at")
    return found


def test_what_a_running_stack_had_is_there_after_a_restore(engine: str, folders: tuple[Path, Path]) -> None:
    first, second = folders
    state, backup = up(first, engine), first.parent / "b.atrium"
    key = platform_key(first)
    live(state.router_url, key)
    before = lasting(told(state.router_url, key))
    assert "Without secrets" in atrium("backup", str(backup), f"--data-dir={first}")
    atrium("down", f"--data-dir={first}")
    assert "new key" in atrium("restore", str(backup), f"--data-dir={second}")
    state = up(second, engine)
    for each in (key, platform_key(second)):
        assert lasting(told(state.router_url, each)) == before
    assert found(state.router_url) == [NOTE]
    for whose in ("--platform", "--tenant=t1"):
        assert "whole" in atrium("audit", "verify", whose, f"--data-dir={second}")
    with httpx.Client(base_url=state.router_url, headers={"x-tenant-id": "t1"}, timeout=60) as client:
        asked = {"tenant_id": "t1", "user_id": "u", "session_id": "s", "query": "And three?"}
        assert client.post("/chat", json=asked).status_code == 200
        turns = client.get("/tenant/t1/sessions/s?user_id=u").json()["items"]
        assert [turn["number"] for turn in turns] == [1, 2, 3]
