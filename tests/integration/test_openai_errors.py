"""What goes wrong on `/v1` is told as OpenAI tells it, so that its clients raise what their users expect."""

from __future__ import annotations

import gzip
import time
from typing import Any

import httpx
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.openai_clients import a_tool, asking, openai_client
from support.stack import Stack


def raised(stack: Stack, tenant: str, text: str = "hello", **wishes: Any) -> openai.APIStatusError:
    with openai_client(stack, tenant) as client, pytest.raises(openai.APIStatusError) as error:
        client.chat.completions.create(**({"model": "atrium", "messages": asking(text)} | wishes))
    return error.value


def own(error: openai.APIStatusError) -> dict[str, Any]:
    body = error.body
    assert isinstance(body, dict)
    assert set(body) == {"message", "type", "param", "code", "atrium"}
    assert body["atrium"]["request_id"] == error.response.headers["x-request-id"] == error.request_id
    found = body["atrium"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("authorization", [{}, {"authorization": "Bearer atr_nobody"}, {"authorization": "Basic eDp5"}])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models"])
def test_who_has_no_key_is_told_so_in_openais_words(stack: Stack, path: str, authorization: dict[str, str]) -> None:
    method = "GET" if path.endswith("models") else "POST"
    answer = httpx.request(method, stack.router + path, headers=authorization, timeout=30)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"
    with (
        openai.OpenAI(base_url=f"{stack.router}/v1", api_key="atr_nobody", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as error,
    ):
        client.models.list()
    assert own(error.value)["code"] == "unauthenticated"


def test_a_key_speaks_for_its_own_tenant(stack: Stack) -> None:
    tenant, other = stack.new_tenant("wrong"), stack.new_tenant("wrong")
    error = raised(stack, tenant, extra_headers={"X-Tenant-Id": other})
    assert isinstance(error, openai.PermissionDeniedError)
    assert own(error)["code"] == "tenant_mismatch"


def test_a_suspended_tenant_is_forbidden(stack: Stack) -> None:
    tenant = stack.new_tenant("wrong")
    with openai_client(stack, tenant) as client:
        assert client.models.list().data
        with stack.platform() as platform:
            platform.post(f"/tenants/{tenant}/suspend").raise_for_status()
        time.sleep(1.0)  # in force everywhere one second later
        with pytest.raises(openai.PermissionDeniedError):
            client.models.list()


def test_a_model_that_does_not_exist_is_not_found(stack: Stack) -> None:
    error = raised(stack, stack.new_tenant("wrong"), model="gpt-4o")
    assert isinstance(error, openai.NotFoundError)
    assert (error.code, error.param) == ("model_not_found", "model")


@pytest.mark.parametrize(
    ("wishes", "param"),
    [
        ({"logprobs": True}, "logprobs"),
        ({"n": 2}, "n"),
        ({"extra_body": {"cache_salt": "x"}}, "cache_salt"),
        ({"extra_body": {"atrium": {"priority": 1}}}, "atrium.priority"),
        ({"tools": [a_tool("a b")]}, "tools[0].function.name"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"$ref": "#"}}}},
         "response_format.json_schema.schema"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
         "messages[0].content"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_a_bad_request_that_names_it(stack: Stack, wishes: dict[str, Any], param: str) -> None:
    before = stack.engine_requests()
    error = raised(stack, stack.new_tenant("wrong"), **wishes)
    assert isinstance(error, openai.BadRequestError)
    assert (error.param, error.type) == (param, "invalid_request_error")
    assert own(error)["code"] == "invalid_request"
    assert stack.engine_requests() == before


def test_a_limit_is_a_rate_limit_with_the_time_to_wait(stack: Stack) -> None:
    tenant = stack.new_tenant("wrong", rate_limit_per_minute=1)
    with openai_client(stack, tenant) as client:
        asked: Any = {"model": "atrium", "messages": asking("tokens:1 hi")}
        client.chat.completions.create(**asked)
        for stream in (False, True):
            with pytest.raises(openai.RateLimitError) as error:
                client.chat.completions.create(**asked, stream=stream)
            assert (error.value.code, error.value.type) == ("rate_limit_exceeded", "requests")
            assert 0 < int(error.value.response.headers["retry-after"]) <= 61
            assert error.value.response.headers["ratelimit-remaining"] == "0"
            assert own(error.value)["details"]["limit"] == "requests_per_minute"


@pytest.mark.parametrize(
    ("config", "code", "type_"),
    [
        ({"monthly_budget_usd": 0}, "insufficient_quota", "insufficient_quota"),
        ({"tokens_per_minute": 1}, "rate_limit_exceeded", "tokens"),
    ],
)
def test_what_waiting_does_not_mend_is_not_tried_again(
    stack: Stack, config: dict[str, Any], code: str, type_: str
) -> None:
    tenant = stack.new_tenant("wrong", **config)
    error = raised(stack, tenant)
    assert isinstance(error, openai.RateLimitError)
    assert (error.code, error.type) == (code, type_)
    assert error.response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        ("fault:http400-context", openai.BadRequestError, "context_length_exceeded"),
        ("fault:http500", openai.InternalServerError, "upstream_error"),
        ("fault:http503", openai.InternalServerError, "overloaded"),
        ("fault:html", openai.InternalServerError, "upstream_error"),
    ],
)
def test_an_engine_that_fails_is_told_before_the_stream_begins(
    stack: Stack, fault: str, kind: type[Exception], code: str
) -> None:
    tenant = stack.new_tenant("wrong")
    for stream in (False, True):
        error = raised(stack, tenant, f"hello {fault}", stream=stream)
        assert isinstance(error, kind)
        assert error.code == code


