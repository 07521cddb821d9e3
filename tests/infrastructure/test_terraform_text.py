"""What is to be read in the modules and environments, without running Terraform."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.terraform import TERRAFORM, has_tests, roots

ENVIRONMENTS = [root for root in roots() if root.startswith("environments/")]
MODULES = [root for root in roots() if root.startswith("modules/")]
PLATFORM = "modules/platform"
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


def sources(root: str) -> list[str]:
    return re.findall(r'^  source += "([./]+[a-z-/]+)"$', texts(root), re.MULTILINE)


def test_the_platform_wires_every_module() -> None:
    wired = {source.replace("../", "modules/") for source in sources(PLATFORM)}
    assert wired == set(MODULES) - PARTS - {PLATFORM}


@pytest.mark.parametrize("root", ENVIRONMENTS)
def test_an_environment_is_the_platform_and_nothing_else(root: str) -> None:
    assert sources(root) == [f"../../{PLATFORM}"]
    assert not re.search(r"^(resource|data|locals)\b", texts(root), re.MULTILINE)
    assert set(blocks(root, "output")) == set(blocks(PLATFORM, "output"))
    for name, content in blocks(root, "output").items():
        assert re.search(rf"^  value += module\.platform\.{name}$", content, re.MULTILINE), name
    wanted = {name for name, content in blocks(PLATFORM, "variable").items() if " default " not in content}
    assert wanted <= set(said(root)), "a size has no default: each environment says its own"


def said(root: str) -> dict[str, str]:
    """What an environment tells the platform."""
    call = blocks(root, "module")["platform"]
    return dict(re.findall(r"^ {2,4}(\w+) += (.+)$", call, re.MULTILINE))


def test_environments_differ_in_sizes_alone() -> None:
    assert set(said(ENVIRONMENTS[0])) == set(said(ENVIRONMENTS[1]))
    known = [set(blocks(root, "variable")) for root in ENVIRONMENTS]
    assert known[0] ^ known[1] == {"backup_copy_vault_arn"}


def test_what_is_asked_for_an_environment_is_what_the_platform_is_told() -> None:
    for root in ENVIRONMENTS:
        used = set(re.findall(r"\bvar\.(\w+)", texts(root)))
        assert used == set(blocks(root, "variable")), root


def test_production_survives_a_zone_and_a_mistake() -> None:
    production = said("environments/production")
    wanted = ("nat_per_az", "api_private", "multi_az", "protected")
    assert {name: production[name] for name in wanted} == dict.fromkeys(wanted, "true")
    assert int(production["replicas"]) >= 1
    assert int(production["min_size"]) >= 3
    assert production["lock"] != '"none"'
    assert int(production["secret_recovery_days"]) >= 7
    wiring = dict(re.findall(r"^  (\w+) += (!?var\.protected)$", texts(PLATFORM), re.MULTILINE))
    assert wiring == {"deletion_protection": "var.protected", "force_destroy": "!var.protected"}


def test_no_account_is_written_anywhere() -> None:
    made_up = {"111122223333", "123456789012", "210987654321", "000000000000"}
    for path in sorted(Path(TERRAFORM).rglob("*.tf*")):
        if path.is_file() and ".terraform" not in path.parts:
            found = set(re.findall(r"(?<![\w-])\d{12}(?![\w-])", path.read_text(encoding="utf-8")))
            assert found <= made_up, path


def test_what_the_documents_address_in_the_state_is_there() -> None:
    """An environment is a call of the platform, so that everything lies below `module.platform`."""
    documents = "\n".join(path.read_text(encoding="utf-8") for path in TERRAFORM.glob("*.md"))
    addresses = set(re.findall(r"\b((?:module\.\w+\.)+)(aws_\w+)\.(\w+)", documents))
    assert addresses
    for path, kind, name in addresses:
        root = "environments/production"
        for module in path.removesuffix(".").split(".")[1::2]:
            source = re.search(r'^  source += "([^"]+)"', blocks(root, "module")[module], re.MULTILINE)
            assert source, path
            root = str((TERRAFORM / root / source[1]).resolve().relative_to(TERRAFORM.resolve()))
        assert re.search(rf'^resource "{kind}" "{name}"', texts(root), re.MULTILINE), f"{path}{kind}.{name}"
