"""`atrium backup` and `atrium restore` over real PostgreSQL and real files."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import secrets
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import boto3
import psycopg
import pytest
from alembic import command
from alembic.config import Config

from cli.backup.files import Files
from cli.backup.make import Source, make_backup
from cli.backup.manifest import Manifest
from cli.errors import CliError
from cli.local.data_dir import DataDir
from cli.local.draft import Draft
from cli.local.lock import InstanceLock
from cli.local.postgres import ROOT, known_revisions
from cli.local.secrets import Secrets
from support.backups import TENANTS, WAITING, database_of, files, fill, rewritten, sums
from support.command import Done, run_atrium
from support.tenants import ALICE, opened, postgres_stores
from tenancy.audit import find_breach
from tenancy.config import TenantConfig
from tenancy.keys import hash_key
from tenancy.postgres_keys import PostgresKeyStore

pytestmark = pytest.mark.timeout(120)


class Original:
    """A filled directory, what is in it, and its backups."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = DataDir.at(folder / "original")
        fill(self.data_dir)
        self.backup, self.with_secrets = folder / "b.atrium", folder / "s.atrium"
        self.said = atrium("backup", str(self.backup), self.data_dir)
        assert atrium("backup", str(self.with_secrets), self.data_dir, "--with-secrets").code == 0
        with database_of(self.data_dir) as server:
            self.sums = sums(server)
        self.files = files(self.data_dir.objects)


def atrium(command: str, file: str, data_dir: DataDir, *options: str) -> Done:
    return run_atrium(command, file, "--data-dir", str(data_dir.path), *options)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    return Original(tmp_path_factory.mktemp("backup"))


@pytest.fixture
def target(tmp_path: Path) -> DataDir:
    return DataDir.at(tmp_path / "restored")


def test_rows_objects_and_secrets_are_the_same_afterwards(original: Original, target: DataDir) -> None:
    done = atrium("restore", str(original.with_secrets), target)
    assert done.code == 0, done.err
    with database_of(target) as server:
        assert sums(server) == original.sums
    wanted = {
        name: digest
        for name, digest in original.files.items()
        if "/rag/" not in name and not name.endswith("job-nobodys")
    }
    assert files(target.objects) == wanted
    assert f"tenants/t-one/uploads/{WAITING}" in wanted
    assert any("/audit/" in name for name in wanted)
    assert Secrets.load(target.secrets) == Secrets.load(original.data_dir.secrets)
    assert target.secrets.stat().st_mode & 0o777 == 0o600
    assert not (target.path / "restoring").exists()


def test_it_says_what_is_in_it_and_what_is_not(original: Original) -> None:
    assert original.said.code == 0
    assert original.backup.stat().st_mode & 0o777 == 0o600
    for part in ("database", "tables", "rows", "objects", "kB", " s", "schema 0", "Without secrets"):
        assert part in original.said.err
    with ZipFile(original.backup) as archive:
        manifest = Manifest.model_validate_json(archive.read("manifest.json"))
        assert "secrets.json" not in archive.namelist()
        for table, said in manifest.tables.items():
            assert f"{said.rows} " in original.sums[table]
    assert manifest.schema_revision == known_revisions()[0]
    assert "snapshots" not in manifest.tables
    assert sorted(name for name in os.listdir(original.backup.parent) if "unfinished" in name) == []


def test_without_secrets_the_platform_gets_a_key_that_works_and_the_log_tells_of_it(
    original: Original, target: DataDir
) -> None:
    done = atrium("restore", str(original.backup), target)
    assert done.code == 0, done.err
    assert "new key" in done.err
    made, earlier = Secrets.load(target.secrets), Secrets.load(original.data_dir.secrets)
    assert made is not None
    assert earlier is not None
    assert made.platform_key != earlier.platform_key
    assert not made.platform_key_shown

    async def look(url: str) -> None:
        async with opened(url) as database:
            for secrets in (made, earlier):
                holder = await PostgresKeyStore(database).find(hash_key(secrets.platform_key))
                assert holder is not None
                assert holder.tenant_id is None
            audit = postgres_stores(database).audit
            for whose in (None, *TENANTS):
                events = await audit.page(whose, after=0, limit=99)
                assert find_breach(events, await audit.head(whose)) is None
                if whose is None:
                    assert (events[-1].action, events[-1].actor) == ("key.create", "atrium restore")

    with database_of(target) as server:
        asyncio.run(look(server.url))


def test_what_is_there_is_put_aside_only_when_that_is_asked_for(original: Original, target: DataDir) -> None:
    target.create()
    Secrets.load_or_create(target.secrets, {})
    target.objects.mkdir()
    (target.objects / "mine").write_text("kept")
    done = atrium("restore", str(original.backup), target)
    assert (done.code, "not empty" in done.err) == (1, True)
    assert (target.objects / "mine").read_text() == "kept"
    done = atrium("restore", str(original.backup), target, "--force")
    assert done.code == 0, done.err
    (aside,) = target.path.glob("before-restore-*")
    assert (aside / "objects" / "mine").read_text() == "kept"
    assert (aside / "secrets.json").exists()
    assert (target.postgres / "PG_VERSION").exists()


