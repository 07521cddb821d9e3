"""The parts of the local stack, wired together: two stores, the engine, three services."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cli.engine.server import EngineServer
from cli.local.data_dir import DataDir
from cli.local.leash import leashed
from cli.local.ports import LOOPBACK, PortClaims
from cli.local.postgres import Postgres, migrate
from cli.local.secrets import Secrets
from cli.local.service import Health, HttpProbe, Service
from cli.local.settings import ADDRESSES, StackSettings
from cli.local.valkey import Valkey

INNER_PORTS: Mapping[str, int] = {"orchestrator": 8081, "rag": 8082, "vllm": 8100}
ENGINE_START_S = 1800.0
"""A model of several gigabytes may have to be downloaded first."""
_FRONT, _MIDDLE, _STORES = 0, 1, 2


@dataclass(frozen=True)
class Ports:
    router: int
    orchestrator: int
    rag: int
    vllm: int

    @classmethod
    def choose(cls, router: int, claims: PortClaims) -> Ports:
        """Raises CliError when the router's port is taken; the others move out of the way."""
        claims.require(router)
        return cls(router=router, **{name: claims.prefer(preferred) for name, preferred in INNER_PORTS.items()})


@dataclass(frozen=True)
class Stack:
    """`external`: the parts whose address the user gave, with it. `objects`: the object store's URL."""

    services: tuple[Service, ...]
    external: Mapping[str, str]
    router_url: str
    objects: str = ""


def build_stack(
    data_dir: DataDir, ports: Ports, secrets: Secrets, user: Mapping[str, str], engine: EngineServer | None
) -> Stack:
    """`engine` is None where VLLM_SERVICE_URL, in `user`, says where it is."""
    postgres, valkey = Postgres(data_dir.postgres), Valkey(data_dir.valkey)
    external = {name: user[variable] for name, variable in ADDRESSES.items() if user.get(variable)}
    if engine is not None:
        external.pop("vllm", None)
    own = {
        "postgres": postgres.url,
        "valkey": valkey.url,
        "vllm": f"http://{LOOPBACK}:{ports.vllm}",
        "rag": f"http://{LOOPBACK}:{ports.rag}",
        "orchestrator": f"http://{LOOPBACK}:{ports.orchestrator}",
    }
    addresses = {**own, **external}
    model = {"ATRIUM_MODEL": engine.name} if engine else {}
    suitable = engine.suitable_settings if engine else {}
    settings = StackSettings(
        {**suitable, **user},
        data_dir.instance,
        secrets,
        addresses,
        objects=data_dir.objects.as_uri(),
        rag_cache=str(data_dir.rag_cache),
        own=model,
    )
    router_url = f"http://{LOOPBACK}:{ports.router}"
    parts = [
        _postgres(postgres, settings),
        _valkey(valkey, settings),
        *([_vllm(engine, ports.vllm, settings)] if engine else []),
        _python("rag", own["rag"], ports.rag, settings.of_rag(ports.rag), behind=("postgres",)),
        _python(
            "orchestrator",
            own["orchestrator"],
            ports.orchestrator,
            settings.of_orchestrator(ports.orchestrator),
            behind=("rag", "vllm"),
        ),
        _router(router_url, ports.router, settings),
    ]
    services = tuple(part for part in parts if part.name not in external)
    objects = user.get("OBJECT_STORE_URL") or data_dir.objects.as_uri()
    return Stack(services=services, external=external, router_url=router_url, objects=objects)


def migrate_external(user: Mapping[str, str]) -> None:
    """A database of the user's own is brought up to date only where its owner's address is given."""
    if user.get("DATABASE_URL") and (owner_url := user.get("MIGRATION_DATABASE_URL")):
        migrate(owner_url)


def _postgres(server: Postgres, settings: StackSettings) -> Service:
    return Service(
        name="postgres",
        command=server.command,
        environment=settings.of_store(),
        health=lambda: Health(ready=server.answers()),
        url=server.url,
        prepare=server.prepare,
        once_ready=server.migrate,
        start_within_s=60,
        stop_signal=signal.SIGINT,  # fast shutdown; SIGTERM would wait for every client
        stage=_STORES,
    )


def _valkey(server: Valkey, settings: StackSettings) -> Service:
    return Service(
        name="valkey",
        command=server.command,
        environment=settings.of_store(),
        health=lambda: Health(ready=server.answers()),
        url=server.url,
        prepare=server.prepare,
        start_within_s=30,
        stage=_STORES,
    )


def _vllm(engine: EngineServer, port: int, settings: StackSettings) -> Service:
    url = f"http://{LOOPBACK}:{port}"
    return Service(
        name="vllm",
        command=lambda: leashed(engine.command(port)),
        environment=settings.of_engine(engine.variables()),
        health=HttpProbe(f"{url}/health", nothing_yet=f"loading {engine.name}"),
        url=url,
        port=port,
        start_within_s=ENGINE_START_S,
        stop_within_s=15,
        stage=_MIDDLE,
    )


def _python(name: str, url: str, port: int, environment: Mapping[str, str], *, behind: tuple[str, ...]) -> Service:
    return Service(
        name=name,
        command=_module("app" if name == "orchestrator" else name),
        environment=environment,
        health=HttpProbe(f"{url}/readyz"),
        url=url,
        port=port,
        behind=behind,
        stage=_MIDDLE,
    )


def _router(url: str, port: int, settings: StackSettings) -> Service:
    return Service(
        name="router",
        command=_module("router"),
        environment=settings.of_router(port),
        health=HttpProbe(f"{url}/readyz"),
        url=url,
        port=port,
        after=("postgres", "valkey"),
        behind=("orchestrator", "rag", "vllm"),
        stage=_FRONT,
    )


def _module(name: str) -> Callable[[], list[str]]:
    # -P: the folder that `atrium up` is called in holds no modules of ours.
    return lambda: leashed([sys.executable, "-P", "-m", name])
