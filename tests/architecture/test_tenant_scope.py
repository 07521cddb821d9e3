"""No SQL, no key and no connection without a tenant: read off the source, so that a new line cannot forget it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

SRC = Path(__file__).parents[2] / "src"
FILES = sorted(path for path in SRC.rglob("*.py") if "egg-info" not in str(path))
NAMES_A_TENANT = re.compile(
    r":tenant\b|find_api_key|list_tenants|add_first_platform_key|touch_api_keys|last_change|changes_after"
    r"|record_usage|close_orphans|purge_tenant|remove_purged_tenant"
)
OF_THE_PLATFORM = re.compile(r"\b(?:FROM|INTO) (?:prices|deletions)\b|'atrium prices'")
MAY_ASK_ACROSS_TENANTS = {
    "tenancy/postgres_changes.py",
    "tenancy/postgres_keys.py",
    "tenancy/postgres_ledger.py",
    "tenancy/postgres_tenants.py",
}
"""Each statement there calls a named SECURITY DEFINER function; see migrations."""
UNSAFE = {"pickle", "marshal", "shelve", "dill", "joblib"}
OPENS_CONNECTIONS = {"stores/postgres.py", "stores/valkey.py", "stores/objects_s3.py"}
OPENERS = ("create_async_engine", "create_engine", "Redis", "Redis.from_url")
AWS_OPENERS = ("boto3.client", "boto3.resource", "boto3.Session", "boto3.session.Session", "Session")


def name_of(path: Path) -> str:
    return path.relative_to(SRC).as_posix()


def parsed() -> Iterator[tuple[str, ast.Module]]:
    for path in FILES:
        yield name_of(path), ast.parse(path.read_text(encoding="utf-8"))


def strings(tree: ast.AST) -> Iterator[ast.Constant]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node


def calls(tree: ast.AST, function: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == function:
            yield node


def test_every_statement_names_the_tenant_or_a_function_that_may_not() -> None:
    for name, tree in parsed():
        for call in calls(tree, "text"):
            statement = "".join(constant.value for constant in strings(call))
            platforms = OF_THE_PLATFORM.search(statement) is not None
            harmless = statement == "SELECT 1" or name.startswith("cli/local/") or platforms
            assert harmless or NAMES_A_TENANT.search(statement), f"{name}:{call.lineno}: {statement}"


def test_only_named_places_look_across_tenants() -> None:
    found = {name_of(path) for path in FILES if ".no_tenant(" in path.read_text(encoding="utf-8")}
    assert found == MAY_ASK_ACROSS_TENANTS


def test_connections_are_opened_in_stores_alone() -> None:
    for name, tree in parsed():
        # The command starts the local stores, so it asks them whether they answer: it reads no tenant's data.
        if name not in OPENS_CONNECTIONS and not name.startswith("cli/local/"):
            for opener in OPENERS + AWS_OPENERS:
                assert not list(calls(tree, opener)), f"{name} calls {opener}"


def test_a_key_of_valkey_is_built_in_one_place() -> None:
    found = {name for name, tree in parsed() for constant in strings(tree) if constant.value.startswith("atrium:")}
    assert found == {"stores/valkey.py"}


def test_the_path_of_an_object_is_built_in_one_place() -> None:
    found = {name for name, tree in parsed() for constant in strings(tree) if constant.value.startswith("tenants/")}
    assert found == {"stores/object_keys.py"}


def test_nothing_is_deserialised_that_could_run_code() -> None:
    for name, tree in parsed():
        assert not list(calls(tree, "eval")), name
        assert not list(calls(tree, "exec")), name
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                modules = {alias.name for alias in node.names} | {getattr(node, "module", "") or ""}
                assert not UNSAFE & {module.split(".")[0] for module in modules}, f"{name}:{node.lineno}"
