"""`python rootfs.py TARGET FOLDER…`: a root file system with the interpreter, its standard library, what the folders
hold, and the shared libraries that any of it needs. No shell, no package manager, nothing to build with.

The list of Debian's packages goes along, so that a scanner knows where the libraries came from.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

# Opened by name at run time, so that no program asks for them: threads that are cancelled, and the resolver of names.
BY_NAME = ("libgcc_s.so.1", "libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2")
FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/openssl.cnf",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/ld.so.cache",
    "/var/lib/dpkg/status",
)
LEFT_OUT = (
    "site-packages",
    "dist-packages",
    "test",
    "idlelib",
    "tkinter",
    "turtledemo",
    "lib2to3",
    "ensurepip",
    "pydoc_data",
)
ACCOUNTS = "root:x:0:0::/nonexistent:/nonexistent\natrium:x:10001:10001::/tmp:/nonexistent\n"
GROUP = "root:x:0:\natrium:x:10001:\n"


def is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def needed_by(path: Path) -> Iterator[Path]:
    """The shared libraries of a program or library, as the loader would find them."""
    said = subprocess.run(["/usr/bin/ldd", str(path)], check=False, capture_output=True, text=True)  # noqa: S603
    for line in said.stdout.splitlines():
        for word in line.split():
            if word.startswith("/") and Path(word).exists():
                yield Path(word)


def copy(path: Path, target: Path) -> None:
    """The file at the same place, and every link on the way to it."""
    while path.is_symlink():
        link = target / path.relative_to("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink() and not link.exists():
            link.symlink_to(path.readlink())
        path = Path(os.path.normpath(path.parent / path.readlink()))
    place = target / path.relative_to("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        shutil.copy2(path, place)


def skeleton(target: Path) -> None:
    for name in ("lib", "lib64", "bin", "sbin"):
        top = Path("/", name)
        if top.is_symlink():
            (target / name).symlink_to(top.readlink())
            (target / top.readlink()).mkdir(parents=True, exist_ok=True)
    (target / "tmp").mkdir(mode=0o1777)
    (target / "tmp").chmod(0o1777)
    (target / "etc").mkdir()
    (target / "etc" / "passwd").write_text(ACCOUNTS, encoding="ascii")
    (target / "etc" / "group").write_text(GROUP, encoding="ascii")


def main(target: Path, folders: list[Path]) -> None:
    target.mkdir(parents=True)
    skeleton(target)
    stdlib = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(
        stdlib, target / stdlib.relative_to("/"), symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT, "config-*")
    )
    for folder in folders:
        shutil.copytree(folder, target / folder.relative_to("/"), symlinks=True)
    executable = Path(sys.executable)
    copy(executable, target)
    for path in map(Path, FILES):
        if path.exists():
            copy(path, target)
    elves = [path for folder in (stdlib, *folders) for path in folder.rglob("*.so*") if path.is_file() and is_elf(path)]
    inside = tuple(f"{folder}/" for folder in folders)
    libraries = {library for elf in (executable.resolve(), *elves) for library in needed_by(elf)}
    known = {path.parent for path in libraries if not str(path).startswith(inside)}
    libraries |= {folder / name for folder in known for name in BY_NAME if (folder / name).exists()}
    for library in sorted(libraries):
        if not str(library).startswith(inside):
            copy(library, target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(folder) for folder in sys.argv[2:]])
