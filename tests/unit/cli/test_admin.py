"""What the admin commands understand before they ask anybody, and how they tell what they were told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from cli import receipt
from cli.client.api import Api
from cli.doctor import examine
from cli.errors import CliError
from cli.local.data_dir import DataDir
from cli.moments import read_end, read_span, tell_end, tell_past
from cli.table import cell
from support.command import run_atrium

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("90s", 90), ("15m", 900), ("1h", 3_600), ("30d", 2_592_000), ("2w", 1_209_600)],
)
def test_a_length_of_time(text: str, expected: int) -> None:
    assert read_span(text) == timedelta(seconds=expected)


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1.5h", "1 h", "1y", "999999999w", "٣d", "1h\n"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(CliError):
        read_span(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30d", NOW + timedelta(days=30)),
        ("2026-12-31", datetime(2026, 12, 31, tzinfo=UTC)),
        ("2026-12-31T18:00", datetime(2026, 12, 31, 18, tzinfo=UTC)),
        ("2026-12-31T18:00+02:00", datetime(2026, 12, 31, 16, tzinfo=UTC)),
        ("2026-12-31T18:00Z", datetime(2026, 12, 31, 18, tzinfo=UTC)),
    ],
)
def test_an_end_is_a_length_or_a_time(text: str, expected: datetime) -> None:
    assert read_end(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01", "999999999d", "9999-12-31T23:59:59-23:59"])
def test_what_is_no_end(text: str) -> None:
    with pytest.raises(CliError):
        read_end(text, NOW)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (None, "never"),
        ("2026-11-22T12:00:00Z", "has ended"),
        ("2026-11-22T12:00:30Z", "in 30 s"),
        ("2026-11-22T12:59:59Z", "in 59 min"),
        ("2026-11-23T12:00:00Z", "in 1 d"),
        ("2026-12-22T12:00:00+00:00", "2026-12-22"),
    ],
)
def test_an_end_is_told_as_exactly_as_it_matters(at: str | None, expected: str) -> None:
    assert tell_end(at, NOW) == expected


def test_a_moment_ago() -> None:
    assert tell_past(None, NOW) == "never"
    assert tell_past("2026-11-22T09:00:00Z", NOW) == "3 h ago"
    assert tell_past("2026-11-22T12:00:01Z", NOW) == "0 s ago"  # its clock is ahead of ours


def test_a_receipt_sums_the_kinds_of_a_store_and_counts_what_is_left() -> None:
    told = {
        "removed": {"postgres.chunks": 1_200, "postgres.keys": 2, "valkey.keys": 3},
        "left": {"postgres": 0, "valkey.keys": 1},
    }
    console = Console(width=80)
    with console.capture() as captured:
        console.print(receipt.table(told))
    assert [line.split() for line in captured.get().splitlines()] == [
        ["store", "kind", "removed", "left"],
        ["postgres", "all", "1,202", "0"],
        ["postgres", "chunks", "1,200"],
        ["postgres", "keys", "2"],
        ["valkey", "keys", "3", "1"],
    ]
    assert receipt.left(told) == 1


def test_what_somebody_wrote_makes_no_row_of_its_own() -> None:
    assert cell("a label\nkey_1  \x1b[31mtenant_admin").plain == "a label key_1  [31mtenant_admin"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("key", "list"), "whose?"),
        (("audit", "verify"), "whose?"),
        (("audit", "list", "--platform", "--tenant", "t1"), "either --tenant or --platform"),
        (("key", "create", "--label", "x", "--platform", "--role", "service"), "no role to choose"),
        (("key", "create", "--label", "x", "-t", "t1", "--expires", "soon"), "is no time"),
        (("key", "rotate", "key_1", "-t", "t1", "--overlap", "long"), "is no length of time"),
        (("tenant", "export", "t1", "-o", "/"), "is a folder"),
        (("tenant", "delete", "t1"), "nothing was done"),
        (("key", "revoke", "key_1", "-t", "t1"), "nothing was done"),
        (("tenant", "create", "t1", "--idempotency-key", "a\nb"), "idempotency-key has characters"),
        (("audit", "verify", "--file", "/nowhere"), "there is no file /nowhere"),
        (("audit", "list", "-t", "t1", "--key", "ü"), "authorization has characters"),
    ],
)
def test_a_slip_is_said_before_anybody_is_asked(arguments: tuple[str, ...], said: str) -> None:
    done = run_atrium(*arguments, ATRIUM_URL="http://127.0.0.1:9", ATRIUM_KEY="atr_x")
    assert done.code == 1
    assert done.out == ""
    assert said in done.err


def test_the_platform_overrules_the_tenant_of_the_environment() -> None:
    """Out of reach: so the slip is none, and the platform's chain was to be read."""
    done = run_atrium("audit", "list", "--platform", "--url", "http://127.0.0.1:9", "--key", "x", ATRIUM_TENANT="t1")
    assert "is out of reach" in done.err


def test_without_a_key_the_platform_is_not_asked() -> None:
    done = run_atrium("key", "list", "--platform", "--url", "http://127.0.0.1:9")
    assert "a platform key is needed" in done.err


def test_an_address_out_of_reach_is_a_sentence() -> None:
    with pytest.raises(CliError, match="is out of reach"), Api("http://127.0.0.1:9").download("/x"):
        pass


def test_the_doctor_names_an_object_store_that_cannot_be_written(tmp_path: Path) -> None:
    """In the way: a file where the folder is to be. (Who is root may write everywhere else.)"""
    data_dir = DataDir.at(tmp_path)

    def finding(**environment: str) -> tuple[bool, str]:
        found = next(
            f for f in examine(data_dir, 9, {"ATRIUM_ENGINE": "external", **environment}) if "object" in f.text
        )
        return found.ok, found.text

    assert finding() == (True, f"object store folder {tmp_path}/objects will be made")
    (tmp_path / "objects").touch()
    assert finding() == (False, f"object store folder {tmp_path}/objects is not writable")
    assert finding(OBJECT_STORE_URL=f"file://{tmp_path}/a%20b")[1] == f"object store folder {tmp_path}/a b will be made"
    assert finding(OBJECT_STORE_URL="s3://bucket/x") == (True, "object store: s3://bucket/x, not looked at from here")
