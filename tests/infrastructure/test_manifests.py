"""What schemas do not say of the objects: that names meet, that pods are restricted, that nothing is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from support.rendered import VARIANTS, Object, Workload, of_kind, selects, variant, workloads

NODE_AGENTS = {"nvidia-device-plugin", "dcgm-exporter", "atrium-fluent-bit"}
"""They read or serve their node, which no restricted namespace gives: in kube-system, and named here one by one."""
MADE_BY_HAND = {
    "atrium-router": {"DATABASE_URL", "REDIS_URL", "SERVICE_SIGNING_KEY"},
    "atrium-orchestrator": {"SERVICE_VERIFY_KEYS"},
    "atrium-rag": {"DATABASE_URL", "SERVICE_VERIFY_KEYS"},
    "atrium-migrations": {"MIGRATION_DATABASE_URL"},
    "atrium-sealing": {"SEALING_KEYS"},
    "atrium-stores": {"POSTGRES_PASSWORD", "VALKEY_PASSWORD"},
}
"""Secrets, where components/external-secrets does not make them (README.md)."""
NAMED_BY_OVERLAYS = {"atrium-router", "atrium-orchestrator", "atrium-rag", "vllm-openai-canary"}
ON_ONE_MACHINE = "local"
"""The overlay that has stores, and makes its own secrets."""
USERS = {"postgres": 999}
"""Whose image has files of a user of its own; all others are 10001."""
ASKED_BY_COMMAND = {"postgres", "valkey"}
"""They speak no HTTP."""
OF_THE_CLUSTER = {"system-node-critical", "system-cluster-critical"}

pytestmark = pytest.mark.parametrize("name", VARIANTS)


def restricted(objects: tuple[Object, ...]) -> list[Workload]:
    return [one for one in workloads(objects) if one.name not in NODE_AGENTS]


def containers(objects: tuple[Object, ...]) -> Iterator[tuple[str, Workload, Mapping[str, Any]]]:
    for one in workloads(objects):
        for container in one.containers:
            yield f"{one}/{container['name']}", one, container


def test_every_namespace_is_restricted_and_no_pod_is_elsewhere(name: str) -> None:
    objects = variant(name)
    enforced = {
        found["metadata"]["name"]: found["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        for found in of_kind(objects, "Namespace")
    }
    assert set(enforced.values()) == {"restricted"}
    assert {one.namespace for one in restricted(objects)} <= set(enforced)
    assert {one.namespace for one in workloads(objects) if one.name in NODE_AGENTS} <= {"kube-system"}


def test_every_pod_is_what_the_restricted_profile_asks_for(name: str) -> None:
    for one in restricted(variant(name)):
        spec = one.pod["securityContext"]
        assert (spec["runAsNonRoot"], spec["runAsUser"]) == (True, USERS.get(one.name, 10001)), one
        assert spec["seccompProfile"] == {"type": "RuntimeDefault"}, one
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(one.pod), one
        assert not [volume for volume in one.pod.get("volumes", []) if "hostPath" in volume], one
        for container in one.containers:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, one
            assert context["readOnlyRootFilesystem"] is True, one
            assert context["capabilities"] == {"drop": ["ALL"]}, one
            assert not {"privileged", "runAsUser", "procMount"} & set(context), one
            assert not [port for port in container.get("ports", []) if "hostPort" in port], one


def test_a_node_agent_is_no_more_than_it_must_be(name: str) -> None:
    for one in workloads(variant(name)):
        for container in one.containers if one.name in NODE_AGENTS else []:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"]["drop"] == ["ALL"]
            assert set(context["capabilities"].get("add", [])) <= {"SYS_ADMIN"}


def test_no_pod_has_a_token_of_the_api_server_but_those_that_talk_to_it(name: str) -> None:
    objects = variant(name)
    assert all(found["automountServiceAccountToken"] is False for found in of_kind(objects, "ServiceAccount"))
    holders = {one.name for one in workloads(objects) if one.pod.get("automountServiceAccountToken") is not False}
    assert holders <= {"adot", "orchestrator"}
    bound = {subject["name"] for found in of_kind(objects, "RoleBinding") for subject in found["subjects"]}
    assert holders == bound
    assert not of_kind(objects, "ClusterRole", "ClusterRoleBinding")
    rules = [rule for found in of_kind(objects, "Role") for rule in found["rules"]]
    assert all(set(rule["verbs"]) <= {"get", "list", "watch"} for rule in rules)
    assert all(set(rule["resources"]) <= {"endpointslices", "pods"} for rule in rules)


def test_selectors_select_their_own_pods_and_no_others(name: str) -> None:
    objects = variant(name)
    made = workloads(objects)
    for one in made:
        if one.kind == "Job":
            continue
        found = [
            other.name
            for other in made
            if other.namespace == one.namespace and selects(one.source["spec"]["selector"], other.labels)
        ]
        assert found == [one.name]


def test_every_service_has_pods_with_its_port(name: str) -> None:
    objects = variant(name)
    for service in of_kind(objects, "Service"):
        selector = {"matchLabels": service["spec"]["selector"]}
        behind = [
            one
            for one in workloads(objects)
            if one.namespace == service["metadata"]["namespace"] and selects(selector, one.labels)
        ]
        assert behind, service["metadata"]["name"]
        for one in behind:
            ports = {
                port["name"]: port["containerPort"]
                for container in one.containers
                for port in container.get("ports", [])
            }
            assert all(ports[port["targetPort"]] == port["port"] for port in service["spec"]["ports"]), one


def test_every_ingress_leads_to_a_service_and_hides_what_is_not_for_the_public(name: str) -> None:
    objects = variant(name)
    for ingress in of_kind(objects, "Ingress"):
        annotations = ingress["metadata"]["annotations"]
        (rule,) = ingress["spec"]["rules"]
        backends = {path["path"]: path["backend"]["service"] for path in rule["http"]["paths"]}
        assert backends["/"] == {"name": "router", "port": {"name": "http"}}
        assert backends["/metrics"] == backends["/readyz"] == {"name": "hidden", "port": {"name": "use-annotation"}}
        assert "alb.ingress.kubernetes.io/actions.hidden" in annotations
        for wanted in ("certificate-arn", "wafv2-acl-arn", "ssl-policy", "ssl-redirect"):
            assert annotations[f"alb.ingress.kubernetes.io/{wanted}"]


def test_every_image_is_of_a_version(name: str) -> None:
    for where, one, container in containers(variant(name)):
        image = container["image"]
        if name.startswith("base+") and image in NAMED_BY_OVERLAYS:
            continue
        assert re.search(r"(@sha256:[0-9a-f]{64}|:[A-Za-z0-9._-]+)$", image), where
        assert not image.endswith(":latest"), where
        if name == "production" and one.namespace in {"atrium", "atrium-engine"}:
            assert "@sha256:" in image, where


def test_every_container_says_what_it_needs_and_may_have(name: str) -> None:
    for where, _, container in containers(variant(name)):
        resources = container["resources"]
        for what in ("cpu", "memory"):
            assert what in resources["requests"], where
            assert what in resources["limits"], where


def test_what_has_a_gpu_has_what_it_asked_for_of_everything(name: str) -> None:
    for where, one, container in containers(variant(name)):
        if "nvidia.com/gpu" in container["resources"].get("limits", {}):
            assert container["resources"]["requests"] == container["resources"]["limits"], where
            assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in one.pod["tolerations"]


def test_what_serves_is_probed_on_a_port_that_it_has(name: str) -> None:
    for where, one, container in containers(variant(name)):
        if one.kind == "Job" or container in one.pod.get("initContainers", []) or not container.get("ports"):
            continue
        ports = {port["name"] for port in container["ports"]}
        for probe in ("readinessProbe", "livenessProbe", *(["startupProbe"] if one.kind != "DaemonSet" else [])):
            if one.name in ASKED_BY_COMMAND:
                assert container[probe]["exec"]["command"], f"{where} {probe}"
                continue
            assert container[probe]["httpGet"]["port"] in ports, f"{where} {probe}"


def test_every_deployment_has_one_budget_that_protects_it_and_lets_a_node_be_drained(name: str) -> None:
    objects = variant(name)
    budgets = of_kind(objects, "PodDisruptionBudget")
    for one in workloads(objects):
        mine = [
            budget["spec"]
            for budget in budgets
            if budget["metadata"]["namespace"] == one.namespace and selects(budget["spec"]["selector"], one.labels)
        ]
        if one.kind == "Deployment":
            assert [(spec.get("maxUnavailable"), spec.get("minAvailable")) for spec in mine] == [(1, None)], one


def test_every_workload_is_under_a_policy_of_its_own(name: str) -> None:
    objects = variant(name)
    policies = of_kind(objects, "NetworkPolicy")
    for one in workloads(objects):
        mine = [
            policy["spec"]
            for policy in policies
            if policy["metadata"]["namespace"] == one.namespace
            and policy["spec"]["podSelector"]
            and selects(policy["spec"]["podSelector"], one.labels)
        ]
        assert {"Ingress", "Egress"} <= {direction for spec in mine for direction in spec["policyTypes"]}, one
    for namespace in of_kind(objects, "Namespace"):
        assert [
            policy
            for policy in policies
            if policy["metadata"]["namespace"] == namespace["metadata"]["name"]
            and policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
        ], namespace["metadata"]["name"]


def test_every_policy_selects_something(name: str) -> None:
    objects = variant(name)
    for policy in of_kind(objects, "NetworkPolicy"):
        namespace = policy["metadata"]["namespace"]
        if policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}:
            continue  # also of a namespace that is empty without its component
        assert any(
            one.namespace == namespace and selects(policy["spec"]["podSelector"], one.labels)
            for one in workloads(objects)
        ), policy["metadata"]["name"]


def test_what_a_pod_names_exists(name: str) -> None:
    objects = variant(name)
    there = {(found["kind"], found["metadata"].get("namespace", ""), found["metadata"]["name"]) for found in objects}
    secrets = {found["spec"]["target"]["name"] for found in of_kind(objects, "ExternalSecret")} or set(MADE_BY_HAND)
    for one in workloads(objects):
        if account := one.pod.get("serviceAccountName"):
            assert ("ServiceAccount", one.namespace, account) in there, one
        priority = one.pod.get("priorityClassName")
        assert priority is None or priority in OF_THE_CLUSTER or ("PriorityClass", "", priority) in there, one
        volumes = {volume["name"]: volume for volume in one.pod.get("volumes", [])}
        for volume in volumes.values():
            if "configMap" in volume:
                assert ("ConfigMap", one.namespace, volume["configMap"]["name"]) in there, one
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                assert ("PersistentVolumeClaim", one.namespace, claim) in there, one
            assert "emptyDir" not in volume or "sizeLimit" in volume["emptyDir"], one
        used = {mount["name"] for container in one.containers for mount in container.get("volumeMounts", [])}
        claims = {found["metadata"]["name"] for found in one.source["spec"].get("volumeClaimTemplates", [])}
        assert used == set(volumes) | claims, one
        if one.kind == "StatefulSet":
            assert ("Service", one.namespace, one.source["spec"]["serviceName"]) in there, one
        for container in one.containers:
            for source in container.get("envFrom", []):
                assert ("ConfigMap", one.namespace, source["configMapRef"]["name"]) in there, one
            for variable in container.get("env", []):
                if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                    assert reference["name"] in secrets, one
                    needed = MADE_BY_HAND[reference["name"]]
                    assert reference.get("optional") or reference["key"] in needed, one


def test_what_scales_something_scales_what_is_there_and_sets_its_own_number(name: str) -> None:
    objects = variant(name)
    deployments = {
        (found["metadata"]["namespace"], found["metadata"]["name"]): found for found in of_kind(objects, "Deployment")
    }
    scaled = []
    for scaler in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject"):
        target = (scaler["metadata"]["namespace"], scaler["spec"]["scaleTargetRef"]["name"])
        assert "replicas" not in deployments[target]["spec"], target
        scaled.append(target)
        low, high = (scaler["spec"].get(f"{bound}Replica{suffix}") for bound, suffix in _bounds(scaler))
        assert low <= high, target
    assert len(scaled) == len(set(scaled)), "two would fight"


def _bounds(scaler: Object) -> tuple[tuple[str, str], tuple[str, str]]:
    suffix = "s" if scaler["kind"] == "HorizontalPodAutoscaler" else "Count"
    return ("min", suffix), ("max", suffix)


def test_nothing_is_a_secret_in_a_config_map(name: str) -> None:
    objects = variant(name)
    assert name == ON_ONE_MACHINE or not of_kind(objects, "Secret")
    for found in of_kind(objects, "ConfigMap"):
        for key, value in found["data"].items():
            assert not re.search(r"(?i)(password|secret|token|api_key|signing_key|database_url|redis_url)$", key), key
            assert not re.search(r"AKIA[0-9A-Z]{16}|-----BEGIN|://[^/\s]*:[^/\s]*@", str(value)), key


def test_every_object_but_those_of_the_cluster_says_its_namespace(name: str) -> None:
    whole = {"Namespace", "PriorityClass", "NodePool", "EC2NodeClass"}
    for found in variant(name):
        assert ("namespace" in found["metadata"]) != (found["kind"] in whole), found["metadata"]["name"]


def test_no_two_objects_are_the_same(name: str) -> None:
    found = [(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in variant(name)]
    assert len(found) == len(set(found))


def test_spread_over_zones(name: str) -> None:
    for one in workloads(variant(name)):
        if one.kind != "Deployment" or one.name == "adot":
            continue
        zones = [
            spread
            for spread in one.pod["topologySpreadConstraints"]
            if spread["topologyKey"] == "topology.kubernetes.io/zone"
        ]
        assert len(zones) == 1, one
        assert selects(zones[0]["labelSelector"], one.labels), one
        if name == "production" and one.name in {"router", "orchestrator", "rag"}:
            assert zones[0]["whenUnsatisfiable"] == "DoNotSchedule"


def test_every_variant_has_all_of_the_base(name: str) -> None:
    found = {(one["kind"], one["metadata"]["name"]) for one in variant(name)}
    assert {("Deployment", one) for one in ("router", "orchestrator", "rag", "vllm")} <= found
    assert name in {"dev", ON_ONE_MACHINE} or ("Ingress", "router") in found
