"""What Terraform prints for the manifests fits them: nothing of the overlays' made-up account is left."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from support.rendered import KUBERNETES, Object, identity, of_kind, rendered
from support.terraform import Terraform

pytestmark = pytest.mark.slow

ROLES = ("router", "orchestrator", "rag", "vllm", "secrets-reader", "atrium-fluent-bit", "adot")
ACCOUNT = "arn:aws:iam::111122223333:role"
REPOSITORIES = ("atrium-router", "atrium-orchestrator", "atrium-rag", "vllm-openai")
VALUES = {
    "environment": "production", "region": "eu-central-1", "cluster": "atrium-production", "domain": "chat.example.org",
    "model": "some-model", "objects_bucket": "own-objects", "models_bucket": "own-models",
    "repository_urls": {name: f"111122223333.dkr.ecr.eu-central-1.amazonaws.com/{name}" for name in REPOSITORIES},
    "service_account_roles": {name: f"{ACCOUNT}/own-{name}" for name in ROLES},
    "tenant_role_arns": {"router": f"{ACCOUNT}/own-tenant-router", "rag": f"{ACCOUNT}/own-tenant-rag"},
    "karpenter_node_role": "atrium-production-karpenter-node",
    "certificate_arn": "arn:aws:acm:eu-central-1:111122223333:certificate/own",
    "web_acl_arn": "arn:aws:wafv2:eu-central-1:111122223333:regional/webacl/own/1",
    "prometheus_endpoint": "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-own/",
}  # fmt: skip


def filled(terraform: Terraform, folder: Path, template: str, overlay: str, to: str) -> tuple[Object, ...]:
    """The manifests as `kubectl apply -k` of what the environment prints would have them."""
    printer = terraform.tree.parent / f"print-{to.replace('/', '-')}"
    printer.mkdir()
    (printer / "values.json").write_text(json.dumps(VALUES | {"overlay": overlay}))
    call = f'templatefile("../terraform/templates/{template}.yaml.tftpl", jsondecode(file("values.json")))'
    (printer / "main.tf").write_text(f'output "text" {{\n  value = {call}\n}}\n')
    for command in (("init",), ("apply", "-auto-approve")):
        done = terraform.run(printer, *command)
        assert done.passed, done.said
    state = json.loads((printer / "terraform.tfstate").read_text())
    kubernetes = folder / "kubernetes"
    shutil.copytree(KUBERNETES, kubernetes)
    made = kubernetes / "accounts" / to
    made.mkdir(parents=True)
    (made / "kustomization.yaml").write_text(state["outputs"]["text"]["value"])
    return rendered(made)


@pytest.mark.parametrize("overlay", ["staging", "production"])
def test_the_account_is_filled_in_everywhere(terraform: Terraform, tmp_path: Path, overlay: str) -> None:
    objects = filled(terraform, tmp_path, "kustomization", overlay, overlay)
    text = yaml.safe_dump_all(objects)
    text = re.sub(r"sha256:0{64}", "", text)  # the release's, not the account's
    assert "0" * 12 not in text
    assert "us-east-1" not in text.replace("registry.k8s.io", "")
    assert "example.com" not in text
    assert "karpenter.sh/discovery: atrium-production" in text
    before = {identity(one)[0::2] for one in rendered(KUBERNETES / "overlays" / overlay) if one["kind"] != "ConfigMap"}
    assert {identity(one)[0::2] for one in objects if one["kind"] != "ConfigMap"} == before


def test_each_service_account_has_its_own_role(terraform: Terraform, tmp_path: Path) -> None:
    objects = filled(terraform, tmp_path, "kustomization", "production", "own-roles")
    roles = {
        one["metadata"]["name"]: one["metadata"]["annotations"]["eks.amazonaws.com/role-arn"]
        for one in of_kind(objects, "ServiceAccount")
        if "eks.amazonaws.com/role-arn" in one["metadata"].get("annotations", {})
    }
    assert roles == VALUES["service_account_roles"]


def test_the_migrations_run_the_accounts_image(terraform: Terraform, tmp_path: Path) -> None:
    (job,) = of_kind(filled(terraform, tmp_path, "migrations", "production", "production/migrations"), "Job")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["image"].startswith("111122223333.dkr.ecr.eu-central-1.amazonaws.com/atrium-router@sha256:")
