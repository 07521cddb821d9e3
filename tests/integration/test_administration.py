"""What platform and tenant admins do: onboard, keys, versions, rollback, suspend, export, delete."""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from support.server import served
from support.stack import Stack, another_router
from tenancy.audit import Head, event_from_json, find_breach

OIL = {"title": "Olive oil", "text": "Extra virgin olive oil costs 8.90 euros at the Riverside shop."}


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def name() -> str:
    return f"adm-{secrets.token_hex(4)}"


def status(stack: Stack, tenant: str, key: str) -> int:
    return httpx.get(f"{stack.router}/tenant/{tenant}/documents", headers=bearer(key), timeout=30).status_code


# --- onboarding ---------------------------------------------------------------------------------------------------


def test_a_tier_gives_its_defaults_and_what_is_said_wins(stack: Stack) -> None:
    with stack.platform() as platform:
        tenant = name()
        body = {"tenant_id": tenant, "tier": "pro", "config": {"rate_limit_per_hour": 7, "display_name": "Shop"}}
        created = platform.post("/tenants", json=body)
        assert created.status_code == 201
        with httpx.Client(base_url=stack.router, headers=bearer(created.json()["admin_key"]), timeout=30) as admin:
            config = admin.get(f"/tenant/{tenant}/config").json()
            assert (config["tier"], config["rate_limit_per_minute"], config["rate_limit_per_hour"]) == ("pro", 300, 7)
            replaced = admin.put(f"/tenant/{tenant}/config", json={}).json()
            assert (replaced["tier"], replaced["rate_limit_per_hour"]) == ("pro", 10_000)
            assert admin.patch(f"/tenant/{tenant}/config", json={"tier": "enterprise"}).status_code == 403
        listed = platform.get("/tenants", params={"after": tenant[:-1], "limit": 1}).json()["items"][0]
        assert (listed["tier"], listed["state"], listed["config_version"]) == ("pro", "active", 2)
        raised = platform.patch(f"/tenant/{tenant}/config", json={"tier": "enterprise"}).json()
        assert raised["tier"] == "enterprise"


def test_the_same_request_again_gets_the_same_answer_and_another_one_does_not(stack: Stack) -> None:
    tenant, mark = name(), {"idempotency-key": secrets.token_hex(8)}
    with stack.platform() as platform:
        first = platform.post("/tenants", json={"tenant_id": tenant}, headers=mark)
        again = platform.post("/tenants", json={"tenant_id": tenant}, headers=mark)
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json() == again.json()
        spaced = f'{{ "tenant_id" : "{tenant}" }}'
        reordered = platform.post("/tenants", content=spaced, headers=mark | {"content-type": "application/json"})
        assert reordered.json() == first.json()
        assert status(stack, tenant, again.json()["admin_key"]) == 200
        changed = platform.post("/tenants", json={"tenant_id": tenant, "tier": "pro"}, headers=mark)
        assert (changed.status_code, changed.json()["error"]["code"]) == (422, "idempotency_mismatch")
        elsewhere = platform.post("/tenants", json={"tenant_id": name()}, headers=mark)
        assert (elsewhere.status_code, elsewhere.json()["error"]["code"]) == (422, "idempotency_mismatch")
        assert platform.post("/tenants", json={"tenant_id": tenant}).status_code == 409
        other_mark = {"idempotency-key": secrets.token_hex(8)}
        assert platform.post("/tenants", json={"tenant_id": tenant}, headers=other_mark).status_code == 409


def test_a_first_key_that_was_revoked_is_not_shown_again(stack: Stack) -> None:
    tenant, mark = name(), {"idempotency-key": secrets.token_hex(8)}
    with stack.platform() as platform:
        platform.post("/tenants", json={"tenant_id": tenant}, headers=mark).raise_for_status()
        (key,) = platform.get(f"/tenant/{tenant}/keys").json()["items"]
        platform.delete(f"/tenant/{tenant}/keys/{key['key_id']}").raise_for_status()
        assert platform.post("/tenants", json={"tenant_id": tenant}, headers=mark).status_code == 409


