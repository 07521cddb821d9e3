"""What is to be read in the modules and environments, without running Terraform."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.terraform import TERRAFORM, has_tests, roots

ENVIRONMENTS = [root for root in roots() if root.startswith("environments/")]
MODULES = [root for root in roots() if root.startswith("modules/")]
PARTS = {"modules/irsa-role", "modules/kms-key"}
"""Modules of modules."""


def texts(root: str) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted((TERRAFORM / root).glob("*.tf")))


def blocks(root: str, kind: str) -> dict[str, str]:
    """Name and content of the blocks that stand at the margin."""
    found = re.finditer(rf'^{kind} "([^"]+)" {{\n(.*?)^}}', texts(root), re.MULTILINE | re.DOTALL)
    return {match[1]: match[2] for match in found}


@pytest.mark.parametrize("root", roots())
def test_every_variable_has_a_type_and_a_description(root: str) -> None:
    for name, content in blocks(root, "variable").items():
        assert re.search(r"^  type +=", content, re.MULTILINE), name
        assert re.search(r'^  description += "\S', content, re.MULTILINE), name


@pytest.mark.parametrize("root", roots())
def test_every_output_has_a_description(root: str) -> None:
    for name, content in blocks(root, "output").items():
        assert re.search(r'^  description += "\S', content, re.MULTILINE), name


@pytest.mark.parametrize("root", roots())
def test_it_needs_a_version_runs_no_programs_and_loads_no_one_elses_module(root: str) -> None:
    text = texts(root)
    assert "required_version" in text
    assert not re.search(r"local-exec|remote-exec|null_resource|data \"external\"", text)
    sources = re.findall(r'^  source += "([^"]+)"$', text, re.MULTILINE)  # a module's, not a provider's
    assert all(source.startswith("../") for source in sources)


@pytest.mark.parametrize("root", MODULES)
def test_a_module_brings_no_provider(root: str) -> None:
    assert not re.search(r"^provider ", texts(root), re.MULTILINE)


@pytest.mark.parametrize("root", roots())
def test_it_has_tests_of_its_own(root: str) -> None:
    assert has_tests(root)


@pytest.mark.parametrize("root", ENVIRONMENTS)
def test_an_environment_wires_every_module(root: str) -> None:
    wired = set(re.findall(r'^  source = "\.\./\.\./(modules/[a-z-]+)"$', texts(root), re.MULTILINE))
    assert wired == set(MODULES) - PARTS


def test_environments_differ_in_sizes_alone() -> None:
    made = [
        set(re.findall(r"^(?:module|resource|output|data) .*$", texts(root), re.MULTILINE)) for root in ENVIRONMENTS
    ]
    assert made[0] == made[1]


def test_production_survives_a_zone_and_a_mistake() -> None:
    said = dict(re.findall(r"^  (\w+) += (true|false|\d+)$", texts("environments/production"), re.MULTILINE))
    wanted = ("nat_per_az", "private_access_only", "multi_az", "deletion_protection")
    assert {name: said[name] for name in wanted} == dict.fromkeys(wanted, "true")
    assert said["force_destroy"] == "false"
    assert int(said["valkey_replicas"]) >= 1
    assert int(said["min_size"]) >= 3


def test_no_account_is_written_anywhere() -> None:
    made_up = {"111122223333", "123456789012", "210987654321", "000000000000"}
    for path in sorted(Path(TERRAFORM).rglob("*.tf*")):
        if path.is_file() and ".terraform" not in path.parts:
            found = set(re.findall(r"(?<![\w-])\d{12}(?![\w-])", path.read_text(encoding="utf-8")))
            assert found <= made_up, path
