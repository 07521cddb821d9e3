"""GitHub's workflows may do what they do, in AWS and in the cluster, and nothing else; and each knows its own role."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from support.iam import Request, Statement, allows, many
from support.rendered import KUBERNETES, ROOT, Object, of_kind, overlay, rendered
from support.terraform import Terraform

ISSUER = "token.actions.githubusercontent.com"
PROVIDER = f"arn:aws:iam::123456789012:oidc-provider/{ISSUER}"
IMAGES = "arn:aws:ecr:us-east-1:123456789012:repository"
CLUSTER = "arn:aws:eks:us-east-1:123456789012:cluster"
ROLES = {
    "push": "registry", "pull": "registry-read",
    "deploy-staging": "staging", "deploy-canary": "canary", "deploy-production": "production",
}  # fmt: skip
READS = {"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:DescribeImages", "ecr:GetDownloadUrlForLayer"}
WRITES = {"ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage"}
DEPLOYER = "atrium-deployer"
OF_A_RELEASE = {
    ("", "pods"): {"list", "watch"}, ("", "pods/log"): {"get"}, ("apps", "replicasets"): {"list", "watch"},
    ("apps", "deployments"): {"list", "watch", "patch"}, ("batch", "jobs"): {"list", "watch"},
}  # fmt: skip
"""What .ci/release asks beside `apply`: rollout status, pause, resume and undo; the migrations' Job and its log."""


@dataclass(frozen=True)
class Planned:
    policies: Mapping[str, Sequence[Statement]]
    trusts: Mapping[str, Sequence[Statement]]

    def may(self, role: str, action: str, resource: str) -> bool:
        return allows(self.policies[role], Request(action, resource))


@pytest.fixture(scope="module")
def planned(terraform: Terraform) -> Planned:
    root = terraform.tree / "tests" / "delivery"
    done = terraform.init(root)
    for command in (("plan", "-out=made.tfplan"), ("show", "-json", "made.tfplan")):
        assert done.passed, done.said
        done = terraform.run(root, *command)
    assert done.passed, done.said
    return _read(json.loads(done.said[done.said.index("{") :])["planned_values"])


def _read(values: Mapping[str, Any]) -> Planned:
    (module,) = values["root_module"]["child_modules"]
    found = {
        kind: {one["index"]: one["values"] for one in module["resources"] if one["type"] == kind}
        for kind in ("aws_iam_role", "aws_iam_role_policy")
    }
    return Planned(
        {role: json.loads(one["policy"])["Statement"] for role, one in found["aws_iam_role_policy"].items()},
        {role: json.loads(one["assume_role_policy"])["Statement"] for role, one in found["aws_iam_role"].items()},
    )


@pytest.mark.slow
def test_each_environment_of_the_repository_and_nobody_else_gets_its_role(planned: Planned) -> None:
    assert set(planned.trusts) == set(ROLES)
    subjects = {role: f"repo:example/atrium:environment:{environment}" for role, environment in ROLES.items()}
    others = (
        "repo:example/atrium:ref:refs/heads/main", "repo:example/atrium:pull_request",
        "repo:example/atrium-fork:environment:registry", "repo:other/atrium:environment:registry",
        "repo:example/atrium:environment:registry-readers",
    )  # fmt: skip
    for role in ROLES:
        for subject in (*subjects.values(), *others):
            token = {f"{ISSUER}:sub": subject, f"{ISSUER}:aud": "sts.amazonaws.com"}
            assert _becomes(planned, role, token) == (subject == subjects[role]), (role, subject)
        token = {f"{ISSUER}:sub": subjects[role], f"{ISSUER}:aud": "sts.amazonaws.com"}
        for left_out in token:
            assert not _becomes(planned, role, {name: value for name, value in token.items() if name != left_out})
        assert not _becomes(planned, role, token | {f"{ISSUER}:aud": "https://github.com/example"})


def _becomes(planned: Planned, role: str, token: Mapping[str, str]) -> bool:
    return allows(planned.trusts[role], Request("sts:AssumeRoleWithWebIdentity", "*", token, PROVIDER))


@pytest.mark.slow
def test_images_are_pushed_by_one_role_and_read_by_another(planned: Planned) -> None:
    for name in ("atrium-router", "atrium-orchestrator", "atrium-rag", "vllm-openai"):
        for action in READS | WRITES:
            may = {role for role in ROLES if planned.may(role, action, f"{IMAGES}/{name}")}
            assert may == ({"push", "pull"} if action in READS else {"push"}), action
    for action in READS | WRITES:
        assert not [role for role in ROLES if planned.may(role, action, f"{IMAGES}/other")], action
    for role in ROLES:
        assert planned.may(role, "ecr:GetAuthorizationToken", "*") == (role in {"push", "pull"})
        for action in ("ecr:BatchDeleteImage", "ecr:DeleteRepository", "ecr:PutImageTagMutability"):
            assert not planned.may(role, action, f"{IMAGES}/atrium-router")