def test_nor_is_one_that_was_rotated_away(stack: Stack) -> None:
    tenant, mark = name(), {"idempotency-key": secrets.token_hex(8)}
    with stack.platform() as platform:
        platform.post("/tenants", json={"tenant_id": tenant}, headers=mark).raise_for_status()
        (key,) = platform.get(f"/tenant/{tenant}/keys").json()["items"]
        path = f"/tenant/{tenant}/keys/{key['key_id']}/rotate"
        platform.post(path, json={"overlap_s": 0}).raise_for_status()
        assert platform.post("/tenants", json={"tenant_id": tenant}, headers=mark).status_code == 409
        body = {"tenant_id": name(), "tier": "pro", "config": {"tier": "basic"}}
        assert platform.post("/tenants", json=body).status_code == 422


def test_a_tenant_made_again_with_the_same_idempotency_key_has_another_admin_key(stack: Stack) -> None:
    tenant, mark = name(), {"idempotency-key": secrets.token_hex(8)}
    with stack.platform() as platform:
        old = platform.post("/tenants", json={"tenant_id": tenant}, headers=mark).json()["admin_key"]
        platform.delete(f"/tenants/{tenant}").raise_for_status()
        new = platform.post("/tenants", json={"tenant_id": tenant}, headers=mark).json()["admin_key"]
    assert new != old
    assert (status(stack, tenant, old), status(stack, tenant, new)) == (401, 200)


# --- keys ---------------------------------------------------------------------------------------------------------


def test_a_keys_life(stack: Stack) -> None:
    tenant = stack.new_tenant("keys")
    with stack.client(tenant) as admin:
        made = admin.post(f"/tenant/{tenant}/keys", json={"label": "app", "role": "tenant_user"}).json()
        assert made["key"].startswith("atr_")
        assert len(made["key"]) == 4 + 43
        assert status(stack, tenant, made["key"]) == 200
        shown = admin.get(f"/tenant/{tenant}/keys")
        assert made["key"] not in shown.text
        assert [item["label"] for item in shown.json()["items"]] == ["first admin key", "app"]
        rotated = admin.post(f"/tenant/{tenant}/keys/{made['key_id']}/rotate", json={"overlap_s": 60}).json()
        assert (rotated["label"], rotated["role"]) == ("app", "tenant_user")
        assert (status(stack, tenant, made["key"]), status(stack, tenant, rotated["key"])) == (200, 200)
        assert admin.delete(f"/tenant/{tenant}/keys/{rotated['key_id']}").status_code == 204
        assert status(stack, tenant, rotated["key"]) == 401
        assert admin.delete(f"/tenant/{tenant}/keys/{rotated['key_id']}").status_code == 404


def test_an_old_key_without_overlap_ends_at_once(stack: Stack) -> None:
    tenant = stack.new_tenant("keys")
    with stack.client(tenant) as admin:
        made = admin.post(f"/tenant/{tenant}/keys", json={"label": "app", "role": "service"}).json()
        assert status(stack, tenant, made["key"]) == 200
        rotated = admin.post(f"/tenant/{tenant}/keys/{made['key_id']}/rotate", json={"overlap_s": 0}).json()
        assert (status(stack, tenant, made["key"]), status(stack, tenant, rotated["key"])) == (401, 200)
        assert admin.post(f"/tenant/{tenant}/keys/{made['key_id']}/rotate", json={}).status_code == 404


def test_a_key_ends_at_its_time_though_nobody_writes_anything(stack: Stack) -> None:
    tenant = stack.new_tenant("keys")
    ends = datetime.now(UTC) + timedelta(seconds=1.5)
    with stack.client(tenant) as admin:
        body = {"label": "short", "role": "tenant_user", "expires_at": ends.isoformat()}
        key = admin.post(f"/tenant/{tenant}/keys", json=body).json()["key"]
    assert status(stack, tenant, key) == 200
    time.sleep(max(0.0, (ends - datetime.now(UTC)).total_seconds()) + 0.01)
    assert status(stack, tenant, key) == 401


