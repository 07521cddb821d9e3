"""The user that Terraform makes in ElastiCache can do what the router does with Valkey, and no administrator's work.

Asked of a real Valkey with the same access string; ElastiCache's own list of commands is not at hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from support.own_valkey import OwnValkey
from support.rendered import ROOT

USER = (ROOT / "infrastructure" / "terraform" / "modules" / "data" / "valkey-user.tf").read_text(encoding="utf-8")
SCRIPTS = sorted((ROOT / "src").rglob("*.lua"))
OWN = "atrium:{a}:x"
CALLED = [
    *(["PING"], ["AUTH", "atrium", "x"], ["CLIENT", "SETINFO", "LIB-NAME", "redis-py"]),
    *(["SCAN", "0"], ["UNLINK", OWN], ["EVALSHA", "0" * 40, "1", OWN], ["EVAL", "return 1", "1", OWN]),
    *(["SCRIPT", "LOAD", "return 1"], ["PUBLISH", "atrium:changes", "x"], ["SUBSCRIBE", "atrium:changes"]),
    *(["HGETALL", "atrium:routers"], ["MULTI"], ["EXEC"]),
]
FORBIDDEN = [
    *(["FLUSHALL"], ["FLUSHDB"], ["KEYS", "*"], ["CONFIG", "GET", "*"], ["ACL", "LIST"], ["SHUTDOWN"], ["MONITOR"]),
    *(["GET", "other"], ["EVALSHA", "0" * 40, "1", "other"], ["PUBLISH", "other", "x"], ["CLIENT", "KILL", "x:1"]),
]


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    found = re.search(r'access_string = "([^"]+)"', USER)
    assert found
    own = OwnValkey(tmp_path_factory.mktemp("acl"))
    own.start()
    with Redis.from_url(own.url) as client:
        client.execute_command("ACL", "SETUSER", "atrium", "reset", ">x", *found[1].split())
        yield client
    own.close()


def allowed(valkey: Redis, command: list[str]) -> bool:
    return bool(valkey.execute_command("ACL", "DRYRUN", "atrium", *command) == b"OK")


@pytest.mark.parametrize("command", CALLED, ids=" ".join)
def test_what_the_client_calls_is_allowed(valkey: Redis, command: list[str]) -> None:
    assert allowed(valkey, command)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_what_a_script_calls_is_allowed(valkey: Redis, script: Path) -> None:
    names = set(re.findall(r"\b(?:redis\.)?call\(\s*[\"']([A-Za-z]+)[\"']", script.read_text(encoding="utf-8")))
    assert names
    for name in map(str.upper, names):
        (known,) = valkey.execute_command("COMMAND", "INFO", name).values()
        command = [name, OWN, *["1"] * (abs(known["arity"]) - 2)][: 1 if name == "TIME" else None]
        assert allowed(valkey, command), command


@pytest.mark.parametrize("command", FORBIDDEN, ids=" ".join)
def test_what_an_administrator_does_is_not(valkey: Redis, command: list[str]) -> None:
    assert not allowed(valkey, command)
