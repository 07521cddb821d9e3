"""Terraform over copies of infrastructure/terraform, the provider from a folder here or the registry."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from support.rendered import ROOT

TERRAFORM = ROOT / "infrastructure" / "terraform"
MIRROR_SETTING = "ATRIUM_TERRAFORM_MIRROR"
_PROVIDER = "registry.terraform.io/hashicorp/aws"
_MADE_BY_RUNS = shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.tfvars", "backend.hcl")
_INSTALL = (
    "Terraform 1.11 or newer is needed, and its AWS provider: docs/development.md, 'Terraform'. "
    "Without them: make test-fast."
)


class NotInstalledError(RuntimeError):
    """There is no Terraform, or no provider for it."""


@dataclass(frozen=True)
class Outcome:
    """What a command of Terraform's said."""

    passed: bool
    said: str


def roots() -> list[str]:
    """Every folder that Terraform may be run in, relative to infrastructure/terraform."""
    found = [TERRAFORM / "bootstrap", *(TERRAFORM / "modules").iterdir(), *(TERRAFORM / "environments").iterdir()]
    return sorted(str(folder.relative_to(TERRAFORM)) for folder in found if any(folder.glob("*.tf")))


def has_tests(root: str) -> bool:
    return any((TERRAFORM / root / "tests").glob("*.tftest.hcl"))


def _mirror() -> Path | None:
    """A folder that holds the provider as a file-system mirror: the setting's, or one in a usual place."""
    if MIRROR_SETTING in os.environ:
        return Path(os.environ[MIRROR_SETTING])
    return next(_usual_mirrors(), None)


def _usual_mirrors() -> Iterator[Path]:
    usual = (Path("/opt"), Path("/usr/local/share"), Path("/usr/share"), Path("/var/lib"), Path.home())
    for place in usual:
        for depth in ("", "*/", "*/*/"):
            yield from (found.parents[2] for found in place.glob(f"{depth}{_PROVIDER}"))


@dataclass(frozen=True)
class Provider:
    """A provider that runs, on a socket in a folder of its own."""

    process: subprocess.Popen[str]
    address: str
    folder: Path

    def end(self) -> None:
        self.process.kill()  # it holds nothing
        self.process.communicate()
        shutil.rmtree(self.folder)


class Terraform:
    """Runs in one copy of infrastructure/terraform, in which each root has its own folder for what Terraform keeps:
    what runs beside one another reads the provider and writes elsewhere.

    The provider takes longer to start than most of what it is asked. So with `imitated` one is started for all, which
    is never told of a server: it knows the resources, and the tests' `mock_provider` answers for AWS.
    """

    def __init__(self, folder: Path) -> None:
        binary = shutil.which("terraform")
        if binary is None:
            raise NotInstalledError(_INSTALL)
        self._binary = binary
        self._folder = folder
        self._environment = self._settings()
        self._plugins = self._install()
        self._provider: Provider | None = None
        self._starting = Lock()
        self.tree = self._copy()

    def init(self, folder: Path) -> Outcome:
        return self.run(folder, "init", "-backend=false", f"-plugin-dir={self._plugins}")

    def run(self, folder: Path, *command: str) -> Outcome:
        done = subprocess.run(
            [self._binary, *command, *(() if command[0] == "fmt" else ("-no-color",))],
            check=False, cwd=folder, env=self._environment, capture_output=True, text=True,
        )  # fmt: skip
        return Outcome(done.returncode == 0, done.stdout + done.stderr)

    def imitated(self, folder: Path, *command: str) -> Outcome:
        """init and the command with the provider that runs already: for what asks neither AWS nor moto."""
        with self._starting:
            self._provider = self._provider or self._start()
        attached = self._with(self._provider)
        done = attached.init(folder)
        return attached.run(folder, *command) if done.passed else done

    @contextmanager
    def attached(self) -> Iterator[Terraform]:
        """The same with a provider of its own that stays, for several commands about one server."""
        provider = self._start()
        try:
            yield self._with(provider)
        finally:
            provider.end()

    def close(self) -> None:
        if self._provider is not None:
            self._provider.end()

    def _with(self, provider: Provider) -> Terraform:
        other = copy(self)
        other._environment = self._environment | {"TF_REATTACH_PROVIDERS": provider.address}
        return other

    def _copy(self) -> Path:
        """Modules know one another, and infrastructure/monitoring, by their relative paths."""
        made = self._folder / "infrastructure"
        shutil.copytree(TERRAFORM, made / "terraform", ignore=_MADE_BY_RUNS)
        shutil.copytree(TERRAFORM.parent / "monitoring", made / "monitoring")
        return made / "terraform"

    def _start(self) -> Provider:
        """As for a debugger."""
        (binary,) = (self._plugins / _PROVIDER).glob("*/*/terraform-provider-aws*")
        sockets = Path(tempfile.mkdtemp(prefix="tf-"))  # a socket's path is short
        log = self._folder / f"{sockets.name}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [binary, "-debug"],
                stdout=subprocess.PIPE, stderr=output, text=True, cwd=sockets,
                env=self._environment | {"TMPDIR": str(sockets)},
            )  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:  # ends with the process, if that does not come up
            if found := re.search(r"TF_REATTACH_PROVIDERS='(.*)'", line):
                return Provider(process, found[1], sockets)
        raise RuntimeError(f"the provider did not start:\n{log.read_text(errors='replace')[-4000:]}")

    def _settings(self) -> dict[str, str]:
        """The environment less what is this machine's own: no account, and a configuration that exists."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))}
        kept |= {"AWS_EC2_METADATA_DISABLED": "true", "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
        kept |= {"GOGC": "400", "GOMEMLIMIT": "1GiB"}  # a quarter of the provider's time is collecting garbage
        configured = Path(os.environ.get("TF_CLI_CONFIG_FILE", ""))
        mirror = _mirror()
        if configured.is_file():
            return kept | {"TF_CLI_CONFIG_FILE": str(configured)}
        config = self._folder / "terraform.rc"
        source = f'filesystem_mirror {{ path = "{mirror}" }}' if mirror else "direct {}"
        config.write_text(f"provider_installation {{\n  {source}\n}}\n", encoding="utf-8")
        return kept | {"TF_CLI_CONFIG_FILE": str(config)}

    def _install(self) -> Path:
        folder = self._folder / "provider"
        folder.mkdir()
        shutil.copy(TERRAFORM / "modules" / "network" / "versions.tf", folder)
        done = self.run(folder, "init", "-backend=false")
        if not done.passed:
            raise NotInstalledError(f"{_INSTALL}\n{done.said}")
        return folder / ".terraform" / "providers"
