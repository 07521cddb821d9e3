"""What `kubectl kustomize` makes of infrastructure/kubernetes."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "infrastructure" / "kubernetes"
BASE = KUBERNETES / "base"
OVERLAYS = ("dev", "local", "staging", "production")
COMPONENTS = tuple(sorted(folder.name for folder in (KUBERNETES / "components").iterdir() if folder.is_dir()))
NEEDS = {"scale-to-zero": ("keda", "engine-discovery"), "siloed-tenant": ("gpu-nodes",)}
"""Components that only make sense beside others."""
WORKLOADS = frozenset({"Deployment", "DaemonSet", "StatefulSet", "Job"})

Object = dict[str, Any]


@dataclass(frozen=True)
class Workload:
    """Something that makes pods, and the pods that it makes."""

    kind: str
    namespace: str
    name: str
    labels: Mapping[str, str]
    pod: Mapping[str, Any]
    source: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"

    @property
    def containers(self) -> list[Mapping[str, Any]]:
        return [*self.pod.get("initContainers", []), *self.pod["containers"]]


@lru_cache
def rendered(folder: Path) -> tuple[Object, ...]:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise RuntimeError("kubectl is needed to render infrastructure/kubernetes: docs/development.md, 'Kubernetes'")
    done = subprocess.run([kubectl, "kustomize", str(folder)], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{folder} does not render: {done.stderr}")
    return tuple(found for found in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if found)


@lru_cache
def overlay(name: str) -> tuple[Object, ...]:
    """The overlay and its migrations: what is in the cluster while a release is rolled out."""
    if name == "local":
        return _with_secrets()
    folder = KUBERNETES / "overlays" / name
    found = {identity(one): one for one in (*rendered(folder), *rendered(folder / "migrations"))}
    return tuple(found.values())


@lru_cache
def _with_secrets() -> tuple[Object, ...]:
    """overlays/local, which brings its migrations, as after its `secrets`: with new ones, in a copy."""
    with tempfile.TemporaryDirectory(prefix="atrium-kustomize-") as made:
        folder = Path(made).resolve() / "kubernetes"
        shutil.copytree(KUBERNETES, folder, symlinks=True)
        local = folder / "overlays" / "local"
        for old in local.glob("*.env"):
            old.unlink()
        script = KUBERNETES / "overlays" / "local" / "secrets"
        subprocess.run([str(script), str(local)], check=True, capture_output=True)
        return rendered(local)


@lru_cache
def with_components(*names: str) -> tuple[Object, ...]:
    """The base with components, rendered in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="atrium-kustomize-") as made:
        folder = Path(made).resolve()
        relative = {name: os.path.relpath(KUBERNETES / "components" / name, folder) for name in names}
        content = {"resources": [os.path.relpath(BASE, folder)], "components": list(relative.values())}
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        return rendered(folder)


def identity(found: Object) -> tuple[str, str, str]:
    return found["kind"], found["metadata"].get("namespace", ""), found["metadata"]["name"]


def of_kind(objects: Sequence[Object], *kinds: str) -> list[Object]:
    return [found for found in objects if found["kind"] in kinds]


def workloads(objects: Sequence[Object]) -> list[Workload]:
    return [
        Workload(
            found["kind"],
            found["metadata"]["namespace"],
            found["metadata"]["name"],
            found["spec"]["template"]["metadata"]["labels"],
            found["spec"]["template"]["spec"],
            found,
        )
        for found in of_kind(objects, *WORKLOADS)
    ]


def workload(objects: Sequence[Object], name: str) -> Workload:
    (found,) = [one for one in workloads(objects) if one.name == name]
    return found


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector (LabelSelector of the API) selects; an empty one selects everything, none nothing."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(expression, labels) for expression in selector.get("matchExpressions") or [])


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, operator = expression["key"], expression["operator"]
    match operator:
        case "In":
            return labels.get(key) in expression["values"]
        case "NotIn":
            return labels.get(key) not in expression["values"]
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    raise ValueError(f"no such operator: {operator}")


def settings_of(objects: Sequence[Object], name: str) -> dict[str, str]:
    """The ConfigMap whose name, less the hash of its content, is `name`."""
    found = [one for one in of_kind(objects, "ConfigMap") if one["metadata"]["name"].rpartition("-")[0] == name]
    assert len(found) == 1, name
    data: dict[str, str] = found[0]["data"]
    return data


VARIANTS = (*OVERLAYS, *(f"base+{name}" for name in COMPONENTS))
"""Every overlay, and the base with each component."""


def variant(name: str) -> tuple[Object, ...]:
    component = name.removeprefix("base+")
    return overlay(name) if component == name else with_components(*NEEDS.get(component, ()), component)
