"""docker-compose.yml is the same stack: same images, same settings; one port, on loopback, and no privilege."""

from __future__ import annotations

import base64
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import Settings as OrchestratorSettings
from rag.settings import Settings as RagSettings
from router.settings import Settings as RouterSettings
from servicekit.tokens import load_signing_key, load_verify_key
from support.rendered import ROOT, overlay, workload

SETTINGS = {"router": RouterSettings, "orchestrator": OrchestratorSettings, "rag": RagSettings}
OURS = {"router", "orchestrator", "rag", "migrate", "service-role"}
ENGINES = {"engine-cpu", "engine-gpu"}
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    return found


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, str]:
    """What dockerfiles/compose-env writes."""
    file = tmp_path / "env"
    subprocess.run([ROOT / "dockerfiles" / "compose-env", file], check=True, capture_output=True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    return dict(line.split("=", 1) for line in file.read_text(encoding="utf-8").splitlines())


def filled_in(text: str, given: dict[str, str]) -> str:
    """As compose interpolates: `${NAME:-default}`, `${NAME:?complaint}`."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        assert kind == "-" or name in given, f"{name}: dockerfiles/compose-env does not make it"
        return given.get(name, rest or "")

    return VARIABLE.sub(value, text)


@pytest.mark.parametrize("service", SETTINGS)
def test_a_service_starts_with_the_settings_and_reads_all_of_them(
    service: str, secrets: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = services()[service]["environment"]
    assert set(environment) <= {field.upper() for field in SETTINGS[service].model_fields}
    for name, text in environment.items():
        monkeypatch.setenv(name, filled_in(text, secrets))
    SETTINGS[service]()


def test_every_variable_is_made_or_has_a_default_and_none_is_made_in_vain(secrets: dict[str, str]) -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert {name for name, kind, _ in VARIABLE.findall(text) if kind == "?"} == set(secrets)
    assert not [name for name, kind, _ in VARIABLE.findall(text) if not kind]


def test_the_keys_that_are_made_are_a_pair_and_no_two_secrets_are_the_same(secrets: dict[str, str]) -> None:
    private, public = load_signing_key(secrets["SERVICE_SIGNING_KEY"]), load_verify_key(secrets["SERVICE_VERIFY_KEYS"])
    assert private.public_key() == public
    assert len(base64.b64decode(secrets["SERVICE_SIGNING_KEY"])) == 32
    assert len(set(secrets.values())) == len(secrets)


def test_an_env_that_exists_is_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("POSTGRES_PASSWORD=mine\n", encoding="utf-8")
    done = subprocess.run([ROOT / "dockerfiles" / "compose-env", file], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "exists" in done.stderr
    assert file.read_text(encoding="utf-8") == "POSTGRES_PASSWORD=mine\n"


def test_the_routers_port_alone_is_published_and_on_loopback() -> None:
    published = {name: one["ports"] for name, one in services().items() if "ports" in one}
    assert published == {"router": ["127.0.0.1:${ROUTER_PUBLISHED_PORT:-8080}:8080"]}


def test_what_is_no_door_has_no_way_out() -> None:
    found = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    assert found["networks"]["back"] == {"internal": True}
    outside = {name for name, one in found["services"].items() if "outside" in one["networks"]}
    assert outside == {"router"} | ENGINES


def test_nothing_is_privileged() -> None:
    for name, one in services().items():
        assert one["read_only"] is True, name
        assert one["cap_drop"] == ["ALL"], name
        assert one["security_opt"] == ["no-new-privileges:true"], name
        assert one["user"] not in {"root", "0"}, name
        assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"} & set(one), name
        assert not [volume for volume in one.get("volumes", []) if volume.startswith(("/", ".", "~"))], name
        if name in OURS | ENGINES:
            assert one["user"] == "10001:10001", name


def test_whatever_serves_is_asked_whether_it_does() -> None:
    found = services()
    for name, one in found.items():
        assert ("healthcheck" in one) == (name not in {"migrate", "service-role"}), name
        for other, wanted in one.get("depends_on", {}).items():
            wants_end = wanted["condition"] == "service_completed_successfully"
            assert wants_end == (other in {"migrate", "service-role"}), name
            assert "profiles" not in found[other], f"{name} waits for {other}, which may not be there"


def test_the_images_are_those_of_the_dockerfiles_and_of_kubernetes() -> None:
    found, objects = services(), overlay("dev")
    for name in ("router", "orchestrator", "rag"):
        assert found[name]["image"] == workload(objects, name).containers[0]["image"]
        assert found[name]["build"]["dockerfile"] == f"dockerfiles/Dockerfile.{name}"
        assert (ROOT / found[name]["build"]["dockerfile"]).exists()
    migration = workload(objects, "atrium-migrate")
    for name, container in zip(("migrate", "service-role"), migration.containers, strict=True):
        assert found[name]["image"] == container["image"]
        assert found[name]["entrypoint"] == container["command"]
    assert found["engine-gpu"]["image"] == workload(objects, "vllm").pod["containers"][0]["image"]
    for name, one in found.items():
        assert re.search(r":[A-Za-z0-9._-]+$", one["image"]), name
        assert not one["image"].endswith(":latest"), name


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_the_engine_and_the_services_are_told_the_same(name: str) -> None:
    found = services()
    said = dict(one.removeprefix("--").partition("=")[::2] for one in found[name]["command"])
    orchestrator, router = found["orchestrator"]["environment"], found["router"]["environment"]
    assert said["max-num-seqs"] == orchestrator["ENGINE_MAX_SEQS"]
    assert said["max-model-len"] == orchestrator["ENGINE_CONTEXT_TOKENS"] == router["ENGINE_CONTEXT_TOKENS"]
    assert (said["scheduling-policy"] == "priority") == (orchestrator["ENGINE_PRIORITY"] == "true")
    assert orchestrator["VLLM_SERVICE_URL"] == f"http://engine:{said['port']}"
    assert found[name]["networks"]["back"]["aliases"] == ["engine"]
