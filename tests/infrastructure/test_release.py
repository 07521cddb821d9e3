"""The steps of a release refuse, wait and go back as they should; kubectl, kustomize and aws are imitations here.

What they render and check is real: `kubectl kustomize` is the one on this machine.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.rendered import ROOT, workload
from support.rendered import overlay as objects_of

DIGEST = f"sha256:{'5' * 64}"
ACCOUNT = "111122223333.dkr.example"
IMITATION = """
import json, os, pathlib, subprocess, sys
import yaml
here, tool, said = pathlib.Path(os.environ["IMITATION"]), pathlib.Path(sys.argv[0]).name, sys.argv[1:]
if tool == "kubectl" and said[0] == "kustomize":
    os.execv(os.environ["KUBECTL"], ["kubectl", *said])
if said[:2] == ["apply", "-k"]:
    rendered = subprocess.run([os.environ["KUBECTL"], "kustomize", said[2]], check=True, capture_output=True)
    (here / "applied").write_bytes(rendered.stdout)
with (here / "calls").open("a") as calls:
    calls.write(json.dumps([tool, *said]) + "\\n")
if tool == "kustomize":
    path = pathlib.Path("kustomization.yaml")
    content = yaml.safe_load(path.read_text())
    for image in said[3:]:
        name, _, rest = image.partition("=")
        new, _, digest = rest.partition("@")
        content["images"] = [one for one in content["images"] if one["name"] != name]
        content["images"].append({"name": name, "newName": new, "digest": digest})
    path.write_text(yaml.safe_dump(content))
for rule in json.loads((here / "answers").read_text()):
    if rule["to"] in " ".join([tool, *said]):
        print(rule.get("says", ""))
        sys.exit(rule.get("code", 0))
