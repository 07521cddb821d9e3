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
@pytest.mark.timeout(300)
@pytest.mark.parametrize("framework", CHECKED)
def test_checkov_finds_nothing(framework: str) -> None:
    assert CHECKOV.exists(), "checkov is needed: make .venv-tools/.installed"
    done = subprocess.run(
        [str(CHECKOV), "-d", str(CHECKED[framework]), "--framework", framework, "--output", "json", "--quiet",
         "--compact", "--skip-download"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    said = json.loads(done.stdout)
    assert said["summary"]["passed"] > 0, done.stderr
    failed = [f"{one['check_id']} {one['check_name']}: {one['resource']}" for one in said["results"]["failed_checks"]]
    assert failed == []


def skips() -> list[tuple[Path, str]]:
    files = [*CHECKED["terraform"].rglob("*.tf"), *CHECKED["dockerfile"].glob("Dockerfile.*")]
    return [(path, line) for path in sorted(files) for line in path.read_text().splitlines() if "checkov:skip" in line]


def test_every_skip_names_a_rule_and_a_reason() -> None:
    for path, line in skips():
        assert re.search(r"#\s*checkov:skip=CKV2?_[A-Z]+_\d+: ?\S.{10,}", line), f"{path}: {line}"
