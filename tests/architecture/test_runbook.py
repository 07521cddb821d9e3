"""Whoever is woken finds an entry: every alarm has one, with commands that exist, and there is none too many."""

from __future__ import annotations

import dataclasses
import logging
import re
from pathlib import Path

import pytest

from observability import names
from observability.monitoring.alarm import RUNBOOK
from observability.monitoring.alarms import ALARMS
from observability.monitoring.slo import BURN_ALARMS
from observability.record import RequestRecord
from support.cli_commands import commands

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / RUNBOOK).read_text(encoding="utf-8")
SRC = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
EVERY = [alarm.name for alarm in (*ALARMS, *BURN_ALARMS)]
OF_EVERY_RECORD = {"level", "logger", "message"}


def entries() -> dict[str, str]:
    """By alarm; headings in a row share what comes below the last."""
    found: dict[str, str] = {}
    waiting: list[str] = []
    for part in re.split(r"^###? ", TEXT, flags=re.MULTILINE)[1:]:
        heading, _, body = part.partition("\n")
        if re.fullmatch(r"[a-z0-9-]+", heading):
            waiting.append(heading)
            if body.strip():
                found |= dict.fromkeys(waiting, body)
                waiting = []
    assert not waiting
    return found


ENTRIES = entries()


def shown(body: str) -> list[str]:
    blocks = re.findall(r"^```\n(.*?)^```", body, flags=re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_every_alarm_has_an_entry_and_every_entry_an_alarm() -> None:
    assert set(ENTRIES) == set(EVERY)


@pytest.mark.parametrize("name", EVERY)
def test_an_entry_says_what_it_means_shows_three_commands_and_how_to_mend(name: str) -> None:
    before, block, after = ENTRIES[name].partition("```")
    assert len(before.split()) > 8
    assert len(shown(block + after)) == 3
    assert len(after.rpartition("```")[2].split()) > 4


@pytest.mark.parametrize("line", sorted({line for body in ENTRIES.values() for line in shown(body)}))
def test_a_command_is_one_that_exists(line: str) -> None:
    tool, *words = line.split()
    assert tool in {"logs", "ask", "kubectl", "aws", "curl", "atrium"}
    if tool == "atrium":
        known = {command.removeprefix("atrium ") for command in commands()}
        groups = {command.split()[0] for command in known}
        assert words[0] in (groups if words[1].startswith("-") else known) or " ".join(words[:2]) in known
    if tool == "logs":
        assert words[0] in names.SERVICES
    if tool == "ask":
        assert (words[0], words[1]) in {("router", "8080"), ("orchestrator", "8081"), ("rag", "8082")}
        assert words[2] in {"/readyz", "/metrics"}


@pytest.mark.parametrize("field", sorted(set(re.findall(r"select\(\.(\w+)|\{ \$\.(\w+)|[\[{(, ]\.(\w+)", TEXT))))
def test_a_field_that_is_looked_for_is_one_of_a_record(field: tuple[str, ...]) -> None:
    (name,) = filter(None, field)
    of_requests = {one.name for one in dataclasses.fields(RequestRecord)}
    assert name in of_requests | OF_EVERY_RECORD or f"{name}=" in SRC


@pytest.mark.parametrize("said", sorted(set(re.findall(r'\.(?:logger|message) ={1,2} "([^"*]+)"', TEXT))))
def test_a_logger_and_a_message_that_are_looked_for_are_ones_of_the_code(said: str) -> None:
    assert f'"{said}"' in SRC


OF_SERVICES = {
    "router": ("router", "tenancy", "stores", "servicekit", "observability"),
    "orchestrator": ("app", "stores", "servicekit", "observability"),
    "rag": ("rag", "stores", "servicekit", "observability"),
}


@pytest.mark.parametrize("line", sorted({line for body in ENTRIES.values() for line in shown(body)}))
def test_a_logger_is_looked_for_in_the_service_that_has_it(line: str) -> None:
    if line.startswith("logs "):
        packages = [ROOT / "src" / package for package in OF_SERVICES[line.split()[1]]]
        code = "\n".join(path.read_text(encoding="utf-8") for top in packages for path in top.rglob("*.py"))
        for logger in re.findall(r'\.logger == "([^"]+)"', line):
            assert f'getLogger("{logger}")' in code


@pytest.mark.parametrize("level", sorted(set(re.findall(r'\.level == "([^"]*)"', TEXT))))
def test_a_level_that_is_looked_for_is_written_as_records_have_it(level: str) -> None:
    assert level in {name.lower() for name in logging.getLevelNamesMapping()}


def test_a_metric_that_is_looked_for_is_one_that_is_exported() -> None:
    known = [metric.prometheus_name for metric in names.ALL]
    for found in re.findall(r"\batrium_[a-z_]+[a-z]", TEXT):
        assert any(name.startswith(found) for name in known), found


def test_links_within_the_page_lead_somewhere() -> None:
    for anchor in re.findall(r"\]\(#([a-z0-9-]+)\)", TEXT):
        assert re.search(rf"^###? {anchor}$", TEXT, flags=re.MULTILINE), anchor