def test_a_body_of_another_type_is_told_which_is_meant(stack: Stack) -> None:
    with stack.platform() as platform:
        answer = platform.post("/tenants", content=b'{"tenant_id": "x"}')
    assert answer.status_code == 422
    assert "application/json" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"label": "x", "role": "platform_admin"}, 403),
        ({"label": "x", "role": "root"}, 422),
        ({"label": "", "role": "tenant_user"}, 422),
        ({"label": "x\x00", "role": "tenant_user"}, 422),
        ({"label": "x", "role": "tenant_user", "expires_at": "2020-01-01T00:00:00Z"}, 422),
        ({"label": "x", "role": "tenant_user", "expires_at": "2030-01-01T00:00:00"}, 422),
        ({"label": "x", "role": "tenant_user", "expires_at": "9999-12-31T23:59:59-14:00"}, 422),
        ({"label": "x", "role": "tenant_user", "expires_at": "9999-12-31T23:59:59Z"}, 422),
        ({"label": "x", "role": "tenant_user", "key": "atr_mine"}, 422),
        ({"label": "x", "role": "tenant_user", "key_id": "key_mine"}, 422),
        ({"label": "x", "role": "tenant_user", "tenant_id": "t2"}, 422),
    ],
)
def test_what_cannot_be_a_key_is_refused(stack: Stack, body: dict[str, Any], code: int) -> None:
    tenant = stack.new_tenant("keys")
    with stack.client(tenant) as admin:
        assert admin.post(f"/tenant/{tenant}/keys", json=body).status_code == code
        assert len(admin.get(f"/tenant/{tenant}/keys").json()["items"]) == 1


def test_the_platform_keeps_a_key(stack: Stack) -> None:
    with stack.platform() as platform:
        (first,) = (key for key in platform.get("/keys").json()["items"] if key["label"] == "bootstrap")
        second = platform.post("/keys", json={"label": "second"}).json()
        assert second["role"] == "platform_admin"
        assert platform.post("/keys", json={"label": "x", "role": "tenant_admin"}).status_code == 403
        with httpx.Client(base_url=stack.router, headers=bearer(second["key"]), timeout=30) as by_second:
            assert by_second.get("/tenants").status_code == 200
            assert by_second.delete(f"/keys/{second['key_id']}").status_code == 204
        refused = platform.delete(f"/keys/{first['key_id']}")
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
        actions = [item["action"] for item in platform.get("/audit").json()["items"]]
        assert actions[:2] == ["key.revoke", "key.create"]


@pytest.mark.parametrize("text", ["atr_", "'; DROP TABLE api_keys; --", '"quoted"', "x" * 65_536, "atr_" + "a" * 43])
def test_what_is_no_key_is_401_or_too_large_and_nothing_breaks(stack: Stack, text: str) -> None:
    tenant = stack.new_tenant("keys")
    try:
        assert status(stack, tenant, text) in {400, 401, 431}
    except httpx.RemoteProtocolError:
        assert len(text) > 60_000  # the server cuts a head of that size
    with stack.client(tenant) as admin:
        assert admin.get(f"/tenant/{tenant}/keys").status_code == 200


# --- config -------------------------------------------------------------------------------------------------------


def test_every_write_is_a_version_with_author_comment_and_diff(stack: Stack) -> None:
    tenant = stack.new_tenant("conf")
    path = f"/tenant/{tenant}/config"
    with stack.client(tenant) as admin:
        admin.patch(path, json={"rate_limit_per_minute": 30}, params={"comment": "less"}).raise_for_status()
        rule = {"type": "contains", "pattern": "hack", "reason": "no"}
        unsaid = {"id": None, "stage": "input", "action": "refuse"}
        admin.patch(path, json={"refusal_rules": [rule]}).raise_for_status()
        history = admin.get(f"{path}/versions").json()
        assert [item["version"] for item in history["items"]] == [3, 2, 1]
        assert history["items"][1]["comment"] == "less"
        assert history["items"][1]["changes"] == [
            {"path": "rate_limit_per_minute", "kind": "changed", "before": 100_000, "after": 30}
        ]
        assert history["items"][0]["changes"] == [
            {"path": "refusal_rules[0]", "kind": "added", "before": None, "after": {**rule, **unsaid}}
        ]
        page = admin.get(f"{path}/versions", params={"limit": 1, "before": 3}).json()
        assert ([item["version"] for item in page["items"]], page["next"]) == ([2], 2)
        empty = {"items": [], "next": None}
        assert admin.get(f"{path}/versions", params={"before": 1}).json() == empty
        assert admin.get(f"{path}/versions/2").json()["config"]["rate_limit_per_minute"] == 30
        assert admin.get(f"{path}/versions/9").status_code == 404
        back = admin.post(f"{path}/rollback", json={"version": 1})
        assert (back.headers["etag"], back.json()["rate_limit_per_minute"]) == ('"4"', 100_000)
        assert back.json()["refusal_rules"] == []
        newest = admin.get(f"{path}/versions", params={"limit": 1}).json()["items"][0]
        assert newest["comment"] == "rolled back to version 1"
        assert admin.post(f"{path}/rollback", json={"version": 99}).status_code == 404