@pytest.mark.slow
def test_who_deploys_finds_its_cluster_sees_alarms_and_has_no_other_right(planned: Planned) -> None:
    for role in ROLES:
        deploys = role.startswith("deploy-")
        assert planned.may(role, "eks:DescribeCluster", f"{CLUSTER}/atrium-test") == deploys
        assert planned.may(role, "cloudwatch:DescribeAlarms", "*") == deploys
        assert not planned.may(role, "eks:DescribeCluster", f"{CLUSTER}/other")
        said = {action for statement in planned.policies[role] for action in many(statement["Action"])}
        known = (
            {"eks:DescribeCluster", "cloudwatch:DescribeAlarms"} if deploys else {"ecr:GetAuthorizationToken"} | READS
        )
        assert said == known | (WRITES if role == "push" else set()), role


def test_every_variable_of_the_workflows_comes_from_terraform() -> None:
    """TORCH_INDEX_URL is no matter of AWS."""
    outputs = (ROOT / "infrastructure/terraform/modules/delivery/outputs.tf").read_text("utf-8")
    made = set(re.findall(r"\b([A-Z_]{3,}) += ", outputs))
    for name in ("images", "deploy"):
        workflow = (ROOT / f".github/workflows/{name}.yml").read_text("utf-8")
        asked = set(re.findall(r"\bvars\.([A-Z_]+)", workflow))
        assert asked - {"TORCH_INDEX_URL"} <= made, name
        environments = set(re.findall(r"^    environment: (\S+)$", workflow, re.MULTILINE))
        assert environments <= set(ROLES.values()), name


def rules(namespace: str) -> list[Object]:
    """What RBAC lets the deployer do in a namespace, or, in `""`, in the cluster."""
    found = rendered(KUBERNETES / "deployer")
    roles = {(one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]): one for one in found}
    kinds = {"": ("ClusterRoleBinding",)}.get(namespace, ("ClusterRoleBinding", "RoleBinding"))
    said: list[Object] = []
    for binding in of_kind(found, *kinds):
        if binding["kind"] == "RoleBinding" and binding["metadata"]["namespace"] != namespace:
            continue
        assert [(one["kind"], one["name"]) for one in binding["subjects"]] == [("Group", DEPLOYER)]
        ref = binding["roleRef"]
        of = binding["metadata"]["namespace"] if ref["kind"] == "Role" else ""
        said += roles[ref["kind"], of, ref["name"]]["rules"]
    return said


def may(namespace: str, group: str, resource: str, verb: str, name: str = "any") -> bool:
    return any(
        group in rule["apiGroups"] and resource in rule["resources"] and verb in rule["verbs"]
        and name in rule.get("resourceNames", [name])
        for rule in rules(namespace)
    )  # fmt: skip


def resource_of(found: Object) -> tuple[str, str]:
    group = found["apiVersion"].rpartition("/")[0]
    kind = found["kind"].lower()
    plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}es" if kind.endswith("s") else f"{kind}s"
    return group, plural


CHANGED = ("atrium", "atrium-engine", "atrium-telemetry")
GIVES_RIGHTS = {"Role", "RoleBinding"}


@pytest.mark.parametrize("name", ["staging", "production"])
def test_a_release_applies_its_overlay_and_leaves_what_is_the_clusters(name: str) -> None:
    for one in overlay(name):
        namespace = one["metadata"].get("namespace", "")
        changes = namespace in CHANGED and one["kind"] not in GIVES_RIGHTS
        for verb in ("get", "create", "patch"):
            wanted = verb == "get" or changes
            assert may(namespace, *resource_of(one), verb) == wanted, (namespace, one["kind"], verb)


def test_a_release_can_be_watched_and_taken_back() -> None:
    for (group, resource), verbs in OF_A_RELEASE.items():
        assert all(may("atrium", group, resource, verb) for verb in verbs), resource
    assert may("atrium", "batch", "jobs", "delete", "atrium-migrate")


def test_a_deployer_reads_no_secret_deletes_nothing_else_and_gives_no_right() -> None:
    for namespace in ("", *CHANGED, "kube-system"):
        for rule in rules(namespace):
            assert not {"*", "secrets", "pods/exec", "serviceaccounts/token"} & {*rule["resources"], *rule["verbs"]}
            assert not {"bind", "escalate", "impersonate"} & set(rule["verbs"])
            assert "delete" not in rule["verbs"] or rule["resourceNames"] == ["atrium-migrate"]
            if "rbac.authorization.k8s.io" in rule["apiGroups"] or namespace in {"", "kube-system"}:
                assert rule["verbs"] == ["get"]
    assert not [rule for rule in rules("other") if set(rule["verbs"]) != {"get"}]


def test_the_group_is_the_one_that_terraform_names() -> None:
    text = (ROOT / "infrastructure/terraform/modules/delivery/variables.tf").read_text("utf-8")
    assert re.search(rf'variable "kubernetes_group" {{[^}}]*default += "{DEPLOYER}"', text)
