"""No SQL, no key and no connection without a tenant: read off the source, so that a new line cannot forget it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

SRC = Path(__file__).parents[2] / "src"
FILES = sorted(path for path in SRC.rglob("*.py") if "egg-info" not in str(path))
MIGRATIONS = Path(__file__).parents[2] / "migrations" / "versions"
CREATES_FUNCTION = re.compile(r"CREATE FUNCTION (\w+)\(.*?(SECURITY DEFINER|\$\$)", re.DOTALL)
NAMES_A_TENANT = re.compile(r":tenant\b")
ACROSS_TENANTS = {
    "find_api_key": "whose key it is, is what is asked",
    "touch_api_keys": "when keys were used, for all at once; it returns nothing",
    "add_first_platform_key": "the platform's own key",
    "list_tenants": "the platform's list: ids, names, tiers, states",
    "last_change": "a number",
    "claim_ingest_job": "whose upload is processed next: ids only",
    "changes_after": "ids of tenants that changed",
    "record_usage": "usage of many tenants in one transaction; it returns nothing",
    "tenants_behind": "ids of tenants with chunks of another embedding model",
    "record_turns": "what was told in sessions of many tenants, in one transaction; it returns numbers",
    "oldest_turns": "ids of tenants that have turns, and when the first was asked",
    "end_erasures": "what no request can run into any more, of all tenants; a number",
    "add_tenant_metrics": "what the chats of many tenants were like, in one transaction; it returns nothing",
    "fleet_metrics": "the platform's look at numbers: no text of a tenant, not even the reasons of its rules",
    "forget_tenant_metrics": "what is old of all tenants; a number",
    "close_orphans": "usage that nobody renews, of all tenants; a number",
    "stale_copies": "of the copies that a replica names, which are not current; it learns nothing of any other tenant",
    "corpora_to_compact": "ids of tenants whose snapshot is behind; the snapshot itself is the tenant's own work",
    "add_usage": "the sums beside the ledger; no service may call it",
    "note_change": "the trigger that notes them; no service may call it",
}
"""What runs as the schema's owner and is not told a tenant; see migrations."""
TOUCHES_NO_TABLE = {"add_counts", "add_counters"}
"""Sums of what they are given, as whoever calls them."""
OWN_TENANT = {"purge_tenant", "remove_purged_tenant"}
"""Run as the owner too, on app.tenant_id alone; see tests/isolation."""
OUTSIDE_TENANTS = {
    "SELECT 1",
    "SELECT record_usage(CAST(:events AS jsonb))",
    "SELECT rolsuper OR rolbypassrls FROM pg_roles",
    "SELECT last_change() AS counter, c.subject FROM (SELECT) one LEFT JOIN changes_after(:seq)",
    "SELECT tenant_id, requested_by, request_id, started_at, removed FROM deletions",
}
"""The checks, and the platform's list of deletions under way, behind a policy of its own."""
OF_THE_PLATFORM = re.compile(r"\b(?:FROM|INTO) prices\b|'atrium prices'")
"""The platform's price list, which no tenant has a part of."""
WITHOUT_A_TENANT = {
    "no_tenant": {
        "tenancy/postgres_keys.py": {"find", "add_first_platform_key", "touch"},
        "tenancy/postgres_tenants.py": {"list"},
        "tenancy/postgres_changes.py": {"last", "after"},
        "rag/adapters/postgres_marks.py": {"due", "stale"},
        "tenancy/postgres_metrics.py": {"fleet"},
        "rag/adapters/postgres_reembedding.py": {"tenants_behind"},
        "rag/adapters/postgres_jobs.py": {"claim"},
        "tenancy/postgres_conversations.py": {"oldest"},
    },
    "across_tenants": {
        "tenancy/postgres_ledger.py": {"write", "_close_some"},
        "tenancy/postgres_conversations.py": {"write", "end_erasures"},
        "tenancy/postgres_metrics.py": {"add", "forget"},
    },
    "platform": {
        "stores/postgres.py": {"scope"},
        "router/adapters/postgres_prices.py": {"add", "latest", "seed", "version", "versions"},
        "tenancy/postgres_deletions.py": {"held", "note", "unfinished"},
    },
    "tenant_as_platform": {
        "tenancy/postgres_deletions.py": {"begin", "purge", "finish"},
        "tenancy/postgres_tenants.py": {"create", "set_state"},
    },
}
"""Which functions open a transaction that is not one tenant's alone."""
UNSAFE = {"pickle", "marshal", "shelve", "dill", "joblib"}
OPENS_CONNECTIONS = {"stores/postgres.py", "stores/valkey.py", "stores/objects_s3.py", "stores/tenant_sessions.py"}
KEEPS_NOTHING = {"router/adapters/moderation_bedrock.py", "stores/sealing_kms.py", "observability/aws.py"}
"""Open clients of services in which no tenant has anything: what KMS seals, it does not keep."""
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


