"""The engines that are not the pool's own are like it but for what makes them another."""

from __future__ import annotations

import copy
from typing import Any

from support.rendered import BASE, KUBERNETES, Object, of_kind, with_components, workload

POOL, TRACK = "atrium.dev/pool", "atrium.dev/track"


def without(source: Any, *names: str) -> Any:
    """The object less these labels, wherever it has them."""
    if isinstance(source, dict):
        return {key: without(value, *names) for key, value in source.items() if key not in names}
    return [without(one, *names) for one in source] if isinstance(source, list) else source


def like(one: Object, *, labels: tuple[str, ...]) -> Object:
    plain: Object = without(copy.deepcopy(one), "app.kubernetes.io/part-of", *labels)
    plain["metadata"].pop("name")
    for key in ("replicas", "strategy"):
        plain["spec"].pop(key, None)
    pod = plain["spec"]["template"]["spec"]
    pod["nodeSelector"].pop("atrium.dev/tenant", None)
    pod["tolerations"] = [one for one in pod["tolerations"] if one["key"] == "nvidia.com/gpu"]
    for container in (*pod["initContainers"], *pod["containers"]):
        container.pop("image")
    return plain


def test_a_silo_is_the_engine_of_the_pool_on_nodes_of_its_own() -> None:
    objects = with_components("gpu-nodes", "siloed-tenant")
    pool, silo = workload(objects, "vllm"), workload(objects, "vllm-acme")
    assert like(dict(silo.source), labels=(POOL,)) == like(dict(pool.source), labels=(POOL,))
    assert [one["image"] for one in silo.containers] == [one["image"] for one in pool.containers]
    assert silo.pod["nodeSelector"]["atrium.dev/tenant"] == "acme"
    (nodes,) = [one for one in of_kind(objects, "NodePool") if one["metadata"]["name"] == "atrium-gpu-acme"]
    template = nodes["spec"]["template"]
    assert template["metadata"]["labels"]["atrium.dev/tenant"] == "acme"
    taint = {"key": "atrium.dev/tenant", "value": "acme", "effect": "NoSchedule"}
    assert taint in template["spec"]["taints"]
    assert {**taint, "operator": "Equal"} in silo.pod["tolerations"]
    assert not [one for one in pool.pod["tolerations"] if one["key"] != "nvidia.com/gpu"]


def test_a_canary_is_the_engine_of_the_pool_in_another_version() -> None:
    objects = with_components("canary")
    pool, canary = workload(objects, "vllm"), workload(objects, "vllm-canary")
    assert like(dict(canary.source), labels=(TRACK,)) == like(dict(pool.source), labels=(TRACK,))
    assert (pool.labels[TRACK], canary.labels[TRACK]) == ("stable", "canary")
    assert pool.labels[POOL] == canary.labels[POOL]


def test_the_files_that_the_architecture_names_are_those_of_the_base() -> None:
    for name in ("router", "orchestrator", "rag", "vllm"):
        named = KUBERNETES / f"{name}-deployment.yaml"
        assert named.resolve() == BASE / f"{name}-deployment.yaml"
    links = {path.name for path in KUBERNETES.glob("*.yaml") if path.is_symlink()}
    assert links == {path.name for path in BASE.glob("*.yaml")} - {"kustomization.yaml"}
