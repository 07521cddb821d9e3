"""checkov's rules hold for Terraform; what is skipped is skipped where it stands, with a reason."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from support.rendered import ROOT
from support.terraform import TERRAFORM

CHECKOV = ROOT / ".venv-tools" / "bin" / "checkov"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_checkov_finds_nothing_in_terraform() -> None:
    assert CHECKOV.exists(), "checkov is needed: make .venv-tools/.installed"
    command = [str(CHECKOV), "-d", str(TERRAFORM), "--framework", "terraform", "--output", "json", "--quiet"]
    done = subprocess.run([*command, "--compact", "--skip-download"], check=False, capture_output=True, text=True)
    said = json.loads(done.stdout)
    assert said["summary"]["passed"] > 100, done.stderr
    failed = [f"{one['check_id']} {one['check_name']}: {one['resource']}" for one in said["results"]["failed_checks"]]
    assert failed == []


def test_every_skip_names_a_rule_and_a_reason() -> None:
    for path in sorted(TERRAFORM.rglob("*.tf")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if "checkov:skip" in line:
                assert re.search(r"#\s*checkov:skip=CKV2?_[A-Z]+_\d+: ?\S.{10,}", line), f"{path}: {line}"
