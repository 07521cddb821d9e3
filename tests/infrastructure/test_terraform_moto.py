"""What the modules of the cluster ask of AWS is asked of moto, an imitation of its API: made, looked at, destroyed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest

from support.s3 import running_s3
from support.terraform import Outcome, Terraform

REPEATED = "AlreadyExists"
"""What moto says where the provider repeats a call whose answer it did not get: seen once, on a busy machine. Modules
that ask for a thing twice are told so each time."""


def apply(terraform: Terraform, folder: Path) -> tuple[Outcome, dict[str, Any]]:
    """How it went, and what was left."""
    done, left_over = _applied(terraform, folder)
    return _applied(terraform, folder) if REPEATED in done.said and not done.passed else (done, left_over)


def _applied(terraform: Terraform, folder: Path) -> tuple[Outcome, dict[str, Any]]:
    root = terraform.tree / "tests" / "moto"
    settings = {"MOTO_IAM_LOAD_MANAGED_POLICIES": "true", "MOTO_ACM_VALIDATION_WAIT": "1"}
    with running_s3(folder / "moto.log", **settings) as endpoint, terraform.attached() as attached:
        done = attached.init(root)
        if done.passed:
            done = attached.run(root, "test", f"-var=endpoint={endpoint}")
        return done, left(endpoint)


def left(endpoint: str) -> dict[str, Any]:
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")

    def of(service: str) -> Any:
        return session.client(service, endpoint_url=endpoint)

    ours = [{"Name": "is-default", "Values": ["false"]}]
    return {
        "vpcs": of("ec2").describe_vpcs(Filters=ours)["Vpcs"],
        "roles": of("iam").list_roles()["Roles"],
        "clusters": of("eks").list_clusters()["clusters"],
        "repositories": of("ecr").describe_repositories()["repositories"],
        "web ACLs": of("wafv2").list_web_acls(Scope="REGIONAL")["WebACLs"],
        "log groups": of("logs").describe_log_groups()["logGroups"],
        "queues": of("sqs").list_queues().get("QueueUrls", []),
    }


pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.ahead(apply, first=True)]


def test_network_cluster_nodes_registry_and_edge_are_made_and_leave_nothing(
    outcome: tuple[Outcome, dict[str, Any]],
) -> None:
    done, left_over = outcome
    assert done.passed, done.said
    assert not any(left_over.values()), left_over
