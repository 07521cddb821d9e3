"""Terraform's own checks of every module and environment, each found by its folder: format, validity, and its tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.terraform import Outcome, Terraform, has_tests, roots

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def checking(root: str) -> Callable[[Terraform, Path], Outcome]:
    """Its tests, which begin with what `validate` does; `validate` where it has none."""

    def check(terraform: Terraform, _: Path) -> Outcome:
        return terraform.imitated(terraform.tree / root, "test" if has_tests(root) else "validate")

    return check


def test_every_file_is_formatted(terraform: Terraform) -> None:
    done = terraform.run(terraform.tree, "fmt", "-check", "-recursive", "-diff")
    assert done.passed, done.said


@pytest.mark.parametrize(
    "root", [pytest.param(root, marks=pytest.mark.ahead.with_args(checking(root))) for root in roots()]
)
def test_it_is_valid_and_its_own_tests_pass(outcome: Outcome, root: str) -> None:
    assert outcome.passed, f"{root}: {outcome.said}"


def test_what_is_not_valid_fails_though_aws_is_an_imitation(terraform: Terraform) -> None:
    """So `validate` need not be run beside the tests."""
    made = terraform.tree.parent / "not-valid"
    (made / "tests").mkdir(parents=True)
    (made / "main.tf").write_text(
        'resource "aws_ecr_repository" "this" {\n  name = "x"\n  image_tag_mutability = "SOMETIMES"\n}\n'
    )
    (made / "tests" / "any.tftest.hcl").write_text('mock_provider "aws" {}\nrun "any" {\n  command = plan\n}\n')
    done = terraform.imitated(made, "test")
    assert not done.passed
    assert "SOMETIMES" in done.said