def test_a_directory_on_which_a_stack_runs_is_left_alone(original: Original, target: DataDir) -> None:
    target.create()
    lock = InstanceLock(target.lock)
    assert lock.acquire()
    for options in ([], ["--force"]):
        done = atrium("restore", str(original.backup), target, *options)
        assert (done.code, "a stack runs" in done.err) == (1, True)
    lock.release()
    assert sorted(path.name for path in target.path.iterdir()) == ["lock", "logs"]


def test_a_backup_under_writes_is_of_one_moment(original: Original, target: DataDir, tmp_path: Path) -> None:
    """Each write is a config version and its audit event, in one transaction."""
    source = DataDir.at(tmp_path / "busy")
    shutil.copytree(original.data_dir.path, source.path)
    if os.getuid() == 0:
        for path in (source.postgres, *source.postgres.rglob("*")):
            shutil.chown(path, "nobody", "nogroup")
    ended = threading.Event()

    async def write(url: str) -> int:
        async with opened(url) as database:
            stores, written = postgres_stores(database), 0
            while not ended.is_set():
                await stores.tenants.write_config(TENANTS[0], TenantConfig(), by=ALICE)
                written += 1
            return written

    def one_backup(url: str, owner_url: str) -> None:
        written: list[int] = []
        thread = threading.Thread(target=lambda: written.append(asyncio.run(write(url))))
        thread.start()
        stores = Files.at(source.objects.as_uri())
        try:
            make_backup(Source(source, owner_url, stores), tmp_path / "busy.atrium", with_secrets=True)
        finally:
            ended.set()
            thread.join(30)
            stores.close()
        assert written[0] > 0

    with database_of(source) as server:
        one_backup(server.url, server.owner_url)
    assert atrium("restore", str(tmp_path / "busy.atrium"), target).code == 0
    with database_of(target) as server, psycopg.connect(server.owner_url) as connection:
        versions, events, head, named = connection.execute(
            "SELECT (SELECT count(*) FROM tenant_configs WHERE tenant_id = 't-one'),"
            " (SELECT count(*) FROM audit_events WHERE tenant_id = 't-one'),"
            " (SELECT seq FROM audit_heads WHERE tenant_id = 't-one'),"
            " (SELECT config_version FROM tenants WHERE tenant_id = 't-one')"
        ).fetchone() or (0, 0, 0, 0)
        assert versions == named
        assert events == head


def test_an_older_schema_is_migrated_up_and_keeps_its_rows(original: Original, target: DataDir, tmp_path: Path) -> None:
    """The backup is made at the schema before the newest."""
    older = DataDir.at(tmp_path / "older")
    assert atrium("restore", str(original.with_secrets), older).code == 0
    with database_of(older) as server:
        config = Config(ROOT / "alembic.ini")
        config.attributes["database_url"] = server.owner_url
        command.downgrade(config, known_revisions()[1])
        before = sums(server)
    backup = tmp_path / "older.atrium"
    assert atrium("backup", str(backup), older).code == 0
    done = atrium("restore", str(backup), target)
    assert done.code == 0, done.err
    assert f"{known_revisions()[1]} → {known_revisions()[0]}" in done.err
    with database_of(target) as server:
        after = sums(server)
    unchanged = {"chunks", "usage_events", "conversation_turns", "tenant_configs"}
    assert {name: after[name] for name in unchanged} == {name: before[name] for name in unchanged}


def _manifest(archive: Path) -> dict[str, Any]:
    with ZipFile(archive) as found:
        told: dict[str, Any] = json.loads(found.read("manifest.json"))
    return told


