"""The network's arrows are those of the architecture, and no others: computed from what is rendered."""

from __future__ import annotations

import pytest

from support.reachability import Peer, reaches
from support.rendered import VARIANTS, Object, overlay, variant, with_components, workloads

DNS = Peer("dns", "kube-system", {"k8s-app": "kube-dns"})
PROMETHEUS = Peer("prometheus", "monitoring", {"app.kubernetes.io/name": "prometheus"})
LOAD_BALANCER = Peer("load balancer", address="10.0.1.7")
POSTGRES = Peer("postgres", address="10.0.16.20")
VALKEY = Peer("valkey", address="10.0.17.20")
AWS = Peer("aws endpoint", address="10.0.33.9")
S3 = Peer("s3", address="52.216.10.10")
API_SERVER = Peer("api server", address="10.0.49.3")
API_SERVICE = Peer("api server as a service", address="172.20.0.1")
OTHER_SERVICE = Peer("another service's address", address="172.20.0.2")
METADATA = Peer("instance metadata", address="169.254.169.254")
OFFICE = Peer("somebody's machine", address="203.0.113.9")
# The VPC CNI sees the Service's address, other plugins the one behind it (components/engine-discovery).
API_SERVER_NAMES = (API_SERVER.name, API_SERVICE.name)
OUTSIDE = (LOAD_BALANCER, POSTGRES, VALKEY, AWS, S3, API_SERVER, API_SERVICE, OTHER_SERVICE, METADATA, OFFICE)
STRANGERS = (
    Peer("pod of another team", "default", {"app": "shop"}),
    Peer(
        "pod that calls itself router",
        "default",
        {"app.kubernetes.io/name": "router", "app.kubernetes.io/component": "service"},
    ),
    Peer(
        "pod that calls itself orchestrator",
        "default",
        {"app.kubernetes.io/name": "orchestrator", "app.kubernetes.io/component": "service"},
    ),
    Peer("pod without labels", "atrium"),
    Peer("pod in the engines' namespace", "atrium-engine", {"app": "debug"}),
    Peer("pod in kube-system", "kube-system", {"app": "agent"}),
    Peer("other pod of monitoring", "monitoring", {"app.kubernetes.io/name": "grafana"}),
)
PORTS = (22, 53, 80, 443, 5432, 6379, 8080, 8081, 8082, 8100, 9400, 10250)
INTERNET_443 = {("s3", 443), ("aws endpoint", 443), ("somebody's machine", 443)}

ARROWS = {
    ("load balancer", "router", 8080),
    ("router", "orchestrator", 8081),
    ("router", "rag", 8082),
    ("orchestrator", "rag", 8082),
    ("orchestrator", "vllm", 8100),
    ("router", "postgres", 5432),
    ("rag", "postgres", 5432),
    ("atrium-migrate", "postgres", 5432),
    ("router", "valkey", 6379),
    *(
        ("prometheus", name, port)
        for name, port in {"router": 8080, "orchestrator": 8081, "rag": 8082, "vllm": 8100}.items()
    ),
    *((name, "dns", 53) for name in ("router", "orchestrator", "rag", "vllm", "atrium-migrate")),
    *((name, target, port) for name in ("router", "rag", "vllm") for target, port in INTERNET_443),
}
# The networks are not told apart by what runs there: the same port of either store's subnet, or of any address.
SAME_NETWORK = {
    ("router", "postgres", 6379),
    ("router", "valkey", 5432),
    ("rag", "valkey", 5432),
    ("atrium-migrate", "valkey", 5432),
}


def ours(objects: tuple[Object, ...]) -> list[Peer]:
    return [
        Peer(one.name, one.namespace, one.labels) for one in workloads(objects) if one.namespace.startswith("atrium")
    ]


def arrows(objects: tuple[Object, ...], mine: list[Peer]) -> set[tuple[str, str, int]]:
    """Every connection that one of ours makes or takes."""
    others = [DNS, PROMETHEUS, *OUTSIDE, *STRANGERS]
    pairs = [(source, target) for source in mine for target in (*mine, *others) if source != target]
    pairs += [(source, target) for source in others for target in mine]
    return {(a.name, b.name, port) for a, b in pairs for port in PORTS if reaches(objects, a, b, port)}


def test_the_arrows_are_those_of_the_architecture() -> None:
    objects = overlay("dev")
    assert arrows(objects, ours(objects)) == ARROWS | SAME_NETWORK


def test_names_are_asked_for_over_udp_as_well() -> None:
    objects = overlay("dev")
    assert all(reaches(objects, one, DNS, 53, "UDP") for one in ours(objects))


@pytest.mark.parametrize("name", VARIANTS)
def test_no_stranger_reaches_anything_and_nothing_of_ours_reaches_the_nodes_identity(name: str) -> None:
    objects = variant(name)
    mine = ours(objects)
    allowed = arrows(objects, mine)
    strangers = {one.name for one in STRANGERS}
    assert not {arrow for arrow in allowed if arrow[0] in strangers or arrow[1] in strangers}
    assert not {arrow for arrow in allowed if "instance metadata" in arrow}
    who_asks = {(name, target, 443) for name in ("orchestrator", "adot") for target in API_SERVER_NAMES}
    assert not {arrow for arrow in allowed if arrow[1] in API_SERVER_NAMES} - who_asks
    assert not {arrow for arrow in allowed if arrow[1] == OTHER_SERVICE.name}


@pytest.mark.parametrize(
    ("component", "more"),
    [
        ("engine-discovery", {("orchestrator", target, 443) for target in API_SERVER_NAMES}),
        ("external-engines", {("orchestrator", "s3", 443), ("orchestrator", "somebody's machine", 443)}),
        (
            "siloed-tenant",
            {("prometheus", "vllm-acme", 8100), ("orchestrator", "vllm-acme", 8100), ("vllm-acme", "dns", 53)}
            | {("vllm-acme", target, port) for target, port in INTERNET_443},
        ),
        (
            "adot",
            {("adot", "router", 8080), ("adot", "orchestrator", 8081), ("adot", "rag", 8082), ("adot", "vllm", 8100)}
            | {("adot", "dns", 53), ("adot", "aws endpoint", 443)}
            | {("adot", target, 443) for target in API_SERVER_NAMES},
        ),
    ],
)
def test_a_component_adds_its_own_arrows_alone(component: str, more: set[tuple[str, str, int]]) -> None:
    base, objects = with_components(), with_components(component)
    assert arrows(objects, ours(objects)) - arrows(base, ours(base)) == more


def test_pod_identity_reaches_its_agent_and_not_the_instances_metadata() -> None:
    agent = Peer("agent", address="169.254.170.23")
    objects = with_components("pod-identity")
    reached = {one.name for one in ours(objects) if reaches(objects, one, agent, 80)}
    assert reached == {"router", "rag", "vllm"}
    assert not any(reaches(objects, one, METADATA, 80) for one in ours(objects))
