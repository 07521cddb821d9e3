"""What is refused at the door of a cluster beside what test_api_server.py lists: by operators' definitions and
webhooks, by Pod Security, by kubectl and kustomize themselves."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import jsonschema
import pytest
import yaml

from support.custom_resources import SERVED
from support.rendered import KUBERNETES, VARIANTS, Object, of_kind, rendered, variant, workloads

OF_KUBERNETES = re.compile(r"v1|(apps|autoscaling|batch|policy)/v\d+|[a-z.]+\.k8s\.io/v\d+")
"""Stable versions alone: what is alpha or beta is gone one day."""
DNS_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LAST_APPLIED_BYTES = 256 * 1024
"""What all annotations of an object may have together: `kubectl apply` keeps the whole object in one."""
RESTRICTED_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
KUSTOMIZE = {
    "apiVersion", "kind", "resources", "components", "images", "labels", "patches",
    "configMapGenerator", "secretGenerator",
}  # fmt: skip
"""Without commonLabels, patchesStrategicMerge, patchesJson6902, bases, vars: they are on their way out."""


def custom(objects: tuple[Object, ...]) -> list[Object]:
    return [one for one in objects if not OF_KUBERNETES.fullmatch(one["apiVersion"])]


@pytest.mark.parametrize("name", VARIANTS)
def test_an_operators_resource_is_of_a_served_version_and_has_its_fields_alone(name: str) -> None:
    for one in custom(variant(name)):
        assert set(one) == {"apiVersion", "kind", "metadata", "spec"}
        schema = SERVED[one["apiVersion"], one["kind"]]
        jsonschema.Draft202012Validator(schema).validate(one["spec"])


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("ScaledObject", ("fallback", "behavior"), "currentReplicasWhenHigher"),
        ("ScaledObject", ("minReplicas",), 1),
        ("NodePool", ("template", "spec", "expireAfter"), "30d"),
        ("NodePool", ("disruption", "consolidationPolicy"), "WhenUnderutilized"),  # of v1beta1
        ("EC2NodeClass", ("instanceProfileName",), "x"),
        ("ExternalSecret", ("refreshInterval",), "15"),
        ("SecretStore", ("provider", "aws", "role"), 3),
    ],
)
def test_a_wrong_field_of_one_is_found(kind: str, path: tuple[str, ...], value: object) -> None:
    spec = json.loads(json.dumps(of_kind(variant("production"), kind)[0]))
    schema = SERVED[spec["apiVersion"], kind]
    place: Any = spec["spec"]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(spec["spec"])


@pytest.mark.parametrize("name", VARIANTS)
def test_kedas_webhook_would_take_a_scaled_object(name: str) -> None:
    for one in of_kind(variant(name), "ScaledObject"):
        spec = one["spec"]
        names = [trigger["name"] for trigger in spec["triggers"]]
        assert len(names) == len(set(names))
        assert spec["minReplicaCount"] <= spec["maxReplicaCount"]
        assert "idleReplicaCount" not in spec or spec["idleReplicaCount"] < spec["minReplicaCount"]
        if "fallback" in spec:
            assert {trigger["metricType"] for trigger in spec["triggers"]} == {"AverageValue"}


@pytest.mark.parametrize("name", VARIANTS)
def test_karpenter_finds_the_class_of_its_nodes_and_may_set_their_labels(name: str) -> None:
    objects = variant(name)
    classes = {one["metadata"]["name"] for one in of_kind(objects, "EC2NodeClass")}
    for one in of_kind(objects, "NodePool"):
        template = one["spec"]["template"]
        assert template["spec"]["nodeClassRef"]["name"] in classes
        for label in template["metadata"]["labels"]:
            domain = label.partition("/")[0]
            assert not re.search(r"(^|\.)(kubernetes\.io|k8s\.io|karpenter\.sh|karpenter\.k8s\.aws)$", domain), label
        keys = [(need["key"], need["operator"]) for need in template["spec"]["requirements"]]
        assert len(keys) == len(set(keys))


@pytest.mark.parametrize("name", VARIANTS)
def test_restricted_pods_have_volumes_that_are_allowed_and_ask_nothing_of_their_node(name: str) -> None:
    objects = variant(name)
    namespaces = {one["metadata"]["name"] for one in of_kind(objects, "Namespace")}
    for one in workloads(objects):
        if one.namespace not in namespaces:
            continue
        kinds = {kind for volume in one.pod.get("volumes", []) for kind in set(volume) - {"name"}}
        assert kinds <= RESTRICTED_VOLUMES, one
        assert not {"sysctls", "seLinuxOptions", "windowsOptions", "supplementalGroups"} & set(
            one.pod["securityContext"]
        ), one
        for container in one.containers:
            assert not {"seLinuxOptions", "windowsOptions", "seccompProfile"} & set(container["securityContext"]), one
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                assert "host" not in container.get(probe, {}).get("httpGet", {}), one


@pytest.mark.parametrize("name", VARIANTS)
def test_namespaces_are_those_that_are_made_first_and_everything_is_in_one(name: str) -> None:
    """`kubectl apply -k base/namespaces`: a dry run finds nothing in a namespace that is not there."""
    made = {one["metadata"]["name"] for one in rendered(KUBERNETES / "base" / "namespaces")}
    objects = variant(name)
    assert {one["metadata"]["name"] for one in of_kind(objects, "Namespace")} == made
    used = {one["metadata"]["namespace"] for one in objects if "namespace" in one["metadata"]}
    assert used <= made | {"kube-system"}


def test_what_a_release_may_is_said_in_namespaces_that_every_overlay_has() -> None:
    made = {one["metadata"]["name"] for one in rendered(KUBERNETES / "base" / "namespaces")}
    said = {one["metadata"]["namespace"] for one in rendered(KUBERNETES / "deployer") if "namespace" in one["metadata"]}
    assert said <= made | {"kube-system"}


@pytest.mark.parametrize("name", VARIANTS)
def test_no_object_is_larger_than_kubectl_apply_can_keep(name: str) -> None:
    for one in variant(name):
        size = len(json.dumps(one, separators=(",", ":"))) + len(json.dumps(one["metadata"].get("annotations", {})))
        assert size < LAST_APPLIED_BYTES, one["metadata"]["name"]


@pytest.mark.parametrize("name", VARIANTS)
def test_containers_volumes_and_variables_have_names_that_they_may_have(name: str) -> None:
    objects = variant(name)
    for one in workloads(objects):
        for found in (*one.containers, *one.pod.get("volumes", [])):
            assert DNS_LABEL.fullmatch(found["name"]), one
        for container in one.containers:
            assert all(VARIABLE.fullmatch(variable["name"]) for variable in container.get("env", [])), one
            for source in container.get("envFrom", []):
                (settings,) = [
                    found["data"]
                    for found in of_kind(objects, "ConfigMap")
                    if found["metadata"]["name"] == source["configMapRef"]["name"]
                    and found["metadata"]["namespace"] == one.namespace
                ]
                assert all(VARIABLE.fullmatch(key) for key in settings), "the kubelet leaves others out"


@pytest.mark.parametrize("name", VARIANTS)
def test_ports_of_a_policy_are_ranges_that_go_up(name: str) -> None:
    for policy in of_kind(variant(name), "NetworkPolicy"):
        rules = [*policy["spec"].get("ingress", []), *policy["spec"].get("egress", [])]
        for port in [port for rule in rules for port in rule.get("ports", [])]:
            assert port["protocol"] in {"TCP", "UDP"}
            assert isinstance(port["port"], int)
            assert port.get("endPort", port["port"]) >= port["port"]


@pytest.mark.parametrize("name", VARIANTS)
def test_annotations_that_others_parse_can_be_parsed(name: str) -> None:
    objects = variant(name)
    for ingress in of_kind(objects, "Ingress"):
        said = ingress["metadata"]["annotations"]
        prefix = "alb.ingress.kubernetes.io/"
        for key in ("listen-ports", "actions.hidden"):
            assert json.loads(said[prefix + key])
        for key in ("load-balancer-attributes", "target-group-attributes"):
            for pair in said[prefix + key].split(","):
                assert re.fullmatch(r"[a-z_.]+=[a-z0-9_-]+", pair), pair
        for key in ("healthcheck-interval-seconds", "healthcheck-timeout-seconds", "healthy-threshold-count"):
            assert said[prefix + key].isdecimal()
    for account in of_kind(objects, "ServiceAccount"):
        role = account["metadata"].get("annotations", {}).get("eks.amazonaws.com/role-arn")
        assert role is None or re.fullmatch(r"arn:aws:iam::\d{12}:role/[\w+=,.@/-]{1,128}", role)


def test_with_pod_identity_no_account_names_a_role() -> None:
    accounts = of_kind(variant("base+pod-identity"), "ServiceAccount")
    assert accounts
    assert not [one for one in accounts if "eks.amazonaws.com/role-arn" in one["metadata"].get("annotations", {})]


@pytest.mark.parametrize("name", VARIANTS)
def test_no_value_is_the_word_that_a_patch_meant_as_nothing(name: str) -> None:
    def words(found: object, where: str) -> None:
        assert not isinstance(found, str) or found not in {"null", "Null", "NULL", "~"}, where
        pairs = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
        for key, value in pairs:
            words(value, f"{where}.{key}")

    for one in variant(name):
        words({key: value for key, value in one.items() if key != "data"}, f"{one['kind']}/{one['metadata']['name']}")


@pytest.mark.parametrize("name", VARIANTS)
def test_a_stateful_set_is_behind_its_own_service_and_makes_its_own_volumes(name: str) -> None:
    objects = variant(name)
    headless = {
        (one["metadata"]["namespace"], one["metadata"]["name"])
        for one in of_kind(objects, "Service")
        if one["spec"].get("clusterIP") == "None"
    }
    for one in of_kind(objects, "StatefulSet"):
        assert (one["metadata"]["namespace"], one["spec"]["serviceName"]) in headless
        for claim in one["spec"].get("volumeClaimTemplates", []):
            assert set(claim["spec"]["accessModes"]) <= {"ReadWriteOnce", "ReadWriteOncePod"}


def test_kustomizations_use_todays_fields_and_kustomize_says_nothing_about_them() -> None:
    for path in sorted(KUBERNETES.rglob("kustomization.yaml")):
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert set(found) <= KUSTOMIZE, path
        assert (
            found["apiVersion"]
            == f"kustomize.config.k8s.io/{'v1alpha1' if found['kind'] == 'Component' else 'v1beta1'}"
        )
    for name in ("dev", "staging", "production"):
        done = subprocess.run(
            ["kubectl", "kustomize", KUBERNETES / "overlays" / name], check=True, capture_output=True, text=True
        )
        assert done.stderr == ""
