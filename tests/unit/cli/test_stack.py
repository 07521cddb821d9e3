"""The parts of the stack: what runs, with which environment, and who gets which secret."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.engine.choice import Engine
from cli.engine.environment import EngineEnvironment
from cli.engine.server import EngineServer
from cli.local.data_dir import DataDir
from cli.local.leftovers import MARKER
from cli.local.secrets import Secrets
from cli.local.service import Service
from cli.local.sockets import remove_socket_folder
from cli.local.stack import Ports, Stack, build_stack
from servicekit.tokens import load_signing_key, load_verify_key
from stores.objects import open_objects

PORTS = Ports(router=1, orchestrator=2, rag=3, vllm=4)


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[DataDir]:
    found = DataDir.at(tmp_path)
    yield found
    remove_socket_folder(found.postgres)
    remove_socket_folder(found.valkey)


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    return Secrets.load_or_create(tmp_path / "secrets.json", {})


def build(data_dir: DataDir, secrets: Secrets, **user: str) -> Stack:
    engine = EngineServer.of(EngineEnvironment(data_dir.path / "venv", Engine.CPU), user)
    return build_stack(data_dir, PORTS, secrets, user, None if "VLLM_SERVICE_URL" in user else engine)


def part(stack: Stack, name: str) -> Service:
    return next(service for service in stack.services if service.name == name)


def test_all_six_parts_run_and_carry_the_marker(data_dir: DataDir, secrets: Secrets) -> None:
    stack = build(data_dir, secrets)
    assert [s.name for s in stack.services] == ["postgres", "valkey", "vllm", "rag", "orchestrator", "router"]
    assert {s.environment[MARKER] for s in stack.services} == {data_dir.instance}
    assert stack.external == {}


def test_the_router_alone_can_sign_and_knows_the_platform_key(data_dir: DataDir, secrets: Secrets) -> None:
    stack = build(data_dir, secrets, SERVICE_SIGNING_KEY="the user's", ATRIUM_BOOTSTRAP_KEY="the user's")
    router = part(stack, "router").environment
    assert router["SERVICE_SIGNING_KEY"] == secrets.service_signing_key
    assert router["ATRIUM_BOOTSTRAP_KEY"] == secrets.platform_key
    for service in stack.services:
        if service.name != "router":
            assert not {"SERVICE_SIGNING_KEY", "ATRIUM_BOOTSTRAP_KEY"} & set(service.environment), service.name


def test_the_others_can_verify_what_the_router_signs(data_dir: DataDir, secrets: Secrets) -> None:
    rag = part(build(data_dir, secrets), "rag").environment
    verify_key = load_verify_key(rag["SERVICE_VERIFY_KEYS"])
    assert verify_key == load_signing_key(secrets.service_signing_key).public_key()


def test_what_the_user_sets_reaches_every_service_and_wins_over_our_defaults(
    data_dir: DataDir, secrets: Secrets
) -> None:
    stack = build(data_dir, secrets, AUTH_MODE="api_key", LANGSMITH_API_KEY="x", LOG_LEVEL="DEBUG")
    for name in ("router", "orchestrator", "rag", "vllm"):
        found = part(stack, name).environment
        assert (found["LANGSMITH_API_KEY"], found["LOG_LEVEL"]) == ("x", "DEBUG")
    assert part(stack, "router").environment["AUTH_MODE"] == "api_key"


def test_the_users_own_engine_variables_win(data_dir: DataDir, secrets: Secrets) -> None:
    assert part(build(data_dir, secrets), "vllm").environment["VLLM_CPU_KVCACHE_SPACE"] == "2"
    chosen = build(data_dir, secrets, VLLM_CPU_KVCACHE_SPACE="8")
    assert part(chosen, "vllm").environment["VLLM_CPU_KVCACHE_SPACE"] == "8"


def test_defaults_of_a_local_run(data_dir: DataDir, secrets: Secrets) -> None:
    router = part(build(data_dir, secrets), "router").environment
    assert router["AUTH_MODE"] == "header,api_key"
    assert router["HEADER_ROLE"] == "tenant_admin"
    assert (router["ROUTER_HOST"], router["ROUTER_PORT"]) == ("127.0.0.1", "1")
    assert router["ORCHESTRATOR_URL"] == "http://127.0.0.1:2"
    assert router["RAG_SERVICE_URL"] == "http://127.0.0.1:3"
    assert router["DATABASE_URL"].startswith("postgresql://atrium_app@/atrium?host=/")
    assert router["REDIS_URL"].startswith("unix:///")


def test_router_and_rag_service_keep_objects_in_the_data_directory(tmp_path: Path, secrets: Secrets) -> None:
    """Whatever the folder is called: it travels as a URL."""
    data_dir = DataDir.at(tmp_path / "50% of #1 ü")
    try:
        url = part(build(data_dir, secrets), "router").environment["OBJECT_STORE_URL"]
        assert url.endswith("/50%25%20of%20%231%20%C3%BC/objects")
        rag = part(build(data_dir, secrets), "rag").environment
        assert (rag["OBJECT_STORE_URL"], rag["RAG_CACHE_DIR"]) == (url, str(data_dir.path / "rag-cache"))
        open_objects(url)
        assert data_dir.objects.is_dir()
    finally:
        remove_socket_folder(data_dir.postgres)
        remove_socket_folder(data_dir.valkey)


def test_an_object_store_of_the_users_own_is_used(data_dir: DataDir, secrets: Secrets) -> None:
    stack = build(data_dir, secrets, OBJECT_STORE_URL="s3://mine/x", RAG_CACHE_DIR="/copies")
    assert {part(stack, name).environment["OBJECT_STORE_URL"] for name in ("router", "rag")} == {"s3://mine/x"}
    assert part(stack, "rag").environment["RAG_CACHE_DIR"] == "/copies"


def test_the_stack_stays_on_loopback_whatever_the_environment_says(data_dir: DataDir, secrets: Secrets) -> None:
    assert part(build(data_dir, secrets, ROUTER_HOST="0.0.0.0"), "router").environment["ROUTER_HOST"] == "127.0.0.1"  # noqa: S104  what must not come through


def test_a_part_whose_address_is_given_is_not_started(data_dir: DataDir, secrets: Secrets) -> None:
    stack = build(data_dir, secrets, DATABASE_URL="postgresql://elsewhere/x", VLLM_SERVICE_URL="http://elsewhere")
    assert [s.name for s in stack.services] == ["valkey", "rag", "orchestrator", "router"]
    assert stack.external == {"postgres": "postgresql://elsewhere/x", "vllm": "http://elsewhere"}
    assert part(stack, "rag").environment["DATABASE_URL"] == "postgresql://elsewhere/x"
    assert part(stack, "orchestrator").environment["VLLM_SERVICE_URL"] == "http://elsewhere"


def test_the_orchestrator_asks_for_the_model_that_our_engine_serves(data_dir: DataDir, secrets: Secrets) -> None:
    (data_dir.path / "folder").mkdir()
    stack = build(data_dir, secrets, ATRIUM_MODEL=str(data_dir.path / "folder"))
    assert part(stack, "orchestrator").environment["ATRIUM_MODEL"] == "folder"


def test_callers_are_stopped_before_those_they_call(data_dir: DataDir, secrets: Secrets) -> None:
    stage = {service.name: service.stage for service in build(data_dir, secrets).services}
    assert stage["router"] < stage["orchestrator"] == stage["rag"] == stage["vllm"] < stage["postgres"]
    assert stage["postgres"] == stage["valkey"]


def test_postgres_hears_nothing_of_the_users_own_server(data_dir: DataDir, secrets: Secrets) -> None:
    found = part(build(data_dir, secrets, PGDATA="/theirs", PATH="/bin"), "postgres").environment
    assert "PGDATA" not in found
    assert found["PATH"] == "/bin"