@pytest.mark.parametrize(
    ("fault", "wishes"),
    [
        ("fault:http400-tools", {"tools": [a_tool()]}),
        ("fault:http400-schema", {"response_format": {"type": "json_object"}}),
        ("fault:http400-schema", {"seed": 1}),
    ],
)
def test_what_the_engine_cannot_do_is_a_bad_request(stack: Stack, fault: str, wishes: dict[str, Any]) -> None:
    error = raised(stack, stack.new_tenant("wrong"), f"hello {fault}", **wishes)
    assert isinstance(error, openai.BadRequestError)
    assert next(iter(wishes)) in error.message


def test_a_schema_that_the_engine_finds_wrong_when_it_has_begun_is_a_bad_request_and_ejects_nobody(
    stack: Stack,
) -> None:
    tenant, before = stack.new_tenant("wrong"), stack.engine_requests()
    wishes: dict[str, Any] = {"response_format": {"type": "json_object"}}
    for _ in range(5):
        assert isinstance(raised(stack, tenant, "hello fault:wrong-schema", **wishes), openai.BadRequestError)
        assert raised(stack, tenant, "hello fault:error-event", **wishes).status_code == 502
    assert stack.engine_requests() == before + 10
    with openai_client(stack, tenant) as client:
        asked: Any = {"model": "atrium", "messages": asking("tokens:1 hi")}
        assert client.chat.completions.create(**asked).choices[0].message.content == "tokens:1"


@pytest.mark.parametrize("fault", ["die", "cut", "garbage", "nonsense", "error-event", "big-event"])
def test_an_engine_that_breaks_in_the_middle_ends_the_stream_with_an_error(stack: Stack, fault: str) -> None:
    tenant, told = stack.new_tenant("wrong"), []
    body: Any = {"model": "atrium", "messages": asking(f"one two three fault:{fault}"), "stream": True}
    with openai_client(stack, tenant) as client, pytest.raises(openai.APIError) as error:
        told.extend(client.chat.completions.create(**body))
    assert error.value.code == "upstream_error"
    assert raised(stack, tenant, f"one two three fault:{fault}").status_code == 502
    with stack.client(tenant) as client:
        wire = client.post("/v1/chat/completions", json=body).text
    assert "[DONE]" not in wire
    assert wire.count('data: {"error":') == 1