"""


@dataclass(frozen=True)
class Desk:
    """A copy of what a release needs, and imitations of the programs that it calls."""

    folder: Path

    def release(self, *arguments: str, answers: list[dict[str, Any]] | None = None) -> subprocess.CompletedProcess[str]:
        (self.folder / "answers").write_text(json.dumps(answers or []), encoding="utf-8")
        environment = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "IMITATION": str(self.folder),
            "KUBECTL": shutil.which("kubectl") or "",
            "RELEASE_POLL_S": "0",
        }
        return subprocess.run(
            [self.folder / ".ci" / "release", *arguments],
            check=False,
            capture_output=True,
            text=True,
            env=environment,
            timeout=60,
        )

    def calls(self) -> list[str]:
        file = self.folder / "calls"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return [" ".join(json.loads(line)) for line in lines]

    def fill_in(self) -> None:
        """What the operator writes into the overlay before the first release."""
        for path in (self.folder / "infrastructure" / "kubernetes").rglob("*.yaml"):
            text = path.read_text(encoding="utf-8")
            for zeros, filled in (("0" * 64, "7" * 64), ("0" * 12, "1" * 12), ("00000000", "10000000")):
                text = text.replace(zeros, filled)
            path.write_text(text, encoding="utf-8")
        for path in (self.folder / "infrastructure" / "kubernetes").rglob("*.env"):
            path.write_text(path.read_text(encoding="utf-8").replace("0" * 12, "1" * 12), encoding="utf-8")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    shutil.copytree(ROOT / "infrastructure" / "kubernetes", tmp_path / "infrastructure" / "kubernetes", symlinks=True)
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "release", tmp_path / ".ci")
    (tmp_path / "bin").mkdir()
    for tool in ("kubectl", "kustomize", "aws"):
        program = tmp_path / "bin" / tool
        program.write_text(f"#!{sys.executable}{IMITATION}", encoding="utf-8")
        program.chmod(0o755)
    return Desk(tmp_path)


def images(digest: str = DIGEST) -> list[str]:
    return [f"atrium-{name}={ACCOUNT}/atrium-{name}@{digest}" for name in ("router", "orchestrator", "rag")]


def test_an_overlay_with_zeros_is_not_deployed(desk: Desk) -> None:
    done = desk.release("check", "production")
    assert done.returncode == 1
    assert "not filled in" in done.stderr


def test_an_overlay_that_is_filled_in_is_deployed_by_the_digests_that_were_built(desk: Desk) -> None:
    desk.fill_in()
    for overlay in ("staging", "production"):
        assert desk.release("images", overlay, *images()).returncode == 0
        done = desk.release("check", overlay)
        assert done.returncode == 0, done.stderr
        for folder in (overlay, f"{overlay}/migrations"):
            place = desk.folder / "infrastructure" / "kubernetes" / "overlays" / folder
            text = subprocess.run(["kubectl", "kustomize", place], check=True, capture_output=True, text=True).stdout
            assert f"image: {ACCOUNT}/atrium-router@{DIGEST}" in text
            assert "image: atrium-" not in text


def test_what_terraform_filled_in_for_the_account_is_what_is_deployed(desk: Desk) -> None:
    desk.fill_in()
    own = desk.folder / "infrastructure" / "kubernetes" / "accounts" / "production"
    for folder, overlay in (
        (own, "../../overlays/production"),
        (own / "migrations", "../../../overlays/production/migrations"),
    ):
        folder.mkdir(parents=True)
        made = {"resources": [overlay], "commonAnnotations": {"example.com/account": "ours"}}
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(made), encoding="utf-8")
    assert desk.release("images", "production", *images()).returncode == 0
    done = desk.release("check", "production")
    assert done.returncode == 0, done.stderr
    answers = [{"to": "kubectl get job", "says": "Complete "}]
    assert desk.release("migrate", "production", answers=answers).returncode == 0
    applied = (desk.folder / "applied").read_text(encoding="utf-8")
    assert f"image: {ACCOUNT}/atrium-router@{DIGEST}" in applied
    assert "example.com/account: ours" in applied


@pytest.mark.parametrize("image", ["atrium-router=repo:0.1.0", "atrium-router=repo@sha256:12", "$(id)"])
def test_what_is_no_digest_is_not_written(desk: Desk, image: str) -> None:
    assert desk.release("images", "production", image).returncode == 1
    assert not desk.calls()


def test_a_schema_that_is_not_brought_up_to_date_ends_the_release(desk: Desk) -> None:
    done = desk.release("migrate", "production", answers=[{"to": "kubectl get job", "says": "FailureTarget Failed "}])
    assert done.returncode == 1
    assert "nothing else was changed" in done.stderr
    assert [call for call in desk.calls() if "apply" in call] == [
        "kubectl apply -k infrastructure/kubernetes/overlays/production/migrations"
    ]


def test_a_schema_that_is_up_to_date_lets_it_go_on(desk: Desk) -> None:
    answers = [{"to": "kubectl get job", "says": "SuccessCriteriaMet Complete "}]
    assert desk.release("migrate", "production", answers=answers).returncode == 0
    assert desk.calls()[0].startswith("kubectl delete job atrium-migrate"), "a Job is immutable"


def test_a_canary_is_one_new_pod_beside_the_old_ones_until_somebody_goes_on(desk: Desk) -> None:
    replicas = [
        {"metadata": {"annotations": {"deployment.kubernetes.io/revision": n}, "labels": {"pod-template-hash": hashed}}}
        for n, hashed in (("9", "old"), ("10", "new"))
    ]
    answers = [
        {"to": "kubectl get replicasets", "says": json.dumps({"items": replicas})},
        {"to": "pod-template-hash=new", "says": "True "},
    ]
    done = desk.release("canary", "production", answers=answers)
    assert done.returncode == 0, done.stderr
    paused = [call for call in desk.calls() if "rollout pause" in call]
    assert [call.split()[3] for call in paused] == [f"deployment/{name}" for name in ("router", "orchestrator", "rag")]
    assert not list((desk.folder / "infrastructure" / "kubernetes" / "overlays").glob("canary-*"))
    applied = yaml.safe_load_all((desk.folder / "applied").read_text(encoding="utf-8"))
    specs = {one["metadata"]["name"]: one["spec"] for one in applied if one["kind"] == "Deployment"}
    for name in ("router", "orchestrator", "rag"):
        assert specs[name]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        assert 600 + 15 * 60 < specs[name]["minReadySeconds"] < specs[name]["progressDeadlineSeconds"]
    assert "minReadySeconds" not in specs["vllm"]


def test_a_service_that_does_not_come_up_fails_the_rollout(desk: Desk) -> None:
    done = desk.release("rollout", "production", answers=[{"to": "rollout status deployment/orchestrator", "code": 1}])
    assert done.returncode == 1
    assert "orchestrator did not come up" in done.stderr


def test_going_back_is_to_the_revision_that_ran_and_for_what_changed_alone(desk: Desk) -> None:
    answers = [
        {"to": "kubectl get deployment router", "says": "5"},
        {"to": "kubectl get deployment orchestrator", "says": "2"},
    ]
    done = desk.release("back", "router=4 orchestrator=2 rag=0 ", answers=answers)
    assert done.returncode == 0, done.stderr
    undone = [call for call in desk.calls() if "rollout undo" in call]
    assert undone == ["kubectl rollout undo deployment/router -n atrium --to-revision=4"]
    assert "rag had no revision" in done.stderr
    resumed = next(n for n, call in enumerate(desk.calls()) if "rollout resume deployment/router" in call)
    assert resumed < desk.calls().index(undone[0]), "a paused Deployment refuses to go back"
    patched = {call.split()[3]: call for call in desk.calls() if "minReadySeconds" in call}
    of_overlay = workload(objects_of("production"), "router").source["spec"]["minReadySeconds"]
    assert f'"minReadySeconds": {of_overlay}' in patched["router"], "on the way back as well"


@pytest.mark.parametrize(("says", "code"), [("", 0), ("None", 0), ("atrium-production-errors", 1)])
def test_an_alarm_ends_the_watch(desk: Desk, says: str, code: int) -> None:
    done = desk.release("watch", "0", "atrium-production", answers=[{"to": "describe-alarms", "says": says}])
    assert done.returncode == code
    assert "--state-value ALARM" in desk.calls()[0]


def jobs(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text(encoding="utf-8"))["jobs"]
    return found


def test_a_stage_migrates_first_and_goes_back_when_anything_fails() -> None:
    stages = jobs("deploy.yml")
    assert [(name, stages[name].get("environment")) for name in ("staging", "canary", "production")] == [
        (name, name) for name in ("staging", "canary", "production")
    ]
    for name, way in (("staging", "rollout"), ("canary", "canary")):
        steps = [step.get("run", "").partition("\n")[0] for step in stages[name]["steps"]]
        overlay = "staging" if name == "staging" else "production"
        order = [f".ci/release migrate {overlay}", f".ci/release {way} {overlay}", '.ci/release back "$BEFORE"']
        assert [steps.index(one) for one in order] == sorted(steps.index(one) for one in order)
        assert "failure()" in stages[name]["steps"][-1]["if"]
    assert stages["canary"]["needs"] == ["images", "staging"]
    assert stages["production"]["needs"] == ["images", "canary"]
    assert "needs.production.result != 'success'" in stages["back"]["if"]


def test_every_stage_is_checked_for_zeros_and_every_job_ends_in_time() -> None:
    action = yaml.safe_load((ROOT / ".github" / "actions" / "cluster" / "action.yml").read_text(encoding="utf-8"))
    assert '.ci/release check "$OVERLAY"' in action["runs"]["steps"][-1]["run"]
    for file in (ROOT / ".github" / "workflows").glob("*.yml"):
        for name, job in jobs(file.name).items():
            assert "uses" in job or job["timeout-minutes"] <= 180, f"{file.name} {name}"
            assert job["permissions"], f"{file.name} {name}: as much as the repository gives"
    for name in ("staging", "canary", "production", "back"):
        assert any(step.get("uses") == "./.github/actions/cluster" for step in jobs("deploy.yml")[name]["steps"])
