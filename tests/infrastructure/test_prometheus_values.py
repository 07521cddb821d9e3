"""The Prometheus that the README installs is the one that KEDA asks, and knows the labels that it asks by."""

from __future__ import annotations

from typing import Any

import yaml  # type: ignore[import-untyped]

from support.rendered import KUBERNETES, of_kind, with_components

VALUES = KUBERNETES.parent / "monitoring" / "prometheus-values.yaml"
README = KUBERNETES.parent / "terraform" / "README.md"


def values() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(VALUES.read_text("utf-8"))
    return found


def test_it_has_the_address_that_every_scaled_object_asks() -> None:
    server = values()["server"]
    address = f"http://{server['fullnameOverride']}.monitoring.svc.cluster.local:{server['service']['servicePort']}"
    scaled = of_kind(with_components("keda", "canary"), "ScaledObject")
    asked = {trigger["metadata"]["serverAddress"] for one in scaled for trigger in one["spec"]["triggers"]}
    assert asked == {address}


def test_it_gives_metrics_the_labels_that_the_collector_gives_them() -> None:
    collector = yaml.safe_load((KUBERNETES / "components" / "adot" / "config" / "collector.yaml").read_text("utf-8"))
    (job,) = values()["serverFiles"]["prometheus.yml"]["scrape_configs"]
    assert [job] == collector["receivers"]["prometheus"]["config"]["scrape_configs"]


def test_the_steps_from_nothing_install_it_with_these_values() -> None:
    assert "infrastructure/monitoring/prometheus-values.yaml" in README.read_text("utf-8")
