"""checkov's rules hold for Terraform and the images; what is skipped is skipped where it stands, with a reason."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from support.rendered import ROOT

CHECKOV = ROOT / ".venv-tools" / "bin" / "checkov"
CHECKED = {"terraform": ROOT / "infrastructure" / "terraform", "dockerfile": ROOT / "dockerfiles"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_checkov_finds_nothing() -> None:
    assert CHECKOV.exists(), "checkov is needed: make .venv-tools/.installed"
    folders = [part for folder in CHECKED.values() for part in ("-d", str(folder))]
    command = [str(CHECKOV), *folders, "--framework", *CHECKED, "--output", "json", "--quiet", "--compact"]
    done = subprocess.run([*command, "--skip-download"], check=False, capture_output=True, text=True)
    reports = json.loads(done.stdout)
    failed = [
        f"{one['check_id']} {one['check_name']}: {one['resource']}"
        for report in reports
        for one in report["results"]["failed_checks"]
    ]
    assert failed == []
    found = {report["check_type"] for report in reports if report["summary"]["passed"] > 0}
    assert found == set(CHECKED), done.stderr


def skips() -> list[tuple[Path, str]]:
    files = [*CHECKED["terraform"].rglob("*.tf"), *CHECKED["dockerfile"].glob("Dockerfile.*")]
    return [(path, line) for path in sorted(files) for line in path.read_text().splitlines() if "checkov:skip" in line]


def test_every_skip_names_a_rule_and_a_reason() -> None:
    for path, line in skips():
        assert re.search(r"#\s*checkov:skip=CKV2?_[A-Z]+_\d+: ?\S.{10,}", line), f"{path}: {line}"
