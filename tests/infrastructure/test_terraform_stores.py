"""The modules of stores and backups are applied to moto and destroyed again, less what moto has not."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.s3 import running_s3
from support.terraform import Terraform

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_stores_and_backups_can_be_made_and_are_gone_afterwards(tmp_path: Path) -> None:
    terraform = Terraform(tmp_path)
    root = terraform.copy("stores") / "tests" / "moto-data"
    with running_s3(tmp_path / "moto.log", MOTO_IAM_LOAD_MANAGED_POLICIES="true") as endpoint:
        done = terraform.init(root)
        assert done.passed, done.said
        done = terraform.run(root, "test", f"-var=endpoint={endpoint}")  # it fails where something is left
        assert done.passed, done.said