def _hostile(source: Path, folder: Path) -> Iterator[tuple[str, Path, str]]:
    """What is wrong, the file, and what is said of it."""
    whole, told = source.read_bytes(), _manifest(source)

    def changed(name: str, **values: Any) -> Path:
        return rewritten(source, folder / name, {"manifest.json": json.dumps(told | values).encode()})

    def raw(name: str, data: bytes) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    member = told["objects"][next(iter(told["objects"]))]
    yield "empty", raw("empty", b""), "no whole backup"
    yield "text", raw("text", b"hello" * 99), "no whole backup"
    yield "cut off", raw("cut", whole[: len(whole) * 2 // 3]), "no whole backup"
    flipped = bytearray(whole)
    flipped[len(whole) // 4] ^= 1
    yield "a flipped bit", raw("flipped", bytes(flipped)), "is n"
    for path in ("t-one/../../../etc/cron.d/x", "../x/y", "t-one//etc/passwd", "t-one/a\\..\\b", "t-one/.put-x"):
        yield f"path {path}", changed("path", objects={path: member}), "cannot be read"
    yield "a table's name", changed("name", tables={'t"; DROP': told["tables"]["tenants"]}), "cannot be read"
    yield "a newer schema", changed("newer", schema_revision="9999"), "newer than this one's"
    yield "another format", changed("format", version=2), "cannot be read"
    yield "one member more", rewritten(source, folder / "more", {"../../x": b"x"}), "other members"
    yield "one member less", rewritten(source, folder / "less", {"tables/chunks.copy": None}), "other members"
    rows = b"x" * told["tables"]["tenants"]["bytes"]
    yield "other rows", rewritten(source, folder / "rows", {"tables/tenants.copy": rows}), "SHA-256 differs"
    bomb = rewritten(source, folder / "bomb", {"tables/tenants.copy": bytes(50_000_000)})
    yield "more than it says", bomb, "size differs"
    sizes = {name: {**table, "bytes": 1 << 60} for name, table in told["tables"].items()}
    yield "a bomb that says so", _with_sizes(changed("huge", tables=sizes)), "is n"
    yield "other columns", changed("columns", tables=told["tables"] | _other_columns(told)), "not those of the schema"


def _other_columns(told: dict[str, Any]) -> dict[str, Any]:
    return {"prices": {**told["tables"]["prices"], "columns": ["version"]}}


def _with_sizes(archive: Path) -> Path:
    """Every size that the ZIP's directory says of a table is 4 GB less a bit, for a few bytes of it."""
    data = bytearray(archive.read_bytes())
    at = 0
    while (at := data.find(b"PK\x01\x02", at)) >= 0:
        data[at + 24 : at + 28] = struct.pack("<I", 0xFFFF_FFF0)
        at += 4
    archive.write_bytes(data)
    return archive


def test_hostile_and_damaged_archives_are_refused_with_a_reason_and_touch_nothing(
    original: Original, target: DataDir, tmp_path: Path
) -> None:
    for what, archive, said in _hostile(original.with_secrets, tmp_path):
        done = atrium("restore", str(archive), target)
        assert done.code == 1, what
        assert said in done.err, (what, done.err)
        assert "Traceback" not in done.err
        assert not target.secrets.exists()
        assert not target.postgres.exists()
        assert not (target.path / "restoring").exists()


def test_rows_that_break_a_reference_are_refused(original: Original, target: DataDir, tmp_path: Path) -> None:
    """Sums that fit do not make rows that do: the schema's own checks hold."""
    told = _manifest(original.with_secrets)
    told["tables"]["tenants"] |= {"bytes": 0, "rows": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    changes: dict[str, bytes | None] = {"tables/tenants.copy": b"", "manifest.json": json.dumps(told).encode()}
    done = atrium("restore", str(rewritten(original.with_secrets, tmp_path / "x", changes)), target)
    assert (done.code, "do not fit" in done.err) == (1, True)
    assert not target.postgres.exists()


def test_a_killed_restore_changes_nothing_and_nothing_starts_on_it(original: Original, target: DataDir) -> None:
    command = [sys.executable, "-m", "cli", "restore", str(original.with_secrets), "--data-dir", str(target.path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not (target.path / "restoring" / "postgres" / "PG_VERSION").exists():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not target.postgres.exists()
    with pytest.raises(CliError, match="cut short"):
        Draft(target).settle()
    assert atrium("backup", str(target.path / "x"), target).code == 1
    done = atrium("restore", str(original.with_secrets), target)
    assert done.code == 0, done.err
    with database_of(target) as server:
        assert sums(server) == original.sums


def test_a_backup_that_fails_leaves_the_older_file(original: Original, tmp_path: Path) -> None:
    older = tmp_path / "b.atrium"
    older.write_text("older")
    empty = DataDir.at(tmp_path / "empty")
    empty.create()
    done = atrium("backup", str(older), empty)
    assert (done.code, "nothing in" in done.err) == (1, True)
    done = atrium("backup", str(older), DataDir.at(tmp_path / "nowhere"))
    assert (done.code, "nothing in" in done.err) == (1, True)
    assert older.read_text() == "older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.atrium", "empty"]


def test_objects_in_s3_are_backed_up_too_and_restored_into_the_directory(
    original: Original, target: DataDir, tmp_path: Path, s3_server: str, aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = f"b-{secrets.token_hex(4)}"
    client = boto3.client("s3", endpoint_url=s3_server)
    client.create_bucket(Bucket=bucket)
    for name in original.files:
        client.put_object(Bucket=bucket, Key=f"here/{name}", Body=(original.data_dir.objects / name).read_bytes())
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("OBJECT_STORE_URL", f"s3://{bucket}/here")
    backup = tmp_path / "s3.atrium"
    assert atrium("backup", str(backup), original.data_dir).code == 0
    done = atrium("restore", str(backup), target)
    assert (done.code, "unset OBJECT_STORE_URL" in done.err) == (1, True)
    monkeypatch.delenv("OBJECT_STORE_URL")
    done = atrium("restore", str(backup), target)
    assert done.code == 0, done.err
    assert files(target.objects).items() <= original.files.items()
    assert any("/audit/" in name for name in files(target.objects))