def test_what_was_answered_can_be_sent_back(stack: Stack) -> None:
    tenant = stack.new_tenant("conf")
    path = f"/tenant/{tenant}/config"
    with stack.client(tenant) as admin:
        written = admin.put(path, json=admin.get(path).json())
        assert written.status_code == 200
        assert admin.put(path, json=written.json()).status_code == 200
        assert admin.patch(path, json=written.json()).headers["etag"] == written.headers["etag"]


def test_a_write_that_changes_nothing_makes_no_version_and_is_no_event(stack: Stack) -> None:
    tenant = stack.new_tenant("conf")
    path = f"/tenant/{tenant}/config"
    with stack.client(tenant) as admin:
        events = len(admin.get(f"/tenant/{tenant}/audit").json()["items"])
        for again in (admin.patch(path, json={}), admin.put(path, json=admin.get(path).json()),
                      admin.post(f"{path}/rollback", json={"version": 1})):  # fmt: skip
            assert (again.status_code, again.headers["etag"]) == (200, '"1"')
        assert len(admin.get(f"{path}/versions").json()["items"]) == 1
        assert len(admin.get(f"/tenant/{tenant}/audit").json()["items"]) == events


def test_limits_that_the_tier_gave_follow_it(stack: Stack) -> None:
    tenant = name()
    path = f"/tenant/{tenant}/config"
    with stack.platform() as platform:
        body = {"tenant_id": tenant, "config": {"rate_limit_per_hour": 7}}
        platform.post("/tenants", json=body).raise_for_status()
        raised = platform.patch(path, json={"tier": "pro"}).json()
        assert (raised["rate_limit_per_minute"], raised["rate_limit_per_hour"]) == (300, 7)
        said = platform.patch(path, json={"tier": "enterprise", "rate_limit_per_minute": 300}).json()
        assert (said["tier"], said["rate_limit_per_minute"]) == ("enterprise", 300)


def test_a_config_grows_to_a_mebibyte_also_bit_by_bit(stack: Stack) -> None:
    tenant = stack.new_tenant("conf")
    path = f"/tenant/{tenant}/config"
    rules = [{"type": "contains", "pattern": f"{n:04d}" + "x" * 600, "reason": "r"} for n in range(1_000)]
    patterns = [f"{n:04d}" + "y" * 600 for n in range(1_000)]
    with stack.client(tenant) as admin:
        admin.patch(path, json={"refusal_rules": rules}).raise_for_status()
        grown = admin.patch(path, json={"sensitive_prompt_patterns": patterns})
        assert (grown.status_code, grown.json()["error"]["code"]) == (413, "body_too_large")
        assert grown.json()["error"]["details"]["limit"] == 1 << 20
        assert admin.get(path).headers["etag"] == '"2"'
        admin.patch(path, json={"refusal_rules": rules[:-1]}).raise_for_status()
        admin.patch(path, json={"refusal_rules": rules[1:]}).raise_for_status()
        pages = [admin.get(f"{path}/versions").json()]
        while (before := pages[-1]["next"]) is not None:
            pages.append(admin.get(f"{path}/versions", params={"before": before}).json())
        assert [item["version"] for page in pages for item in page["items"]] == [4, 3, 2, 1]
        assert len(pages) > 1


def test_who_sends_no_if_match_is_never_told_that_somebody_was_faster(stack: Stack) -> None:
    tenant = stack.new_tenant("conf")
    path = f"/tenant/{tenant}/config"
    values = {"display_name": "a", "locale": "de-DE", "retention_days": 9, "rate_limit_per_minute": 8,
              "rate_limit_per_hour": 80, "blocked_tools": ["x"]}  # fmt: skip
    with stack.client(tenant) as admin, ThreadPoolExecutor(6) as several:
        found = list(several.map(lambda item: admin.patch(path, json=dict([item])).status_code, values.items()))
        assert found == [200] * 6
        now = admin.get(path).json()
        assert {field: now[field] for field in values} == values


