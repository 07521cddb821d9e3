"""An image has what its service imports, and nothing that the service does not need."""

from __future__ import annotations

import ast
import re
import sys
from functools import lru_cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from support.rendered import ROOT

SOURCES, DOCKERFILES, REQUIREMENTS = ROOT / "src", ROOT / "dockerfiles", ROOT / "requirements"
SERVICES = {"router": "router", "orchestrator": "app", "rag": "rag"}
"""Image and package."""
AT_RUN_TIME = {
    "router": {"alembic", "httptools", "uvloop"},
    "orchestrator": {"httptools", "uvloop"},
    "rag": {"httptools", "uvloop"},
}
"""Chosen by name, imported nowhere."""
HEAVY = {"torch", "faiss-cpu", "sentence-transformers", "transformers", "onnx", "onnxruntime"}


@lru_cache
def distributions() -> dict[str, list[str]]:
    return dict(packages_distributions())


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(name: str) -> dict[str, str]:
    """The distributions of a lock, with their version and marker."""
    lines = (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    found = [line.removesuffix("\\").strip() for line in lines if re.match(r"[a-z0-9]", line)]
    return {normal(re.split(r"[=\[]", line)[0]): line for line in found}


def imported(path: Path) -> set[str]:
    """Every module that a file imports, or may: of `from a import b`, both `a` and `a.b`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def source_of(module: str) -> Path | None:
    """The file of a module of ours; None for what is no module, or not ours."""
    place = SOURCES.joinpath(*module.split("."))
    found = (place.with_suffix(".py"), place / "__init__.py")
    return next((path for path in found if path.exists()), None)


@lru_cache
def closure(package: str) -> tuple[frozenset[str], frozenset[str]]:
    """The packages of ours that all modules of a package import, itself included, and all that comes from elsewhere."""
    waiting = sorted((SOURCES / package).rglob("*.py"))
    seen, tops, others = set[Path](), {package}, set[str]()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for name in imported(path):
            top = name.split(".")[0]
            if (SOURCES / top).is_dir():
                tops.add(top)
                # `import a.b` runs a/__init__.py as well.
                parts = name.split(".")
                modules = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
                waiting += [found for module in modules if (found := source_of(module))]
            elif top not in sys.stdlib_module_names:
                others.add(name)
    return frozenset(tops), frozenset(others)


@pytest.mark.parametrize("image", SERVICES)
def test_a_lock_has_what_the_service_imports(image: str) -> None:
    provided = distributions()
    needed = {
        normal(provided[top][0])
        for top in {name.split(".")[0] for name in closure(SERVICES[image])[1]}
        if top in provided
    }
    assert needed | AT_RUN_TIME[image] <= set(locked(image))


@pytest.mark.parametrize("image", SERVICES)
def test_a_lock_has_the_versions_that_are_tested(image: str) -> None:
    tested = locked("app")
    assert all(line == tested[name] for name, line in locked(image).items() if name not in HEAVY)
    assert all(name in tested for name in locked(image))


@pytest.mark.parametrize("image", ["router", "orchestrator"])
def test_what_computes_embeddings_is_in_the_rag_image_alone(image: str) -> None:
    assert not HEAVY & set(locked(image))
    assert {normal(name) for name in HEAVY} <= set(locked("rag"))


@pytest.mark.parametrize("image", SERVICES)
def test_every_distribution_of_a_lock_has_hashes(image: str) -> None:
    text = (REQUIREMENTS / f"{image}.txt").read_text(encoding="utf-8")
    assert text.count("--hash=sha256:") >= len(locked(image))
    assert "://" not in text


@pytest.mark.parametrize("image", SERVICES)
def test_an_image_copies_the_packages_that_its_service_imports_and_no_others(image: str) -> None:
    text = (DOCKERFILES / f"Dockerfile.{image}").read_text(encoding="utf-8")
    copied = set(re.findall(r"^COPY src/(\w+) /app/src/\1$", text, re.MULTILINE))
    assert copied == closure(SERVICES[image])[0]
    assert "COPY . " not in text


@pytest.mark.parametrize("image", SERVICES)
def test_an_image_has_no_shell_and_no_root(image: str) -> None:
    text = (DOCKERFILES / f"Dockerfile.{image}").read_text(encoding="utf-8")
    final = text[text.index("FROM scratch") :]
    assert "USER 10001:10001" in final
    assert "RUN " not in final
    assert "HEALTHCHECK " not in re.sub(r"#.*", "", text)
    assert "ADD " not in text
    assert "--require-hashes" in text
    assert "--only-binary :all:" in text
    assert f"atrium-{image}.cdx.json" in text
    for label in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{label}=" in final


def test_no_code_of_ours_imports_what_an_image_is_pruned_of() -> None:
    scope: dict[str, object] = {}
    tree = ast.parse((DOCKERFILES / "prune.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "WHOLE":
            scope["WHOLE"] = ast.literal_eval(node.value)
    gone = {path.replace("/", ".") for path in scope["WHOLE"]}  # type: ignore[attr-defined]
    assert gone
    for package in SERVICES.values():
        names = closure(package)[1]
        assert not {name for name in names if any(name == one or name.startswith(f"{one}.") for one in gone)}


def test_an_image_gets_nothing_of_the_repository_that_is_not_named() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[1] == "*"
    assert {line for line in ignored if line.startswith("!")} == {
        "!src",
        "!migrations",
        "!alembic.ini",
        "!requirements/*.txt",
        "!dockerfiles/*.py",
    }
