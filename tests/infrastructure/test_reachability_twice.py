"""Two programs compute from the same objects who reaches whom: ours (support.reachability), and `nca`, others' work."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

import pytest
import yaml

from support.reachability import Peer, reaches
from support.rendered import ROOT, Object, of_kind, variant, workloads

PYTHON = ROOT / ".venv-tools" / "bin" / "python"
ASK = """
import json, sys
from nca.CoreDS.Peer import IpBlock
from nca.NetworkConfig.ResourcesHandler import ResourcesHandler
config = ResourcesHandler().get_network_config(None, None, None, [sys.argv[1]])
every = config.peer_container.get_all_peers_group()
pods = {(one.namespace.name, one.name): one for one in every if not isinstance(one, IpBlock)}
def peer(namespace, name, address):
    return IpBlock(address + "/32") if namespace is None else pods[namespace, name]
pairs = json.loads(sys.stdin.read())
print("READ", json.dumps([str(config.allowed_connections(peer(*a), peer(*b))[0]) for a, b in pairs]))
"""
OTHERS = (
    Peer("kube-dns", "kube-system", {"k8s-app": "kube-dns"}),
    Peer("agent", "kube-system", {"app": "agent"}),
    Peer("prometheus", "monitoring", {"app.kubernetes.io/name": "prometheus"}),
    Peer("grafana", "monitoring", {"app.kubernetes.io/name": "grafana"}),
    Peer("shop", "default", {"app": "shop"}),
    Peer("debug", "atrium", {}),
)
OUTSIDE = tuple(
    Peer(address, address=address)
    for address in ("10.0.1.7", "10.0.16.20", "10.0.33.9", "10.0.49.3", "172.20.0.1", "52.216.10.10", "169.254.169.254")
)
PORTS = (22, 53, 80, 443, 2020, 5432, 6379, 8080, 8081, 8082, 8100, 9400)
Answer = set[tuple[str, int]]


def cluster(objects: Sequence[Object], peers: Sequence[Peer]) -> list[Object]:
    """The policies, the peers as pods, and their namespaces."""
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": one.name, "namespace": one.namespace, "labels": dict(one.labels)},
            "spec": {"containers": [{"name": "one", "image": "one:1"}]},
            "status": {"podIP": f"10.1.0.{number}", "hostIP": "10.0.64.1"},
        }
        for number, one in enumerate(peers, 1)
        if one.namespace
    ]
    namespaces = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {NAME: name}}}
        for name in sorted({one.namespace for one in peers if one.namespace})
    ]
    return [*namespaces, *pods, *of_kind(objects, "NetworkPolicy")]


NAME = "kubernetes.io/metadata.name"


def asked_of_nca(file: Path, pairs: Sequence[tuple[Peer, Peer]]) -> list[Answer]:
    asked = [[(one.namespace, one.name, one.address) for one in pair] for pair in pairs]
    done = subprocess.run(
        [PYTHON, "-c", ASK, file], check=False, input=json.dumps(asked), capture_output=True, text=True, timeout=100
    )
    read = [line for line in done.stdout.splitlines() if line.startswith("READ ")]
    assert read, done.stderr[-2_000:]
    return [understood(text) for text in json.loads(read[0].removeprefix("READ "))]


def understood(text: str) -> Answer:
    """Of `Protocols: UDP, 53, TCP, 53,8000-8100`; of the ports that are asked for here."""
    if text == "No connections":
        return set()
    if text == "All connections":
        return {(protocol, port) for protocol in ("TCP", "UDP") for port in PORTS}
    allowed: Answer = set()
    for protocol, ports in re.findall(r"(TCP|UDP|SCTP),? ?((?:[\d,-]+\d)?)", text):
        ranges = [part.partition("-") for part in ports.split(",")] if ports else [("0", "-", "65535")]
        allowed |= {(protocol, p) for low, _, high in ranges for p in PORTS if int(low) <= p <= int(high or low)}
    return allowed


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["dev", "production", "base+pod-identity", "base+siloed-tenant", "base+external-engines"]
)
def test_two_programs_find_the_same_arrows(name: str, tmp_path: Path) -> None:
    objects = variant(name)
    peers = [*(Peer(one.name, one.namespace, one.labels) for one in workloads(objects)), *OTHERS, *OUTSIDE]
    pairs = [(a, b) for a, b in permutations(peers, 2) if a.namespace or b.namespace]
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump_all(cluster(objects, peers)), encoding="utf-8")
    found = asked_of_nca(file, pairs)
    assert sum(map(len, found)) > len(pairs), "it has found nothing"
    for (source, target), theirs in zip(pairs, found, strict=True):
        ours = {(t, p) for t in ("TCP", "UDP") for p in PORTS if reaches(objects, source, target, p, t)}
        assert ours == theirs, f"{source.name} to {target.name}"