def test_if_match_takes_a_list_and_says_when_somebody_was_faster(stack: Stack) -> None:
    tenant = stack.new_tenant("conf")
    path = f"/tenant/{tenant}/config"
    with stack.client(tenant) as admin:
        for call in (admin.put, admin.patch):
            assert call(path, json={}, headers={"if-match": '"9", "8"'}).status_code == 412
            assert call(path, json={}, headers={"if-match": "not a tag"}).status_code == 422
        assert admin.post(f"{path}/rollback", json={"version": 1}, headers={"if-match": '"9"'}).status_code == 412
        assert admin.get(path).headers["etag"] == '"1"'
        for number, match in enumerate(('"7", "1"', "*"), start=2):
            written = admin.patch(path, json={"rate_limit_per_hour": number}, headers={"if-match": match})
            assert written.headers["etag"] == f'"{number}"'


@pytest.mark.parametrize(
    ("patch", "place"),
    [
        ({"rate_limit_per_minute": 0}, "rate_limit_per_minute"),
        ({"refusal_rules": [{"type": "regex", "pattern": "(a", "reason": "x"}]}, "refusal_rules[0]"),
        ({"refusal_rules": [{"type": "regex", "pattern": r"(a)\1", "reason": "x"}]}, "refusal_rules[0]"),
        ({"routes": [{"name": "lower"}]}, "routes[0].name"),
        ({"nothing_of_ours": 1}, "nothing_of_ours"),
        ({"nothing_of_ours": None}, "nothing_of_ours"),
        ({"tier": "gold"}, "tier"),
        ({"tier": ["pro"]}, "tier"),
    ],
)
def test_a_bad_change_is_told_place_and_reason_and_changes_nothing(
    stack: Stack, patch: dict[str, Any], place: str
) -> None:
    tenant = stack.new_tenant("conf")
    with stack.client(tenant) as admin:
        answer = admin.patch(f"/tenant/{tenant}/config", json=patch)
        assert answer.status_code == 422
        assert answer.json()["error"]["details"]["faults"][0]["path"] == place
        assert admin.get(f"/tenant/{tenant}/config").headers["etag"] == '"1"'


def test_a_rule_that_can_never_be_the_reason_is_warned_of(stack: Stack) -> None:
    tenant = stack.new_tenant("conf")
    rules = [
        {"type": "contains", "pattern": "hack", "reason": "a"},
        {"type": "contains", "pattern": "hacker", "reason": "b"},
    ]
    with stack.client(tenant) as admin:
        written = admin.put(f"/tenant/{tenant}/config", json={"refusal_rules": rules}).json()
        assert [warning["path"] for warning in written["warnings"]] == ["refusal_rules[1]"]
        assert "warnings" not in admin.get(f"/tenant/{tenant}/config").json()


def test_a_dry_run_says_what_would_change_and_changes_nothing(stack: Stack) -> None:
    tenant = stack.new_tenant("dry")
    path = f"/tenant/{tenant}/config/dry-run"
    patch = {"refusal_rules": [{"id": "no-hack", "type": "contains", "pattern": "hack", "reason": "no"}]}
    with stack.client(tenant) as admin:
        for query in ("How do I hack this?", "Which shop is cheapest?"):
            admin.post("/chat", json={"query": query}).raise_for_status()
        before = stack.engine_requests()
        deadline = time.monotonic() + 5
        while len((seen := admin.post(path, json={"patch": patch, "last": 10}).json())["results"]) < 2:
            assert time.monotonic() < deadline, "the last requests are kept within a moment"
        newest, oldest = seen["results"]
        assert (newest["query"], newest["changed"]) == ("Which shop is cheapest?", False)
        assert (oldest["today"]["outcome"], oldest["candidate"]["refused_by"]) == ("answered", "no-hack")
        assert seen["summary"]["rules"] == {"no-hack": {"today": 0, "candidate": 1}}
        given = admin.post(
            path,
            json={"config": {"rate_limit_per_minute": 1, "allowed_routes": ["GENERAL"]},
                  "prompts": ["Which shop is cheapest?", {"query": "And now?", "at": "2030-01-01T00:00:00Z"}]},
        ).json()  # fmt: skip
        assert given["results"][0]["candidate"]["refused_by"] == "allowed_routes"
        assert given["results"][1]["candidate"]["outcome"] == "answered"
        assert admin.post(path, json={"prompts": ["x"]}).status_code == 422
        assert admin.post(path, json={"config": {}, "prompts": [""]}).status_code == 422
        wrong = admin.post(path, json={"patch": {"rate_limit_per_minute": 0}, "prompts": ["x"]})
        assert wrong.json()["error"]["details"]["faults"][0]["path"] == "rate_limit_per_minute"
        assert admin.get(f"/tenant/{tenant}/config").headers["etag"] == '"1"'
        assert stack.engine_requests() == before


