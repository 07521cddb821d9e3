"""Kubernetes EndpointSlices (discovery.k8s.io/v1) read as engine pools."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from contracts.pools import DEFAULT_POOL

PORT_NAME = "http"


def pools_of(slices: Iterable[Mapping[str, Any]], pool_label: str) -> dict[str, dict[str, bool]]:
    """By pool and address: whether the replica drains. The slice's label says the pool; without one it is the shared.

    A replica that is ready is given work. One that is being ended and still serves is given none, and keeps what it
    has; all others are as if they were not there. Of an address that stands in two slices, as it does while it moves,
    the one that is given work counts.
    """
    pools: dict[str, dict[str, bool]] = {}
    for piece in slices:
        labels = piece.get("metadata", {}).get("labels") or {}
        replicas = pools.setdefault(str(labels.get(pool_label) or DEFAULT_POOL), {})
        for url, drains in _replicas(piece):
            replicas[url] = drains and replicas.get(url, True)
    return pools


def _replicas(piece: Mapping[str, Any]) -> Iterable[tuple[str, bool]]:
    port = _port(piece.get("ports") or [])
    if port is None:
        return
    scheme = "https" if port.get("appProtocol") in {"https", "kubernetes.io/https"} else "http"
    for endpoint in piece.get("endpoints") or []:
        conditions = endpoint.get("conditions") or {}
        drains = conditions.get("terminating") is True
        # What is not said is true for `ready` and `serving`, as the API has it.
        if conditions.get("serving" if drains else "ready") is False:
            continue
        for address in (endpoint.get("addresses") or [])[:1]:
            host = f"[{address}]" if ":" in address else address
            yield f"{scheme}://{host}:{port['port']}", drains


def _port(ports: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The one that is named `http`, else the first."""
    usable = [port for port in ports if port.get("port") and port.get("protocol", "TCP") == "TCP"]
    return next((port for port in usable if port.get("name") == PORT_NAME), usable[0] if usable else None)
