"""Engines at zero: what wakes them is what the routers hold, and the routers can see that there is none."""

from __future__ import annotations

import re

from app.settings import Discovery
from observability import names
from support.rendered import of_kind, settings_of, variant

NAME = "base+scale-to-zero"


def test_requests_are_held_for_longer_than_a_node_and_a_model_take() -> None:
    assert float(settings_of(variant(NAME), "atrium-router")["HOLD_WITHOUT_REPLICAS_S"]) >= 900


def test_no_address_stands_for_a_replica_that_is_not_there() -> None:
    settings = settings_of(variant(NAME), "atrium-orchestrator")
    assert settings["VLLM_SERVICE_URL"] == ""
    assert Discovery(settings["VLLM_DISCOVERY"]) is Discovery.KUBERNETES


def test_one_request_that_waits_wakes_an_engine_and_its_metric_is_the_routers() -> None:
    (scaled,) = of_kind(variant(NAME), "ScaledObject")
    assert scaled["spec"]["minReplicaCount"] == 0
    trigger = scaled["spec"]["triggers"][0]["metadata"]
    assert trigger["activationThreshold"] == "0"
    wakes = {names.QUEUE_DEPTH.prometheus_name, names.ACTIVE_STREAMS.prometheus_name}
    assert set(re.findall(r"atrium_\w+", trigger["query"])) == wakes
    for part in trigger["query"].split("+ ("):
        assert part.rstrip().endswith("or vector(0))"), "an engine or a router that is not there says nothing"