def test_without_retention_no_request_is_kept(stack: Stack) -> None:
    tenant = stack.new_tenant("dry", retention_days=0)
    with stack.client(tenant) as admin:
        admin.post("/chat", json={"query": "Which shop is cheapest?"}).raise_for_status()
        seen = admin.post(f"/tenant/{tenant}/config/dry-run", json={"patch": {}, "last": 10}).json()
        assert seen["results"] == []


# --- audit, export ------------------------------------------------------------------------------------------------


def test_the_audit_says_who_did_what_from_where_and_holds_together(stack: Stack) -> None:
    tenant = stack.new_tenant("audit")
    secret = "a secret pattern nobody may read in a log"
    with stack.client(tenant) as admin:
        admin.patch(
            f"/tenant/{tenant}/config",
            json={"sensitive_prompt_patterns": [secret]},
            params={"comment": "one \u2028 more"},
            headers={"x-request-id": "req-1"},
        ).raise_for_status()
        key = admin.post(f"/tenant/{tenant}/keys", json={"label": "app", "role": "service"}).json()
        admin.post(f"/tenant/{tenant}/documents", json=OIL | {"document_id": "oil"}).raise_for_status()
        admin.delete(f"/tenant/{tenant}/documents/oil").raise_for_status()
        page = admin.get(f"/tenant/{tenant}/audit")
        oldest_first = admin.get(f"/tenant/{tenant}/audit", params={"after": 0, "limit": 2}).json()
    assert key["key"] not in page.text
    assert secret not in page.text
    assert OIL["text"] not in page.text
    items = page.json()["items"]
    assert [item["action"] for item in items] == [
        "document.delete", "document.put", "key.create", "config.write", "tenant.create",
    ]  # fmt: skip
    write = items[3]
    assert (write["actor"], write["role"], write["address"]) == ("header", "tenant_admin", "127.0.0.1")
    assert (write["request_id"], write["before_hash"] != write["after_hash"]) == ("req-1", True)
    head = Head(**page.json()["head"])
    assert find_breach((event_from_json(item) for item in reversed(items)), head) is None
    assert ([item["seq"] for item in oldest_first["items"]], oldest_first["next"]) == ([1, 2], 2)


def test_an_export_holds_everything_and_its_sums_are_right(stack: Stack) -> None:
    tenant, other = stack.new_tenant("export"), stack.new_tenant("export")
    for owner in (tenant, other):
        with stack.client(owner) as admin:
            admin.post(f"/tenant/{owner}/documents", json=OIL | {"title": owner}).raise_for_status()
    with stack.client(tenant) as admin:
        answer = admin.get(f"/tenant/{tenant}/export")
    assert answer.headers["content-type"] == "application/zip"
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    manifest = json.loads(archive.read("manifest.json"))
    assert manifest["tenant_id"] == tenant
    for member, said in manifest["files"].items():
        assert hashlib.sha256(archive.read(member)).hexdigest() == said["sha256"]
    rows = {member: [json.loads(line) for line in archive.read(member).splitlines()] for member in manifest["files"]}
    assert [row["version"] for row in rows["config_versions.jsonl"]] == [1]
    (document,) = rows["documents.jsonl"]
    assert (document["title"], document["passages"][0]["text"]) == (tenant, OIL["text"])
    assert rows["audit.jsonl"][-1]["action"] == "tenant.export"
    assert other not in json.dumps(rows)


# --- suspend, delete ----------------------------------------------------------------------------------------------


