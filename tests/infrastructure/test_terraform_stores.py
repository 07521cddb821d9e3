"""The modules of stores and backups are applied to moto and destroyed again, less what moto has not."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.s3 import running_s3
from support.terraform import Outcome, Terraform


def apply(terraform: Terraform, folder: Path) -> Outcome:
    root = terraform.tree / "tests" / "moto-data"
    with (
        running_s3(folder / "moto.log", MOTO_IAM_LOAD_MANAGED_POLICIES="true") as endpoint,
        terraform.attached() as attached,
    ):
        done = attached.init(root)
        return attached.run(root, "test", f"-var=endpoint={endpoint}") if done.passed else done


pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.ahead(apply, first=True)]


def test_stores_and_backups_can_be_made_and_are_gone_afterwards(outcome: Outcome) -> None:
    assert outcome.passed, outcome.said  # it fails where something is left
