"""What pods of rendered objects start, started on this machine: the same commands with the same environment.

A service's name in the cluster becomes the address where it listens here, a mounted folder one of the test's.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.rendered import ROOT, Object, of_kind

ENDS_S = 150
"""A container that ends has by then, on a busy machine as well."""
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "OPENBLAS_CORETYPE", "TMPDIR")
"""Of this machine's own environment: none of it is a setting."""


def environment(objects: Sequence[Object], namespace: str, container: Mapping[str, Any]) -> dict[str, str]:
    """As the kubelet puts it together: maps as a whole, then single variables, references within them resolved."""
    maps, secrets = _data(objects, "ConfigMap", namespace), _data(objects, "Secret", namespace)
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        found |= maps[source["configMapRef"]["name"]]
    for variable in container.get("env", []):
        if "value" in variable:
            found[variable["name"]] = variable["value"]
            continue
        reference = variable["valueFrom"]["secretKeyRef"]
        value = secrets.get(reference["name"], {}).get(reference["key"])
        if value is not None:
            found[variable["name"]] = base64.b64decode(value).decode()
        elif not reference.get("optional"):
            raise KeyError(f"{variable['name']}: no {reference['key']} in {reference['name']}: the pod would not start")
    return found


def _data(objects: Sequence[Object], kind: str, namespace: str) -> dict[str, dict[str, str]]:
    return {
        one["metadata"]["name"]: one["data"]
        for one in of_kind(objects, kind)
        if one["metadata"]["namespace"] == namespace
    }


@dataclass(frozen=True)
class Machine:
    """`addresses` maps what the cluster calls a service's port ("postgres.atrium.svc.cluster.local:5432") to where it
    is here."""

    objects: Sequence[Object]
    folder: Path
    addresses: Mapping[str, str]

    def settings(self, namespace: str, container: Mapping[str, Any]) -> dict[str, str]:
        moved = dict(self.addresses)
        for mount in container.get("volumeMounts", []):
            place = self.folder / mount["name"]
            place.mkdir(exist_ok=True)
            moved[mount["mountPath"]] = str(place)
        return {
            name: self._here(value, moved) for name, value in environment(self.objects, namespace, container).items()
        }

    def _here(self, value: str, moved: Mapping[str, str]) -> str:
        for old, new in moved.items():
            if old.startswith("/"):
                value = new if value == old else value.replace(f"file://{old}", f"file://{new}")
            else:
                value = value.replace(old, new)
        return value

    def run(self, namespace: str, container: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
        """A container that ends."""
        assert container["command"][0] == "python"
        return subprocess.run(
            [sys.executable, *container["command"][1:]],
            env=self.environment(namespace, container),
            check=False, capture_output=True, text=True, cwd=ROOT, timeout=ENDS_S,
        )  # fmt: skip

    def environment(self, namespace: str, container: Mapping[str, Any], **by_image: str) -> dict[str, str]:
        """All that a process of the container's gets, and what its image sets beside."""
        return self._around() | by_image | self.settings(namespace, container)

    def _around(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        return kept | {"PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1"}