def test_a_key_of_another_request_is_a_bad_one(stack: Stack) -> None:
    tenant, mark = stack.new_tenant("wrong"), {"Idempotency-Key": "k1"}
    with openai_client(stack, tenant) as client:
        asked: Any = {"model": "atrium", "extra_headers": mark}
        client.chat.completions.create(**asked, messages=asking("tokens:1 hi"))
    error = raised(stack, tenant, "something else", extra_headers=mark)
    assert isinstance(error, openai.BadRequestError)
    assert error.code == "idempotency_mismatch"


@pytest.mark.parametrize(
    ("content", "status"), [(b"{not json", 400), (b"[]", 400), (b"", 400), (b'"\xff"', 400), (b"[" * 100_000, 400),
                            (b'{"model": 1e999}', 400), (b"9" * 5_000, 400)],
)  # fmt: skip
def test_a_body_that_is_none_is_a_bad_request(stack: Stack, content: bytes, status: int) -> None:
    tenant = stack.new_tenant("wrong")
    with stack.client(tenant) as client:
        answer = client.post("/v1/chat/completions", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code", "atrium"}


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_that_is_too_large_is_told_in_openais_words(stack: Stack, declared: bool) -> None:
    tenant, content = stack.new_tenant("wrong"), b" " * (3 << 20)
    with stack.client(tenant) as client:
        sent: Any = content if declared else iter([content])
        answer = client.post("/v1/chat/completions", content=sent, headers={"content-type": "application/json"})
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "body_too_large"


def test_a_wrong_method_is_told_all_that_the_path_has(stack: Stack) -> None:
    for path, methods in [("/keys", "GET, POST"), ("/tenant/t1/config", "GET, PATCH, PUT"), ("/chat", "POST")]:
        answer = httpx.options(stack.router + path, timeout=30)
        assert (answer.status_code, answer.headers["allow"]) == (405, methods)


@pytest.mark.parametrize(("path", "status"), [("/v1/embeddings", 404), ("/v1/chat/completions", 405), ("/v1", 404)])
def test_what_there_is_not_is_told_in_openais_words(stack: Stack, path: str, status: int) -> None:
    answer = httpx.get(stack.router + path, timeout=30)
    assert answer.status_code == status
    if path.startswith("/v1/"):
        assert answer.json()["error"]["type"] == "invalid_request_error"


_SHARED: dict[str, str] = {}
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_FIELDS = st.sampled_from(
    ["messages", "tools", "tool_choice", "stop", "response_format", "stream", "n", "atrium", "user"]
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(_FIELDS | st.text(max_size=6), _JSON, max_size=3))
def test_no_body_breaks_the_router(stack: Stack, body: dict[str, Any]) -> None:
    tenant = _SHARED.get(stack.router) or _SHARED.setdefault(stack.router, stack.new_tenant("any"))
    asked = {"model": "atrium", "messages": asking("tokens:1 hi")} | body
    with stack.client(tenant) as client:
        answer = client.post("/v1/chat/completions", json=asked)
    assert answer.status_code in {200, 400}, answer.text


@pytest.mark.parametrize(
    ("content", "headers", "says"),
    [
        (gzip.compress(b"{}", mtime=0), {"content-encoding": "gzip"}, "Content-Encoding"),
        (b"\xff", {}, "send JSON in UTF-8"),
        (b"[" * 200_000, {}, "send JSON in UTF-8"),
        (b'{"top_k": 40}', {}, "leave it out"),
        (b'{"reasoning_effort": "low"}', {}, "leave it out"),
    ],
)
def test_a_body_that_is_refused_is_told_what_to_change(
    stack: Stack, content: bytes, headers: dict[str, str], says: str
) -> None:
    with stack.client(stack.new_tenant("wrong"), headers={"content-type": "application/json"} | headers) as client:
        answer = client.post("/v1/chat/completions", content=content)
        error = answer.json()["error"]
    assert answer.status_code == 400
    faults = error["atrium"]["details"].get("faults", [{"reason": error["message"]}])
    assert any(says in fault["reason"] for fault in faults)
