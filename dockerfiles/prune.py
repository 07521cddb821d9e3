"""`python prune.py SITE_PACKAGES`: takes what no service ever opens out of an image's packages, and compiles the rest.

Bytecode is made here because a read-only root file system lets nobody make it later. What is taken out is listed, not
guessed: tests/infrastructure/test_images.py fails when our code imports any of it.
"""

from __future__ import annotations

import compileall
import shutil
import sys
from pathlib import Path
from py_compile import PycInvalidationMode

WHOLE = (
    "phonenumbers/geodata",  # names of places by number; the guard asks only whether something is a number
    "phonenumbers/carrierdata",
    "phonenumbers/tzdata",
    "kubernetes/aio",  # a second client beside kubernetes/client
    "numpy/f2py",
    "numpy/_core/include",
    "numpy/_core/lib",
    "boto3/examples",
    "boto3/data/ec2",
    "zstandard",  # langsmith sends uncompressed without it
)
ANYWHERE = ("**/*.pyi", "**/*.pyx", "**/*.pxd", "**/*.c", "**/tests")
AWS_SERVICES = frozenset({"s3", "sts", "sso", "sso-oidc", "signin", "bedrock-runtime"})
"""What the services call, and what boto3's chain of credentials may. botocore carries descriptions of 400 more."""


SOURCELESS = ("kubernetes/client/models", "kubernetes/client/api")
"""A thousand generated files, kept as bytecode alone: half of their 60 MB."""


def prune(site: Path) -> None:
    for name in WHOLE:
        shutil.rmtree(site / name, ignore_errors=True)
    for pattern in ANYWHERE:
        for path in sorted(site.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    for service in (site / "botocore" / "data").glob("*/"):
        if service.is_dir() and service.name not in AWS_SERVICES:
            shutil.rmtree(service)


def drop_sources(folder: Path) -> None:
    compileall.compile_dir(
        folder, quiet=2, workers=1, legacy=True, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH
    )
    for source in folder.rglob("*.py"):
        if source.with_suffix(".pyc").exists():
            source.unlink()


def main(folders: list[str]) -> None:
    for folder in map(Path, folders):
        prune(folder)
        for name in SOURCELESS:
            drop_sources(folder / name)
        # A few packages carry templates that are no Python: what does not compile is not imported either.
        compileall.compile_dir(folder, quiet=2, workers=1, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)


if __name__ == "__main__":
    main(sys.argv[1:])
