"""What an API server refuses beyond the schemas (its validation.go), so that a dry run there finds nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from ipaddress import ip_network
from typing import Any

import pytest
import yaml

from support.rendered import KUBERNETES, VARIANTS, Object, of_kind, overlay, variant, workloads

SEGMENT = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = re.compile(rf"{SEGMENT}(?:\.{SEGMENT})*")
QUALIFIED = re.compile(rf"(?:{SEGMENT}(?:\.{SEGMENT})*/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?")
VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
PORT = re.compile(r"(?=.{1,15}$)(?=.*[a-z])[a-z0-9]+(?:-[a-z0-9]+)*")
QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
SCALE = {None: Decimal(1), "m": Decimal("0.001"), "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}

pytestmark = pytest.mark.parametrize("name", VARIANTS)


def amount(text: object) -> Decimal:
    match = QUANTITY.fullmatch(str(text))
    assert match, f"no quantity: {text}"
    return Decimal(match[1]) * (SCALE | BINARY)[match[2]]


def containers(objects: tuple[Object, ...]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for one in workloads(objects):
        for container in one.containers:
            yield f"{one}/{container['name']}", container


def no_two(values: list[Any], where: object) -> None:
    assert len(values) == len(set(values)), f"{where}: {values}"


def test_names_labels_and_annotations_are_such(name: str) -> None:
    for one in variant(name):
        meta = one["metadata"]
        where = f"{one['kind']}/{meta['name']}"
        assert SUBDOMAIN.fullmatch(meta["name"]), where
        if one["kind"] in {"Service", "Namespace"}:
            assert re.fullmatch(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?", meta["name"]), where
        templates = [one["spec"]["template"]["metadata"]] if "template" in one.get("spec", {}) else []
        for labels in [found.get("labels", {}) for found in (meta, *templates)]:
            for key, value in labels.items():
                assert QUALIFIED.fullmatch(key), f"{where} {key}"
                assert isinstance(value, str), f"{where} {key}"
                assert VALUE.fullmatch(value), f"{where} {key}"
        for key, value in meta.get("annotations", {}).items():
            assert QUALIFIED.fullmatch(key), f"{where} {key}"
            assert isinstance(value, str), f"{where} {key}"


def test_nothing_is_null_and_nothing_named_twice_in_a_pod(name: str) -> None:
    def nothing_null(found: Any, where: str) -> None:
        assert found is not None, where
        for key, value in found.items() if isinstance(found, dict) else ():
            nothing_null(value, f"{where}.{key}")
        for value in found if isinstance(found, list) else ():
            nothing_null(value, where)

    objects = variant(name)
    for one in objects:
        nothing_null(one, f"{one['kind']}/{one['metadata']['name']}")
    for one in workloads(objects):
        no_two([container["name"] for container in one.containers], one)
        no_two([volume["name"] for volume in one.pod.get("volumes", [])], one)
        no_two([port["name"] for container in one.containers for port in container.get("ports", [])], one)
        spreads = one.pod.get("topologySpreadConstraints", [])
        no_two([(spread["topologyKey"], spread["whenUnsatisfiable"]) for spread in spreads], one)
        for spread in spreads:
            selected = spread["labelSelector"].get("matchLabels", {})
            assert not set(spread.get("matchLabelKeys", [])) & set(selected), one
        for volume in one.pod.get("volumes", []):
            assert len(set(volume) - {"name"}) == 1, f"{one}: {volume}"
    for where, container in containers(objects):
        no_two([variable["name"] for variable in container.get("env", [])], where)
        no_two([mount["mountPath"] for mount in container.get("volumeMounts", [])], where)
        for variable in container.get("env", []):
            assert ("value" in variable) != ("valueFrom" in variable), f"{where} {variable['name']}"
            assert isinstance(variable.get("value", ""), str), f"{where} {variable['name']}"


def test_ports_are_names_and_no_request_is_more_than_its_limit(name: str) -> None:
    objects = variant(name)
    for where, container in containers(objects):
        assert all(PORT.fullmatch(port["name"]) for port in container.get("ports", [])), where
        resources = container["resources"]
        for what, text in resources["requests"].items():
            if what in resources["limits"]:
                assert amount(text) <= amount(resources["limits"][what]), f"{where} {what}"
        for probe in ("startupProbe", "livenessProbe"):
            assert container.get(probe, {}).get("successThreshold", 1) == 1, where
    for ingress in of_kind(objects, "Ingress"):
        for path in ingress["spec"]["rules"][0]["http"]["paths"]:
            assert path["pathType"] in {"Prefix", "Exact"}
            assert path["path"].startswith("/")
            assert PORT.fullmatch(path["backend"]["service"]["port"]["name"])


def test_privileges_do_not_contradict_each_other(name: str) -> None:
    for where, container in containers(variant(name)):
        context = container["securityContext"]
        if context["allowPrivilegeEscalation"] is False:
            assert not context.get("privileged"), where
            assert "CAP_SYS_ADMIN" not in context["capabilities"].get("add", []), where


def test_numbers_are_within_their_bounds(name: str) -> None:
    objects = variant(name)
    for one in workloads(objects):
        grace = one.pod.get("terminationGracePeriodSeconds", 30)
        for container in one.pod["containers"]:
            sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            assert 0 <= sleep <= grace, one
        if one.kind == "Job":
            assert one.pod["restartPolicy"] in {"Never", "OnFailure"}
        strategy = one.source["spec"].get("strategy", {})
        rolling = strategy.get("rollingUpdate", {})
        assert not (rolling and strategy["type"] != "RollingUpdate"), one
        assert [str(rolling.get(key, 1)) for key in ("maxSurge", "maxUnavailable")] != ["0", "0"], one
    for scaler in of_kind(objects, "HorizontalPodAutoscaler"):
        for rules in scaler["spec"]["behavior"].values():
            assert 0 <= rules["stabilizationWindowSeconds"] <= 3600
            assert all(0 < policy["periodSeconds"] <= 1800 for policy in rules["policies"])
    assert all(one["value"] <= 1_000_000_000 for one in of_kind(objects, "PriorityClass"))
    assert not [one for one in of_kind(objects, "PodDisruptionBudget") if "minAvailable" in one["spec"]]


def test_what_a_block_excepts_lies_within_it(name: str) -> None:
    for policy in of_kind(variant(name), "NetworkPolicy"):
        for side, peers in (("ingress", "from"), ("egress", "to")):
            blocks = [
                peer["ipBlock"]
                for rule in policy["spec"].get(side, [])
                for peer in rule.get(peers, [])
                if "ipBlock" in peer
            ]
            for block in blocks:
                within = ip_network(block["cidr"])
                for text in block.get("except", []):
                    excepted = ip_network(text)
                    assert excepted.subnet_of(within), policy["metadata"]["name"]  # type: ignore[arg-type]
                    assert excepted != within, policy["metadata"]["name"]


def test_namespaces_come_before_what_is_in_them(name: str) -> None:
    order = [one["kind"] for one in (variant(name) if name.startswith("base+") else overlay(name))]
    last = max(number for number, kind in enumerate(order) if kind == "Namespace")
    first = min(number for number, kind in enumerate(order) if kind != "Namespace")
    assert last < first


def test_no_key_stands_twice_in_a_file(name: str) -> None:
    class Strict(yaml.CSafeLoader):
        pass

    def once(loader: Strict, node: yaml.MappingNode) -> dict[Any, Any]:
        no_two([key.value for key, _ in node.value], node.start_mark)
        return dict(yaml.CSafeLoader.construct_mapping(loader, node, deep=True))

    Strict.add_constructor("tag:yaml.org,2002:map", once)
    folder = KUBERNETES / ("components" if name.startswith("base+") else "overlays") / name.removeprefix("base+")
    for path in (*folder.rglob("*.yaml"), *(KUBERNETES / "base").rglob("*.yaml")):
        assert list(yaml.load_all(path.read_text(encoding="utf-8"), Strict))
