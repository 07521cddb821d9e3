"""A pod that is to go ends its answers first: the numbers of every file that has a part in it fit each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from app.settings import Settings as OrchestratorSettings
from rag.settings import Settings as RagSettings
from router.api import stream
from router.settings import Settings as RouterSettings
from servicekit.client import KEEP_ALIVE_S
from servicekit.tokens import generate_signing_key
from support.rendered import OVERLAYS, of_kind, overlay, settings_of, workload

COMMIT_S = 35
"""So long an upload waits beyond its deadline for a commit whose outcome is not known (docs/internal-api.md)."""
CLOSING_S = {"router": 13, "orchestrator": 5, "rag": 10}
"""The router writes its ledger for at most 10 s and its rule hits for 3 (docs/operations.md)."""
OUT_OF_SERVICE_S = 15
"""What the load balancer's controller and the nodes get to take a pod out."""
REGISTERED_S = 10
"""What the load balancer's controller gets to name a new pod to it."""

pytestmark = pytest.mark.parametrize("name", OVERLAYS)


def longest(name: str) -> tuple[float, float]:
    """An answer, and an upload: seconds."""
    router = settings_of(overlay(name), "atrium-router")
    return float(router["REQUEST_TIMEOUT_S"]), float(router["INGEST_TIMEOUT_S"]) + COMMIT_S


@pytest.mark.parametrize("service", ["router", "orchestrator", "rag"])
def test_a_service_has_time_for_its_longest_answer(name: str, service: str) -> None:
    found, settings = workload(overlay(name), service), settings_of(overlay(name), f"atrium-{service}")
    answer, upload = longest(name)
    linger, grace = float(settings["SHUTDOWN_LINGER_S"]), float(settings["SHUTDOWN_GRACE_S"])
    assert grace >= (answer if service == "orchestrator" else max(answer, upload))
    assert linger > KEEP_ALIVE_S, "connections that the services keep to each other would outlive it"
    before = _pre_stop(found.pod)
    assert before >= OUT_OF_SERVICE_S
    assert found.pod["terminationGracePeriodSeconds"] >= before + linger + grace + CLOSING_S[service]


def test_an_engine_has_time_for_its_longest_answer(name: str) -> None:
    pod = workload(overlay(name), "vllm").pod
    drain = float(_argument(pod, "--shutdown-timeout"))
    assert drain >= longest(name)[0]
    assert pod["terminationGracePeriodSeconds"] >= _pre_stop(pod) + drain + 30


def test_no_router_goes_before_the_load_balancer_sends_to_its_successor(name: str) -> None:
    for ingress in of_kind(overlay(name), "Ingress"):
        annotations = ingress["metadata"]["annotations"]
        interval = float(annotations["alb.ingress.kubernetes.io/healthcheck-interval-seconds"])
        checks = float(annotations["alb.ingress.kubernetes.io/healthy-threshold-count"])
        assert workload(overlay(name), "router").source["spec"]["minReadySeconds"] >= REGISTERED_S + interval * checks


def test_the_load_balancer_waits_as_long_and_gives_up_no_quiet_request(name: str) -> None:
    for ingress in of_kind(overlay(name), "Ingress"):
        annotations = ingress["metadata"]["annotations"]
        of_balancer = _attributes(annotations["alb.ingress.kubernetes.io/load-balancer-attributes"])
        of_targets = _attributes(annotations["alb.ingress.kubernetes.io/target-group-attributes"])
        router = settings_of(overlay(name), "atrium-router")
        idle = float(of_balancer["idle_timeout.timeout_seconds"])
        assert idle > max(longest(name)), "a JSON answer says nothing before it is whole"
        assert idle > stream.HEARTBEAT_S
        assert float(router["KEEP_ALIVE_S"]) > idle, "the balancer would use connections that the router closes"
        waits = float(of_targets["deregistration_delay.timeout_seconds"])
        assert waits >= float(router["SHUTDOWN_LINGER_S"]) + float(router["SHUTDOWN_GRACE_S"])


def test_an_engine_has_ten_minutes_to_load_and_is_not_killed_for_being_busy(name: str) -> None:
    (container,) = workload(overlay(name), "vllm").pod["containers"]
    start, live = container["startupProbe"], container["livenessProbe"]
    assert start["periodSeconds"] * start["failureThreshold"] >= 600
    assert live["periodSeconds"] * live["failureThreshold"] >= 180
    assert live["timeoutSeconds"] >= 10


def test_readiness_asks_for_nothing_that_all_pods_would_lose_at_once(name: str) -> None:
    for service in ("router", "orchestrator", "rag"):
        (container,) = workload(overlay(name), service).pod["containers"]
        assert container["readinessProbe"]["httpGet"]["path"] == "/healthz"
        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    (router,) = workload(overlay(name), "router").pod["containers"]
    path = router["startupProbe"]["httpGet"]["path"]
    assert path.partition("?")[0] == "/readyz"
    assert {"exclude=orchestrator", "exclude=rag", "exclude=vllm"} == set(path.partition("?")[2].split("&"))


def test_the_services_and_the_engine_are_told_the_same(name: str) -> None:
    objects = overlay(name)
    pod = workload(objects, "vllm").pod
    orchestrator, router = settings_of(objects, "atrium-orchestrator"), settings_of(objects, "atrium-router")
    assert _argument(pod, "--max-num-seqs") == orchestrator["ENGINE_MAX_SEQS"]
    assert _argument(pod, "--max-model-len") == router["ENGINE_CONTEXT_TOKENS"]
    assert (_argument(pod, "--scheduling-policy") == "priority") == (orchestrator["ENGINE_PRIORITY"] == "true")


def test_every_setting_is_one_that_the_service_reads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = {"SERVICE_SIGNING_KEY": generate_signing_key(), "DATABASE_URL": "postgresql://x", "REDIS_URL": "redis://x"}
    classes = {"router": RouterSettings, "orchestrator": OrchestratorSettings, "rag": RagSettings}
    for service, settings in classes.items():
        given = settings_of(overlay(name), f"atrium-{service}")
        known = {field.upper() for field in settings.model_fields} | {"OMP_NUM_THREADS"}
        assert set(given) <= known, service
        with monkeypatch.context() as environment:
            for key, value in (secret | given).items():
                environment.setenv(key, value)
            settings()


def _pre_stop(pod: Mapping[str, Any]) -> float:
    (container,) = pod["containers"]
    return float(container["lifecycle"]["preStop"]["sleep"]["seconds"])


def _argument(pod: Mapping[str, Any], option: str) -> str:
    (value,) = [arg.partition("=")[2] for arg in pod["containers"][0]["args"] if arg.partition("=")[0] == option]
    return str(value)


def _attributes(text: str) -> dict[str, str]:
    return {key.strip(): value for key, _, value in (part.partition("=") for part in text.split(","))}
