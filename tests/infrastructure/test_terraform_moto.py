"""What the modules of the cluster ask of AWS is asked of moto, an imitation of its API: made, looked at, destroyed."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest

from support.s3 import running_s3
from support.terraform import Terraform

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.usefixtures("aws")
def test_network_cluster_nodes_registry_and_edge_are_made_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
    monkeypatch.setenv("MOTO_ACM_VALIDATION_WAIT", "1")
    terraform = Terraform(tmp_path)
    folder = terraform.copy("applied") / "tests" / "moto"
    with running_s3(tmp_path / "moto.log") as endpoint:
        made = terraform.init(folder)
        assert made.passed, made.said
        applied = terraform.run(folder, "test", f"-var=endpoint={endpoint}")
        assert applied.passed, applied.said
        left = {
            "vpcs": boto3.client("ec2", endpoint_url=endpoint).describe_vpcs(
                Filters=[{"Name": "is-default", "Values": ["false"]}]
            )["Vpcs"],
            "roles": boto3.client("iam", endpoint_url=endpoint).list_roles()["Roles"],
            "clusters": boto3.client("eks", endpoint_url=endpoint).list_clusters()["clusters"],
            "repositories": boto3.client("ecr", endpoint_url=endpoint).describe_repositories()["repositories"],
            "web ACLs": boto3.client("wafv2", endpoint_url=endpoint).list_web_acls(Scope="REGIONAL")["WebACLs"],
            "log groups": boto3.client("logs", endpoint_url=endpoint).describe_log_groups()["logGroups"],
            "queues": boto3.client("sqs", endpoint_url=endpoint).list_queues().get("QueueUrls", []),
        }
        assert not any(left.values()), left
