"""Terraform's own checks of every module and environment, each found by its folder: format, validity, and its tests."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from support.terraform import Outcome, Terraform, has_tests, roots

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

Checked = Mapping[str, Future[Outcome]]


def check(terraform: Terraform, root: str) -> Outcome:
    """init and test, in a copy of its own: a test validates first, so `validate` would only cost its seconds again."""
    folder = terraform.copy(root.replace("/", "-")) / root
    made = terraform.init(folder)
    return terraform.run(folder, "test" if has_tests(root) else "validate") if made.passed else made


@pytest.fixture(scope="module")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    return Terraform(tmp_path_factory.mktemp("terraform"))


@pytest.fixture(scope="module")
def checked(terraform: Terraform, request: pytest.FixtureRequest) -> Iterator[Checked]:
    """As many at a time as there are cores, and no more than the selected tests ask for."""
    mine = [item for item in request.session.items if item.path == Path(__file__)]
    calls = [item.callspec for item in mine if isinstance(item, pytest.Function) and hasattr(item, "callspec")]
    wanted = sorted({call.params["root"] for call in calls if "root" in call.params})
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {root: pool.submit(check, terraform, root) for root in wanted}


def test_every_file_is_formatted(terraform: Terraform) -> None:
    done = terraform.run(terraform.copy("format"), "fmt", "-check", "-recursive", "-diff")
    assert done.passed, done.said


@pytest.mark.parametrize("root", roots())
def test_it_is_valid_and_its_own_tests_pass(checked: Checked, root: str) -> None:
    said = checked[root].result()
    assert said.passed, said.said
