"""The nodes fit what runs on them: enough CPU for the overlay and its rollout, a driver for the engine's CUDA."""

from __future__ import annotations

import math
import re

import pytest

from support.rendered import Object, Workload, of_kind, overlay, workloads
from support.terraform import TERRAFORM

MILLICORES = {"m7i.large": 1930, "m7i.xlarge": 3920, "m7i.2xlarge": 7910}
"""What EKS' AMI leaves of them to pods."""
SYSTEM_A_NODE = 250
"""vpc-cni 50, kube-proxy 100, EBS' driver 30, Fluent Bit 50."""
SYSTEM = 1100
"""CoreDNS 200, metrics-server 200, EBS' controllers 120, KEDA 300, Prometheus 250; the other charts ask for nothing."""


def millicores(text: str) -> int:
    return int(text[:-1]) if text.endswith("m") else int(float(text) * 1000)


def pods(workload: Workload, objects: tuple[Object, ...]) -> int:
    """As few as its autoscaler leaves, and what a rollout starts beside them (maxSurge 25 %)."""
    scaled = [one["spec"] for one in of_kind(objects, "HorizontalPodAutoscaler")]
    least = [one["minReplicas"] for one in scaled if one["scaleTargetRef"]["name"] == workload.name]
    steady = int(least[0] if least else workload.source["spec"]["replicas"])
    surge = workload.source["spec"].get("strategy", {}).get("rollingUpdate", {}).get("maxSurge", "0%")
    return steady + math.ceil(steady * int(surge.rstrip("%")) / 100)


@pytest.mark.parametrize("environment", ["dev", "production"])
def test_the_nodes_hold_all_pods_and_a_rollout(environment: str) -> None:
    text = (TERRAFORM / "environments" / environment / "main.tf").read_text("utf-8")
    (name,) = re.findall(r'^  overlay +=\s"(\w+)"', text, re.MULTILINE)
    (kind,) = re.findall(r'instance_types = \["([^"]+)"', text)
    (nodes,) = map(int, re.findall(r"desired_size += (\d+)", text))
    objects = overlay(name)
    asked = sum(
        pods(one, objects) * millicores(container["resources"]["requests"]["cpu"])
        for one in workloads(objects)
        if one.kind == "Deployment" and one.namespace != "atrium-engine"
        for container in one.pod["containers"]
    )
    assert asked + SYSTEM <= nodes * (MILLICORES[kind] - SYSTEM_A_NODE)


def test_the_gpu_nodes_driver_is_new_enough_for_the_engines_cuda() -> None:
    """CUDA 13 wants NVIDIA's driver 580: awslabs/amazon-eks-ami has it for every version since November 2025."""
    (node_class,) = of_kind(overlay("production"), "EC2NodeClass")
    (term,) = node_class["spec"]["amiSelectorTerms"]
    family, _, release = term["alias"].partition("@v")
    assert family == "al2023"
    assert int(release) >= 20251115
