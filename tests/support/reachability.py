"""Who reaches whom under NetworkPolicies: the semantics of networking.k8s.io/v1, computed from the objects themselves.

A pod is isolated for a direction once a policy selects it for that; then what no rule allows is refused. A connection
needs both sides' leave. What is no pod (a load balancer, a database) is an address, for which ipBlock alone speaks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from support.rendered import Object, of_kind, selects


@dataclass(frozen=True)
class Peer:
    """A pod where it has a namespace, else something outside. Every pod has an address as well."""

    name: str
    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    address: str = "10.0.70.1"


def reaches(objects: Sequence[Object], source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
    policies = of_kind(objects, "NetworkPolicy")
    return _lets(policies, source, target, "Egress", port, protocol) and _lets(
        policies, target, source, "Ingress", port, protocol
    )


def _lets(policies: Sequence[Object], whose: Peer, other: Peer, direction: str, port: int, protocol: str) -> bool:
    if whose.namespace is None:
        return True
    mine = [
        policy["spec"]
        for policy in policies
        if policy["metadata"]["namespace"] == whose.namespace
        and selects(policy["spec"]["podSelector"], whose.labels)
        and direction in _directions(policy["spec"])
    ]
    side, peers = ("egress", "to") if direction == "Egress" else ("ingress", "from")
    return not mine or any(
        _is_peer(rule.get(peers), other, whose.namespace) and _is_port(rule.get("ports"), port, protocol)
        for spec in mine
        for rule in spec.get(side) or []
    )


def _directions(spec: Mapping[str, Any]) -> list[str]:
    named: list[str] | None = spec.get("policyTypes")
    return named if named is not None else ["Ingress", *(["Egress"] if "egress" in spec else [])]


def _is_peer(peers: Sequence[Mapping[str, Any]] | None, other: Peer, own_namespace: str) -> bool:
    return not peers or any(_matches(peer, other, own_namespace) for peer in peers)


def _matches(peer: Mapping[str, Any], other: Peer, own_namespace: str) -> bool:
    if "ipBlock" in peer:
        block, address = peer["ipBlock"], ip_address(other.address)
        excepted = any(address in ip_network(cidr) for cidr in block.get("except") or [])
        return address in ip_network(block["cidr"]) and not excepted
    if other.namespace is None:
        return False
    if "namespaceSelector" in peer:
        if not selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": other.namespace}):
            return False
    elif other.namespace != own_namespace:
        return False
    return "podSelector" not in peer or selects(peer["podSelector"], other.labels)


def _is_port(ports: Sequence[Mapping[str, Any]] | None, port: int, protocol: str) -> bool:
    if not ports:
        return True
    for one in ports:
        if one.get("protocol", "TCP") != protocol:
            continue
        first = one.get("port")
        assert first is None or isinstance(first, int), "a named port: not needed here, and not computed"
        if first is None or first <= port <= one.get("endPort", first):
            return True
    return False
