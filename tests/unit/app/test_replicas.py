"""Which replicas there are, how they do, and which of them is given a request."""

from __future__ import annotations

import logging

import pytest

from app.adapters.replica import Reading, Replica
from app.adapters.replicas import FULL_S, Replicas
from contracts.errors import ModelUnavailableError, PoolUnavailableError
from contracts.pools import ServedModel
from support.telling import told_here
from support.turns import a_context

A, B = "http://a", "http://b"


class World:
    def __init__(self, *urls: str) -> None:
        self.now = 0.0
        self.replicas = Replicas({"pooled": urls} if urls else {}, now=lambda: self.now)

    def __getitem__(self, url: str) -> Replica:
        (found,) = [one for one in self.replicas.pools()["pooled"] if one.url == url]
        return found

    def chosen(self, count: int = 40, **asked: object) -> set[str]:
        found = [self.replicas.choose(a_context(session_id=f"s{number}"), **asked) for number in range(count)]  # type: ignore[arg-type]
        return {one.url for one in found if one is not None}

    def eject(self, url: str) -> None:
        for _ in range(3):
            self.replicas.failed(self[url], "status")


def test_an_ejected_replica_is_given_nothing_then_one_trial_then_its_conversations_again() -> None:
    world = World(A, B)
    assert world.chosen() == {A, B}
    world.eject(A)
    assert world.chosen() == {B}
    world.now = 1.0
    assert world.chosen() == {A, B}
    with world.replicas.working(world[A]):
        assert world.chosen() == {B}, "one trial at a time"
    assert world.chosen() == {A, B}, "which was left before it could tell"
    with world.replicas.working(world[A]):
        world.replicas.answered(world[A])
    assert world.chosen() == {A, B}
    assert world[A].in_flight == 0


def test_where_all_are_out_all_are_tried_and_that_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "atrium.pools")
    world = World(A, B)
    world.eject(A)
    world[B].reachable = False
    assert world.chosen() == world.chosen() == {A, B}
    world[B].reachable = True
    assert world.chosen() == {B}
    said = [record.message for record in told_here(caplog, "atrium.pools")]
    assert said[-2:] == ["no replica is usable: all are tried", "a replica is usable again"]
    assert len([text for text in said if "usable" in text]) == 2


def test_a_draining_replica_gets_no_new_work_unless_there_is_no_other() -> None:
    world = World()
    world.replicas.discovered({"pooled": {A: True, B: False}})
    assert world.chosen() == {B}
    world.replicas.discovered({"pooled": {A: True}})
    assert world.chosen() == {A}
    world.replicas.discovered({})
    with pytest.raises(PoolUnavailableError) as failure:
        world.chosen()
    assert failure.value.retry_after_s == 1


def test_what_is_set_stays_whatever_is_discovered_and_a_replica_keeps_what_is_known_of_it() -> None:
    world = World(A)
    world.replicas.discovered({"pooled": {A: True, B: False}, "gold": {"http://c": False}})
    world[B].in_flight = 3
    world.replicas.discovered({"pooled": {B: True}})
    assert world[B].in_flight == 3
    assert world[A].state(0) == "usable"
    assert world.replicas.pools()["gold"] == ()


def test_one_that_refused_is_passed_over_for_half_a_second() -> None:
    world = World(A, B)
    world.replicas.refused(world[A], 30.0)
    assert world.chosen() == {B}
    assert world[A].sequences(64, world.now) == 1
    world.now = FULL_S
    assert world.chosen() == {A, B}
    assert world[A].sequences(64, world.now) == 64


def test_only_who_may_serve_the_model_is_chosen_and_what_nobody_serves_is_said() -> None:
    world = World(A, B)
    world[A].models = (ServedModel(id="m"),)
    assert world.chosen(model="m") == {A, B}, "of B nobody knows yet"
    world[B].models = (ServedModel(id="other"),)
    assert world.chosen(model="m") == {A}
    assert world.replicas.choose(a_context(), model="m", tried={A}) is None
    with pytest.raises(ModelUnavailableError):
        world.chosen(model="nobodys")


def test_a_load_is_what_the_engine_said_and_what_has_been_sent_and_ended_since() -> None:
    replica = Replica("pooled", A, in_flight=3)
    assert replica.load(0.0).requests == 3, "as far as this process knows"
    replica.heard(Reading(running=6, waiting=4, kv_usage=0.5), 0.0)
    assert (replica.load(0.5).requests, replica.load(0.5).waiting, replica.load(0.5).kv_usage) == (10, 4, 0.5)
    replica.in_flight = 5
    assert replica.load(0.5).requests == 12
    replica.in_flight = 0
    assert replica.load(0.5).requests == 7
    assert replica.load(1.1).requests == 0, "too old to be believed"
    assert replica.load(1.1).waiting == 0
