"""The router's image is built and runs as a pod would, by what `make images-check` runs: nightly it takes all three."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from support.rendered import ROOT

LACKING = 75
"""The exit status of .ci/images-check that says: not on this machine, or out of reach."""
BUILD_S = 840
ENDING_S = 60

pytestmark = pytest.mark.slow


def checked(service: str, environment: dict[str, str]) -> tuple[int, str]:
    """How it ended and what it said; ended with all that it started, where that takes too long."""
    with subprocess.Popen(
        [shutil.which("bash") or "bash", ROOT / ".ci" / "images-check", service],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    ) as started:  # fmt: skip
        try:
            said, _ = started.communicate(timeout=BUILD_S)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGTERM)
            said, _ = started.communicate(timeout=ENDING_S)
        return started.returncode, said


@pytest.mark.timeout(BUILD_S + ENDING_S + 30)
def test_the_routers_image_is_built_and_answers_read_only_and_without_capabilities(tmp_path: Path) -> None:
    status, said = checked("router", os.environ | {"ATRIUM_IMAGES_DIR": str(tmp_path)})
    if status == LACKING:
        pytest.skip(said.splitlines()[-1])
    assert status == 0, said
    assert "router answers: read-only, no capability, as 10001:10001" in said
    assert not list(tmp_path.iterdir()), "images are left"


def test_what_a_machine_lacks_for_that_is_said(tmp_path: Path) -> None:
    for program in ("bash", "dirname"):
        (tmp_path / program).symlink_to(shutil.which(program) or program)
    status, said = checked("router", {"PATH": str(tmp_path)})
    assert status == LACKING
    assert "no docker daemon, and no buildah (apt install buildah" in said