def test_a_suspended_tenant_may_look_and_take_away_and_nothing_else(stack: Stack) -> None:
    tenant = stack.new_tenant("susp")
    with stack.client(tenant) as admin, stack.platform() as platform:
        suspended = platform.post(f"/tenants/{tenant}/suspend")
        assert (suspended.status_code, suspended.json()["state"]) == (200, "suspended")
        for refused in (
            admin.post("/chat", json={"query": "x"}),
            admin.put(f"/tenant/{tenant}/config", json={}),
            admin.post(f"/tenant/{tenant}/documents", json=OIL),
            admin.post(f"/tenant/{tenant}/keys", json={"label": "x", "role": "service"}),
        ):
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "tenant_suspended")
        for path in ("config", "documents", "audit", "export"):
            assert admin.get(f"/tenant/{tenant}/{path}").status_code == 200
        # The platform goes on administering it: it may have to, since nobody else can.
        key = platform.post(f"/tenant/{tenant}/keys", json={"label": "x", "role": "service"}).json()
        assert platform.delete(f"/tenant/{tenant}/keys/{key['key_id']}").status_code == 204
        assert platform.patch(f"/tenant/{tenant}/config", json={"rate_limit_per_minute": 9}).status_code == 200
        named = platform.post("/chat", json={"query": "x", "tenant_id": tenant})
        assert named.json()["error"]["code"] == "tenant_suspended"
        assert platform.post(f"/tenants/{tenant}/resume").json()["state"] == "active"
        assert admin.post("/chat", json={"query": "x"}).status_code == 200
        assert platform.post(f"/tenants/{name()}/suspend").status_code == 404


def test_deleting_removes_everything_and_the_same_id_begins_anew(stack: Stack) -> None:
    tenant = stack.new_tenant("gone", display_name="the old one")
    with stack.client(tenant) as admin, stack.platform() as platform:
        key = admin.post(f"/tenant/{tenant}/keys", json={"label": "old", "role": "tenant_admin"}).json()["key"]
        admin.post(f"/tenant/{tenant}/documents", json=OIL).raise_for_status()
        found = admin.post(f"/tenant/{tenant}/search", json={"query": "olive oil"}).json()["passages"]
        assert len(found) == 1
        admin.post("/chat", json={"query": "olive oil"}).raise_for_status()
        salt = stack.last_engine_body()["cache_salt"]
        receipt = platform.delete(f"/tenants/{tenant}")
        assert receipt.status_code == 200, receipt.text
        removed, left = receipt.json()["removed"], receipt.json()["left"]
        assert removed["postgres.documents"] == removed["postgres.chunks"] == removed["faiss.vectors"] == 1
        assert removed["valkey.keys"] >= 2
        assert removed["postgres.tenants"] == 1
        assert set(left.values()) == {0}
        assert status(stack, tenant, key) == 401
        assert admin.get(f"/tenant/{tenant}/config").status_code == 404
        assert platform.delete(f"/tenants/{tenant}").status_code == 404
        kept = platform.get("/audit").json()["items"][0]
        assert (kept["action"], kept["resource"]) == ("tenant.delete", f"tenant/{tenant}")
        assert kept["details"]["removed"] == removed

        platform.post("/tenants", json={"tenant_id": tenant}).raise_for_status()
        assert status(stack, tenant, key) == 401
        assert admin.get(f"/tenant/{tenant}/config").json()["display_name"] == ""
        assert admin.get(f"/tenant/{tenant}/documents").json()["items"] == []
        assert admin.post(f"/tenant/{tenant}/search", json={"query": "olive oil"}).json()["passages"] == []
        assert [item["seq"] for item in admin.get(f"/tenant/{tenant}/audit").json()["items"]] == [1]
        admin.post("/chat", json={"query": "olive oil"}).raise_for_status()
        assert stack.last_engine_body()["cache_salt"] != salt


def test_a_deletion_that_was_stopped_goes_on(stack: Stack, valkey_url: str) -> None:
    tenant = stack.new_tenant("half")
    with stack.client(tenant) as admin, stack.platform() as platform:
        admin.post(f"/tenant/{tenant}/documents", json=OIL).raise_for_status()
        # A router that cannot reach the RAG service gets stuck halfway.
        with served(another_router(stack, valkey_url, rag_service_url="http://127.0.0.1:9")) as lame:
            stuck = httpx.delete(f"{lame}/tenants/{tenant}", headers=platform.headers, timeout=30)
        assert (stuck.status_code, stuck.json()["error"]["code"]) == (502, "upstream_error")
        assert admin.get(f"/tenant/{tenant}/config").status_code == 404
        assert platform.post("/tenants", json={"tenant_id": tenant}).status_code == 409
        receipt = platform.delete(f"/tenants/{tenant}").json()
        assert receipt["removed"]["postgres.documents"] == 1
        assert set(receipt["left"].values()) == {0}
        assert platform.post("/tenants", json={"tenant_id": tenant}).status_code == 201
