"""checkov's rules hold for Terraform; what is skipped is skipped where it stands, with a reason."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.rendered import ROOT
from support.terraform import TERRAFORM, Terraform

CHECKOV = ROOT / ".venv-tools" / "bin" / "checkov"


def scan(_: Terraform, __: Path) -> Any:
    assert CHECKOV.exists(), "checkov is needed: make .venv-tools/.installed"
    what = [
        "-d",
        str(TERRAFORM),
        "--framework",
        "terraform",
        "--skip-path",
        "/tests/",
    ]  # which is applied to moto alone
    how = ["--output", "json", "--quiet", "--compact", "--skip-download"]
    done = subprocess.run([CHECKOV, *what, *how], check=False, capture_output=True, text=True)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.ahead(scan, first=True)
def test_checkov_finds_nothing_in_terraform(outcome: Any) -> None:
    assert outcome["summary"]["passed"] > 100
    found = outcome["results"]["failed_checks"]
    failed = [f"{one['check_id']} {one['check_name']}: {one['file_path']} {one['resource']}" for one in found]
    assert failed == []


def test_every_skip_names_a_rule_and_a_reason() -> None:
    for path in sorted(TERRAFORM.rglob("*.tf")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if "checkov:skip" in line:
                assert re.search(r"#\s*checkov:skip=CKV2?_[A-Z]+_\d+: ?\S.{10,}", line), f"{path}: {line}"