def constants(tree: ast.Module) -> dict[str, str]:
    """The module's strings by name, as far as f-strings are made of them."""
    return {
        node.targets[0].id: "".join(constant.value for constant in strings(node.value))
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


def written_out(call: ast.Call, known: dict[str, str]) -> str:
    """The statement, on one line; the names in an f-string are replaced by what they stand for."""
    said = call.args[0]
    parts = said.values if isinstance(said, ast.JoinedStr) else list(strings(said))
    texts = [
        str(part.value) if isinstance(part, ast.Constant) else known.get(ast.unparse(part.value), "")
        for part in parts
        if isinstance(part, ast.Constant | ast.FormattedValue)
    ]
    return " ".join("".join(texts).split())


def calls_only(statement: str, functions: set[str]) -> bool:
    """Whether it asks one of these functions, and no table beside it."""
    found = re.fullmatch(r"SELECT (?:[\w, ]+ FROM )?(\w+)\([^()]*\)", statement)
    return found is not None and found.group(1) in functions


def test_every_statement_names_the_tenant_or_a_function_that_may_not() -> None:
    functions = set(ACROSS_TENANTS) | OWN_TENANT
    for name, tree in parsed():
        known = constants(tree)
        for call in calls(tree, "text"):
            statement = written_out(call, known)
            outside = any(statement.startswith(one) for one in OUTSIDE_TENANTS) or name.startswith("cli/local/")
            outside = outside or OF_THE_PLATFORM.search(statement) is not None
            allowed = outside or NAMES_A_TENANT.search(statement) or calls_only(statement, functions)
            assert allowed, f"{name}:{call.lineno}: {statement}"


def test_a_statement_across_tenants_is_a_call_of_such_a_function() -> None:
    for name, tree in parsed():
        known = constants(tree)
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            if isinstance(call.func, ast.Attribute) and call.func.attr == "across_tenants":
                statement = known.get(ast.unparse(call.args[0]), "")
                assert calls_only(statement, set(ACROSS_TENANTS)), f"{name}:{call.lineno}: {statement}"


def test_the_functions_that_run_as_the_owner_are_those_that_are_listed() -> None:
    found: set[str] = set()
    for migration in MIGRATIONS.glob("*.py"):
        for name, how in CREATES_FUNCTION.findall(migration.read_text(encoding="utf-8")):
            if name in TOUCHES_NO_TABLE:
                continue
            assert how == "SECURITY DEFINER", f"{migration.name}: {name}: list it, or say why it is harmless"
            found.add(name)
    assert found == ACROSS_TENANTS.keys() | OWN_TENANT


def test_only_named_functions_look_across_tenants() -> None:
    found: dict[str, dict[str, set[str]]] = {door: {} for door in WITHOUT_A_TENANT}
    for name, tree in parsed():
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
                    if isinstance(call.func, ast.Attribute) and (door := call.func.attr) in found:
                        found[door].setdefault(name, set()).add(function.name)
    assert found == WITHOUT_A_TENANT


def test_connections_are_opened_in_stores_alone() -> None:
    for name, tree in parsed():
        # The command starts the local stores, so it asks them whether they answer: it reads no tenant's data. A backup
        # reads all of it, as the owner of the machine's own database, and a restore writes it: no tenant asks for them.
        if name not in OPENS_CONNECTIONS | KEEPS_NOTHING and not name.startswith(("cli/local/", "cli/backup/")):
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
