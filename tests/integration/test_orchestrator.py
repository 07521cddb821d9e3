"""The orchestrator over real sockets, between an imitation of the engine and one of the RAG service."""

from __future__ import annotations

import json
import logging
import queue
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as HttpRoute

from app.main import create_app
from app.settings import Settings
from contracts.chat import TURN_EVENT
from contracts.classification import ClassifyRequest, ClassifyResponse
from contracts.context import Audience, TenantContext
from contracts.errors import DependencyDownError
from contracts.routes import BUILT_IN_ROUTES
from observability.logging import REQUEST_LOGGER
from router.adapters.orchestrator_http import HttpOrchestrator
from servicekit.client import ServiceClient, open_session
from servicekit.tokens import TokenSigner, generate_signing_key, load_signing_key, public_text, utc_now
from support.imitation_engine import Imitation, running_imitation
from support.imitation_rag import ImitationRag, running_rag
from support.server import served
from support.turns import ALL_ROUTES, T1, T2, a_context, a_passage, a_request, a_route

SIGNING_KEY = generate_signing_key()
KEY = load_signing_key(SIGNING_KEY)
PASSAGE = a_passage("c1", "lentils have 9 g of protein")


@dataclass
class Orchestrator:
    """The service under test, and the two it talks to."""

    url: str
    engine_url: str
    engine: Imitation
    rag_url: str
    rag: ImitationRag
    signer: TokenSigner = field(default_factory=lambda: TokenSigner(KEY))

    def headers(self, context: TenantContext) -> dict[str, str]:
        return {
            "authorization": f"Bearer {self.signer.mint(Audience.ORCHESTRATOR, context)}",
            "x-atrium-rag-token": self.signer.mint(Audience.RAG, context),
            "content-type": "application/json",
        }

    def ask(self, query: str, context: TenantContext | None = None, **request: Any) -> httpx.Response:
        body = a_request(query, **request).model_dump_json()
        return httpx.post(
            f"{self.url}/v1/turns", content=body, headers=self.headers(context or a_context()), timeout=30
        )

    def classify(self, *queries: str, context: TenantContext | None = None, **request: Any) -> httpx.Response:
        return httpx.post(
            f"{self.url}/v1/classify",
            content=a_classification(*queries, **request),
            headers=self.headers(context or a_context()),
            timeout=30,
        )

    def events(self, query: str, context: TenantContext | None = None, **request: Any) -> list[dict[str, Any]]:
        """The turn's events, each of them valid by the contract."""
        answer = self.ask(query, context, **request)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/x-ndjson"
        for line in answer.text.splitlines():
            TURN_EVENT.validate_json(line)
        return [json.loads(line) for line in answer.text.splitlines()]


def a_classification(*queries: str, **changes: Any) -> str:
    fields: dict[str, Any] = {"queries": queries, "routes": BUILT_IN_ROUTES, "allowed_routes": ALL_ROUTES}
    return ClassifyRequest(**(fields | changes)).model_dump_json()


@contextmanager
def running_orchestrator(
    *, engines: Callable[[str], str] = str, rag_url: str | None = None, **settings: Any
) -> Iterator[Orchestrator]:
    """`engines` makes VLLM_SERVICE_URL from the imitation's address."""
    with ExitStack() as stack:
        engine_url, engine = stack.enter_context(running_imitation(tokens=8))
        own_rag_url, rag = stack.enter_context(running_rag([KEY.public_key()]))
        rag.passages = {T1: [PASSAGE], T2: [a_passage("of-t2", "lentils have 9 g of protein")]}
        built = Settings(
            rag_service_url=rag_url or own_rag_url,
            vllm_service_url=engines(engine_url),
            service_verify_keys=public_text(KEY),
            **settings,
        )
        url = stack.enter_context(served(create_app(built)))
        yield Orchestrator(url, engine_url, engine, own_rag_url, rag)


@pytest.fixture(scope="module")
def shared() -> Iterator[Orchestrator]:
    with running_orchestrator() as running:
        yield running


@pytest.fixture
def orchestrator(shared: Orchestrator) -> Orchestrator:
    """One for the module, with nothing remembered of the tests before."""
    shared.engine.asked.clear()
    shared.rag.asked.clear()
    shared.rag.left.clear()
    return shared


class Records(logging.Handler):
    """The request records, awaited: a record is written after its answer has been read."""

    def __init__(self) -> None:
        super().__init__()
        self._records: queue.Queue[dict[str, Any]] = queue.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        self._records.put(record.__dict__["fields"])

    def of(self, request_id: str) -> dict[str, Any]:
        """Those of other requests are passed over: an earlier test's may be late."""
        while (record := self._records.get(timeout=5))["request_id"] != request_id:
            pass
        return record


@pytest.fixture
def records() -> Iterator[Records]:
    handler, logger = Records(), logging.getLogger(REQUEST_LOGGER)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(before)


def names(events: list[dict[str, Any]]) -> list[str]:
    return [event["event"] for event in events]


def soon(milliseconds: int = 1_500) -> TenantContext:
    return a_context(deadline=utc_now() + timedelta(milliseconds=milliseconds))


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


# ---- the happy path


def test_a_turn_streams_the_engines_words_with_the_tenants_own_passages(orchestrator: Orchestrator) -> None:
    events = orchestrator.events("how much protein do lentils have")
    assert names(events) == ["meta", *["token"] * 8, "citations", "usage", "done"]
    meta, citations, usage, done = events[0], events[-3], events[-2], events[-1]
    assert (meta["model"], meta["chunk_ids"]) == ("imitation", ["c1"])
    assert "".join(event["text"] for event in events[1:9]) == "how much protein do lentils have Answer briefly"
    assert [source["chunk_id"] for source in citations["sources"]] == ["c1"]
    assert citations["citations"] == [], "the answer says nothing of what the passage says"
    tokens = [event for event in events if event["event"] == "token"]
    assert [token["completion_tokens"] for token in tokens] == list(range(1, 9))
    assert {token["prompt_tokens"] for token in tokens} == {usage["usage"]["prompt_tokens"]}
    assert usage["usage"]["completion_tokens"] == 8
    assert usage["usage"]["total_tokens"] == usage["usage"]["prompt_tokens"] + 8
    assert done["finish_reason"] == "stop"


def test_the_engine_gets_the_salt_of_the_context_and_nothing_of_the_tenants_identity(
    orchestrator: Orchestrator,
) -> None:
    orchestrator.ask("hello", a_context(cache_salt="pepper", user_id="alice"))
    (asked,) = orchestrator.engine.asked
    assert asked.body["cache_salt"] == "pepper"
    assert asked.body["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
    assert asked.body["max_tokens"] == 512
    assert "alice" not in json.dumps(asked.body)


def test_a_turn_may_shorten_its_answer_but_not_lengthen_it(orchestrator: Orchestrator) -> None:
    for wanted, got in ((5, 5), (None, 512), (100_000, 512)):
        orchestrator.ask("hello", max_tokens=wanted)
        assert orchestrator.engine.asked[-1].body["max_tokens"] == got
    assert "priority" not in orchestrator.engine.asked[-1].body


def test_what_came_from_the_prefix_cache_is_told_at_the_end(orchestrator: Orchestrator) -> None:
    events = orchestrator.events("hello cached:3")
    assert events[-2]["usage"]["cached_tokens"] == 3


def test_priorities_are_sent_where_the_engine_schedules_by_them() -> None:
    with running_orchestrator(engine_priority=True) as running:
        running.ask("hello", priority=-2)
        assert running.engine.asked[-1].body["priority"] == -2


def test_the_pools_are_told_without_a_token(orchestrator: Orchestrator) -> None:
    pool = httpx.get(f"{orchestrator.url}/v1/pools").json()["pools"]["pooled"]
    assert pool["sequences"] == 64
    assert pool["replicas"] == 1


async def test_the_router_reads_the_pools(orchestrator: Orchestrator) -> None:
    async with open_session() as session:
        client = ServiceClient(session, orchestrator.url, service="orchestrator")
        states = await HttpOrchestrator(client, orchestrator.signer).pools()
    assert states["pooled"].sequences == 64


def test_two_tenants_asking_the_same_get_their_own_passages(orchestrator: Orchestrator) -> None:
    for tenant, chunk in ((T1, "c1"), (T2, "of-t2")):
        events = orchestrator.events("protein of lentils", a_context(tenant))
        assert events[0]["chunk_ids"] == [chunk]
    assert {tenant for _path, tenant, _body in orchestrator.rag.asked} == {T1, T2}


def test_the_query_is_embedded_once_and_the_search_uses_that_vector(orchestrator: Orchestrator) -> None:
    orchestrator.ask("lentils again")
    orchestrator.rag.asked.clear()
    orchestrator.ask("lentils once more")
    (embed, search) = orchestrator.rag.asked
    assert embed[2] == {"texts": ["lentils once more"]}
    assert (search[0], len(search[2]["vector"])) == ("/v1/search", 384)


def test_a_refused_turn_is_an_answer_and_reaches_neither_search_nor_engine(orchestrator: Orchestrator) -> None:
    events = orchestrator.events("What is the price of this laptop?", a_context(allowed_routes=("GENERAL",)))
    assert names(events) == ["meta", "refusal"]
    assert events[1]["refusal"]["rule_id"] == "allowed_routes"
    assert orchestrator.engine.asked == []
    assert [path for path, _tenant, _body in orchestrator.rag.asked if path == "/v1/search"] == []


def test_a_route_with_a_blocked_tool_is_refused(orchestrator: Orchestrator) -> None:
    events = orchestrator.events("What is the price of this laptop?", blocked_tools=("mcp_catalog",))
    assert events[-1]["refusal"]["reason"] == "blocked_tool"


def test_a_tenants_own_route_answers_by_its_own_instruction_without_retrieval(orchestrator: Orchestrator) -> None:
    travel = a_route("TRAVEL", "book a flight", system_prompt="You sell trips.", retrieve=False)
    events = orchestrator.events("book a flight", a_context(allowed_routes=("TRAVEL",)), routes=(travel,))
    assert (events[0]["route"], events[0]["chunk_ids"]) == ("TRAVEL", [])
    assert orchestrator.engine.asked[0].body["messages"][0]["content"] == "You sell trips."


def test_the_first_tokens_leave_while_the_engine_is_still_at_work(orchestrator: Orchestrator) -> None:
    """The engine never says a fourth token: three arrive, so nothing on the way waits for more."""
    headers = orchestrator.headers(a_context())
    body = a_request("fault:stall one two three").model_dump_json()
    with httpx.stream("POST", f"{orchestrator.url}/v1/turns", content=body, headers=headers, timeout=5) as answer:
        lines = answer.iter_lines()
        received = [json.loads(next(lines))["event"] for _ in range(4)]
    assert received == ["meta", "token", "token", "token"]


def test_meta_leaves_before_the_first_token(orchestrator: Orchestrator) -> None:
    headers = orchestrator.headers(a_context())
    body = a_request("fault:hang").model_dump_json()
    with httpx.stream("POST", f"{orchestrator.url}/v1/turns", content=body, headers=headers, timeout=5) as answer:
        assert json.loads(next(answer.iter_lines()))["event"] == "meta"


def test_a_finished_turn_leaves_its_connection_to_the_engine_for_the_next(orchestrator: Orchestrator) -> None:
    for _ in range(3):
        orchestrator.ask("hello")
    assert len({asked.client_port for asked in orchestrator.engine.asked}) == 1


def test_characters_cut_by_the_network_arrive_whole(orchestrator: Orchestrator) -> None:
    events = orchestrator.events("fault:split Grüße 👋 日本語")
    assert "Grüße 👋 日本語" in "".join(event["text"] for event in events if event["event"] == "token")


def test_an_engine_that_does_not_count_is_counted_for(
    orchestrator: Orchestrator, caplog: pytest.LogCaptureFixture
) -> None:
    events = orchestrator.events("fault:no-usage hello")
    assert events[-2]["usage"]["completion_tokens"] == 8
    assert "the engine counted no tokens" in caplog.messages


# ---- failures before the engine took the request are statuses


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("fault:http400-context", 422, "prompt_too_long"),
        ("fault:http404", 503, "model_unavailable"),
        ("fault:http500", 502, "upstream_error"),
        ("fault:http503", 503, "overloaded"),
        ("fault:html", 502, "upstream_error"),
    ],
)
def test_a_failure_before_the_answer_is_a_status_with_the_envelope(
    orchestrator: Orchestrator, query: str, status: int, code: str
) -> None:
    answer = orchestrator.ask(query)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.json()["error"]["request_id"] == "r1"


def test_an_engine_at_its_limit_says_when_to_come_again(orchestrator: Orchestrator) -> None:
    assert orchestrator.ask("fault:http503").headers["retry-after"] == "3"


def test_silence_until_the_deadline_is_504(orchestrator: Orchestrator) -> None:
    answer = orchestrator.ask("fault:hang-before-headers", soon())
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")


def test_a_deadline_that_has_passed_is_504_at_once(orchestrator: Orchestrator) -> None:
    assert orchestrator.ask("hello", soon(-5000)).status_code == 504


def test_an_unknown_pool_is_an_error_and_not_another_pools_engine(orchestrator: Orchestrator) -> None:
    answer = orchestrator.ask("hello", a_context(model_pool="gold"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "pool_unavailable")
    assert answer.headers["retry-after"] == "1"
    assert orchestrator.engine.asked == []


@pytest.mark.parametrize(
    "body", ["", "[]", "{not json", '{"query": "x"}', '{"query": 1, "locale": "en", "routes": []}']
)
def test_a_malformed_request_is_422(orchestrator: Orchestrator, body: str) -> None:
    answer = httpx.post(f"{orchestrator.url}/v1/turns", content=body, headers=orchestrator.headers(a_context()))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")


def test_what_is_wrong_with_a_request_is_said_with_its_place(orchestrator: Orchestrator) -> None:
    body = json.loads(a_request("hello").model_dump_json())
    body["routes"][0]["name"], body["query"] = "no name", 1
    answer = httpx.post(f"{orchestrator.url}/v1/turns", json=body, headers=orchestrator.headers(a_context()))
    faults = answer.json()["error"]["details"]["faults"]
    assert [fault["path"] for fault in faults] == ["query", "routes[0].name"]


def test_a_turn_that_is_not_said_to_be_json_is_422(orchestrator: Orchestrator) -> None:
    headers = orchestrator.headers(a_context()) | {"content-type": "text/plain"}
    answer = httpx.post(f"{orchestrator.url}/v1/turns", content=a_request("hello").model_dump_json(), headers=headers)
    assert (answer.status_code, "application/json" in answer.json()["error"]["message"]) == (422, True)


def test_a_turn_is_described_as_any_other_endpoint(orchestrator: Orchestrator) -> None:
    answer = httpx.get(f"{orchestrator.url}/v1/turns")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_a_tenant_in_the_body_is_an_unknown_field(orchestrator: Orchestrator) -> None:
    body = json.loads(a_request("hello").model_dump_json()) | {"tenant_id": "t2"}
    answer = httpx.post(f"{orchestrator.url}/v1/turns", json=body, headers=orchestrator.headers(a_context()))
    assert answer.status_code == 422


# ---- the RAG service is away: the turn does without it where it may


@pytest.mark.parametrize("fault", ["rag:down", "rag:garbage", "rag:hang"])
def test_a_turn_without_the_rag_service_is_answered_within_its_share_of_the_time_and_says_so(
    fault: str, records: Records
) -> None:
    with running_orchestrator() as running:
        context = a_context(request_id=f"without-{fault[4:]}", deadline=utc_now() + timedelta(seconds=2))
        events = running.events(f"{fault} how much protein do lentils have", context)
        assert (names(events)[0], names(events)[-1]) == ("meta", "done")
        assert (events[0]["route"], events[0]["degraded"], events[0]["chunk_ids"]) == ("GENERAL", True, [])
        assert events[-1]["timings_ms"]["classify"] < 1_000
        assert records.of(context.request_id)["degraded"] is True
        assert 'atrium_degraded_total{step="classify"} 1.0' in httpx.get(f"{running.url}/metrics").text


def test_nobody_waits_for_a_rag_service_that_does_not_answer_again_and_again() -> None:
    with running_orchestrator(classify_timeout_s=0.1) as running:
        took = [running.events("rag:hang")[-1]["timings_ms"]["classify"] for _ in range(8)]
        assert all(ms > 90 for ms in took[:5])
        assert all(ms < 90 for ms in took[5:])
        assert len(running.rag.asked) == 5


def test_a_tenant_that_wants_nothing_invented_gets_no_answer_without_the_rag_service() -> None:
    with running_orchestrator() as running:
        answer = running.ask("rag:down", when_nothing_found="say_so")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "dependency_unavailable")
        assert running.engine.asked == []


# ---- nothing found, marks


def test_where_nothing_is_found_a_tenant_may_be_told_so_and_no_engine_is_asked(orchestrator: Orchestrator) -> None:
    events = orchestrator.events("qwerty", when_nothing_found="say_so", locale="fr")
    assert names(events) == ["meta", "token", "citations", "usage", "done"]
    assert events[1]["text"] == "Je n'ai rien trouvé à ce sujet dans les documents."
    assert events[-2]["usage"]["total_tokens"] == 0
    assert orchestrator.engine.asked == []
    assert names(orchestrator.events("qwerty"))[-1] == "done"
    assert len(orchestrator.engine.asked) == 1


def test_the_marks_of_an_answer_are_checked_against_what_was_found(orchestrator: Orchestrator) -> None:
    events = orchestrator.events("lentils have protein [1] and [7]")
    said = "".join(event["text"] for event in events if event["event"] == "token")
    assert said.startswith("lentils have protein [1] and Answer")
    cited = events[-3]["citations"]
    assert [(one["chunk_id"], one["number"], one["marked"]) for one in cited] == [("c1", 1, True)]


def test_the_search_is_told_which_model_made_the_vector(orchestrator: Orchestrator) -> None:
    orchestrator.ask("lentils and their protein")
    assert orchestrator.rag.asked[-1][2]["model"] == "words"


# ---- a reader that does not read


def test_a_reader_that_does_not_read_is_cut_off_and_its_generation_stopped(records: Records) -> None:
    with running_orchestrator(slow_reader_s=0.2, max_answer_tokens=30_000) as running:
        context = a_context(request_id="slow")
        running.engine.interval_s = 0.0001  # so that the imitation looks up now and then
        body = a_request(f"tokens:30000 {'word' * 2_000}")
        told: list[dict[str, Any]] = []

        def cut_off() -> bool:
            """Told before the client leaves: what comes first is what the record says."""
            cut = running.engine.wait_for(lambda asked: bool(asked) and asked[0].disconnected, 60.0)
            told.append(records.of("slow"))
            return cut

        send_and_leave(running, body.model_dump_json(), cut_off, context=context)
        (record,) = told
        assert record["error_code"] == "slow_reader"
        assert 0 < record["token_usage"]["completion_tokens"] < 30_000
        assert 'reason="slow_reader"' in httpx.get(f"{running.url}/metrics").text


# ---- failures in the middle of an answer are events


@pytest.mark.parametrize(
    "fault", ["die", "cut", "garbage", "nonsense", "wrong-usage", "error-event", "big-event", "endless-line"]
)
def test_an_engine_that_breaks_leaves_what_was_used_and_an_error(orchestrator: Orchestrator, fault: str) -> None:
    events = orchestrator.events(f"fault:{fault} one two three")
    assert names(events) == ["meta", "token", "token", "token", "usage", "error"]
    assert events[-2]["usage"]["completion_tokens"] == 3
    assert events[-1]["code"] == "upstream_error"


def test_an_engine_that_stalls_is_given_up_at_the_deadline(orchestrator: Orchestrator) -> None:
    events = orchestrator.events("fault:stall one two three", soon())
    assert names(events) == ["meta", "token", "token", "token", "usage", "error"]
    assert events[-1]["code"] == "upstream_timeout"
    assert orchestrator.engine.wait_for(lambda asked: asked[0].disconnected, 1.0)


def test_an_engine_that_never_begins_is_given_up_at_the_deadline(orchestrator: Orchestrator) -> None:
    events = orchestrator.events("fault:hang", soon())
    assert names(events)[0] == "meta"
    assert events[-1]["code"] == "upstream_timeout"


# ---- the caller goes away


def send_and_leave(
    orchestrator: Orchestrator,
    body: str,
    reached: Callable[[], bool],
    path: str = "/v1/turns",
    context: TenantContext | None = None,
) -> None:
    """Send a request on a bare socket, read nothing, wait until `reached` is true, and close the socket."""
    headers = orchestrator.headers(context or a_context()) | {"host": "x", "content-length": str(len(body.encode()))}
    head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    address = urlsplit(orchestrator.url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(head.encode() + b"\r\n" + body.encode())
        assert reached()


@pytest.mark.parametrize("fault", ["hang-before-headers", "hang", "stall"])
def test_a_caller_that_leaves_stops_the_engine_within_a_second(orchestrator: Orchestrator, fault: str) -> None:
    """Before the engine answers, before its first token, and in the middle of its answer."""
    engine = orchestrator.engine
    tokens = 3 if fault == "stall" else 0
    send_and_leave(
        orchestrator,
        a_request(f"fault:{fault} a b c").model_dump_json(),
        lambda: engine.wait_for(lambda asked: bool(asked) and asked[0].tokens_sent >= tokens),
    )
    assert engine.wait_for(lambda asked: asked[0].disconnected, 1.0)


def test_a_caller_that_leaves_stops_retrieval_within_a_second(orchestrator: Orchestrator) -> None:
    rag = orchestrator.rag
    body = a_request("rag:hang").model_dump_json()
    send_and_leave(orchestrator, body, lambda: rag.wait_for(lambda seen: bool(seen.asked)))
    assert rag.wait_for(lambda seen: seen.left == ["/v1/embed"], 1.0)
    assert orchestrator.engine.asked == []


def test_what_a_caller_that_left_had_used_is_in_the_record(orchestrator: Orchestrator, records: Records) -> None:
    headers = orchestrator.headers(a_context(request_id="left"))
    body = a_request("fault:stall one two three").model_dump_json()
    with httpx.stream("POST", f"{orchestrator.url}/v1/turns", content=body, headers=headers) as answer:
        lines = answer.iter_lines()
        for _ in range(4):
            next(lines)
    left = records.of("left")
    assert left["disconnected"] is True
    assert left["token_usage"]["completion_tokens"] == 3


# ---- classification alone


def test_each_query_gets_the_route_that_its_turn_would_take(orchestrator: Orchestrator) -> None:
    queries = ("How much protein do lentils have?", "What is the price of this laptop?", "zzz")
    answer = orchestrator.classify(*queries)
    assert answer.status_code == 200, answer.text
    decisions = ClassifyResponse.model_validate_json(answer.text).decisions
    metas = [orchestrator.events(query)[0] for query in queries]
    assert [(one.route, one.score) for one in decisions] == [(meta["route"], meta["route_score"]) for meta in metas]
    assert [one.route for one in decisions] == ["DIET_NUTRITION", "PRICE_COMPARE", "GENERAL"]
    assert decisions[0].runner_up == "PRICE_COMPARE"
    assert all(one.refusal is None for one in decisions)


def test_classification_goes_by_the_terms_of_the_request_and_not_by_those_of_the_token(
    orchestrator: Orchestrator,
) -> None:
    query = "What is the price of this laptop?"
    forbidding = a_context(allowed_routes=())
    assert orchestrator.classify(query, context=forbidding).json()["decisions"][0]["refusal"] is None
    refused = orchestrator.classify(query, allowed_routes=("GENERAL",)).json()["decisions"][0]["refusal"]
    blocked = orchestrator.classify(query, blocked_tools=("mcp_catalog",)).json()["decisions"][0]["refusal"]
    assert (refused["rule_id"], blocked["rule_id"]) == ("allowed_routes", "blocked_tools")


def test_classification_asks_for_embeddings_alone_in_batches_that_the_rag_service_takes(
    orchestrator: Orchestrator,
) -> None:
    queries = [f"query {number}" for number in range(200)]
    own = a_route("TRAVEL", *(f"journey {secrets.token_hex(4)}" for _ in range(50)))
    far = a_route("FAR", *(f"far {secrets.token_hex(4)}" for _ in range(50)))
    answer = orchestrator.classify(*queries, routes=(own, far))
    assert len(answer.json()["decisions"]) == 200
    assert [(path, len(body["texts"])) for path, _tenant, body in orchestrator.rag.asked] == [
        ("/v1/embed", 256), ("/v1/embed", 44),
    ]  # fmt: skip
    assert orchestrator.engine.asked == []


@pytest.mark.parametrize(
    "body",
    [
        "", "{}", '{"queries": [], "routes": [], "allowed_routes": []}',
        '{"queries": ["a"], "routes": [], "allowed_routes": [], "tenant_id": "t2"}',
        json.dumps({"queries": ["a"] * 201, "routes": [], "allowed_routes": []}),
    ],
)  # fmt: skip
def test_a_malformed_classification_is_422(orchestrator: Orchestrator, body: str) -> None:
    answer = httpx.post(f"{orchestrator.url}/v1/classify", content=body, headers=orchestrator.headers(a_context()))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [("rag:down", 503, "dependency_unavailable"), ("rag:garbage", 502, "upstream_error")],
)
def test_a_classification_without_embeddings_says_why(
    orchestrator: Orchestrator, query: str, status: int, code: str
) -> None:
    answer = orchestrator.classify(query)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_a_classification_ends_at_its_deadline(orchestrator: Orchestrator) -> None:
    answer = orchestrator.classify("rag:hang", context=soon())
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")


def test_a_caller_that_leaves_stops_its_classification_within_a_second(orchestrator: Orchestrator) -> None:
    rag = orchestrator.rag
    body = a_classification("rag:hang")
    send_and_leave(orchestrator, body, lambda: rag.wait_for(lambda seen: bool(seen.asked)), "/v1/classify")
    assert rag.wait_for(lambda seen: seen.left == ["/v1/embed"], 1.0)


async def test_the_routers_adapter_is_understood_and_raises_what_is_raised(orchestrator: Orchestrator) -> None:
    request = ClassifyRequest.model_validate_json(a_classification("How much protein do lentils have?", "zzz"))
    async with open_session() as session:
        client = HttpOrchestrator(
            ServiceClient(session, orchestrator.url, service="the orchestrator"), TokenSigner(KEY)
        )
        found = await client.classify(a_context(), request)
        with pytest.raises(DependencyDownError):
            await client.classify(a_context(), request.model_copy(update={"queries": ("rag:down",)}))
    assert [one.route for one in found.decisions] == ["DIET_NUTRITION", "GENERAL"]


# ---- who may ask


def refused_tokens() -> dict[str, tuple[str | None, str]]:
    """The header `authorization`, or none, by what is wrong with it."""
    context = a_context()
    ours, hour_ago = TokenSigner(KEY), utc_now() - timedelta(hours=1)
    return {
        "missing": (None, "rag"),
        "not a bearer": (f"Basic {ours.mint(Audience.ORCHESTRATOR, context)}", "rag"),
        "nonsense": ("Bearer x.y.z", "rag"),
        "expired": (f"Bearer {TokenSigner(KEY, now=lambda: hour_ago).mint(Audience.ORCHESTRATOR, context)}", "rag"),
        "for another service": (f"Bearer {ours.mint(Audience.RAG, context)}", "rag"),
        "of another key": (
            f"Bearer {TokenSigner(Ed25519PrivateKey.generate()).mint(Audience.ORCHESTRATOR, context)}",
            "rag",
        ),
        "without one for the RAG service": (f"Bearer {ours.mint(Audience.ORCHESTRATOR, context)}", ""),
    }


@pytest.mark.parametrize("path", ["/v1/turns", "/v1/classify"])
@pytest.mark.parametrize("fault", refused_tokens())
def test_a_token_that_is_not_the_routers_for_this_service_is_401(
    orchestrator: Orchestrator, fault: str, path: str
) -> None:
    authorization, rag_token = refused_tokens()[fault]
    headers = {"x-atrium-rag-token": rag_token, "content-type": "application/json"} | (
        {"authorization": authorization} if authorization else {}
    )
    body = a_request("hello").model_dump_json() if path == "/v1/turns" else a_classification("hello")
    answer = httpx.post(f"{orchestrator.url}{path}", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthenticated")
    assert (orchestrator.engine.asked, orchestrator.rag.asked) == ([], [])


def test_a_rag_token_of_another_key_is_our_failure_and_not_the_callers(orchestrator: Orchestrator) -> None:
    """Like any other of the RAG service: the turn does without it."""
    headers = orchestrator.headers(a_context())
    headers["x-atrium-rag-token"] = TokenSigner(Ed25519PrivateKey.generate()).mint(Audience.RAG, a_context())
    answer = httpx.post(f"{orchestrator.url}/v1/turns", content=a_request("hi").model_dump_json(), headers=headers)
    assert (answer.status_code, json.loads(answer.text.splitlines()[0])["degraded"]) == (200, True)


# ---- operations


def test_the_request_line_says_what_was_done_and_nothing_of_what_was_said(
    orchestrator: Orchestrator, records: Records, caplog: pytest.LogCaptureFixture
) -> None:
    secret = secrets.token_hex(8)
    orchestrator.ask(f"How much protein do lentils have? {secret}", a_context(request_id="r77"))
    record = records.of("r77")
    assert record["tenant_id"] == "t1"
    assert (record["route"], record["request_id"], record["status"]) == ("DIET_NUTRITION", "r77", 200)
    assert (record["chunk_ids"], record["citations"]) == (["c1"], [])
    assert record["route_score"] > record["runner_up_score"]
    assert (record["runner_up"], record["degraded"], bool(record["prompt"])) == ("PRICE_COMPARE", False, True)
    assert list(record["timings_ms"]) == ["classify", "retrieve", "generate", "cite"]
    assert sum(record["timings_ms"].values()) <= record["latency_ms"]
    assert record["token_usage"]["completion_tokens"] == 8
    assert 0 < record["first_token_ms"] <= record["latency_ms"]
    assert secret not in repr(record) + caplog.text


def test_a_late_failure_and_a_refusal_are_in_their_records(orchestrator: Orchestrator, records: Records) -> None:
    orchestrator.ask("fault:die", a_context(request_id="broken"))
    orchestrator.ask("hello", a_context(request_id="refused", allowed_routes=()))
    assert records.of("broken")["error_code"] == "upstream_error"
    assert records.of("refused")["refusal_reason"] == "route_not_allowed"


def test_metrics_count_the_engines_failures_and_no_stream_is_left_open(
    orchestrator: Orchestrator, records: Records
) -> None:
    orchestrator.ask("fault:die", a_context(request_id="counted"))
    records.of("counted")
    metrics = httpx.get(f"{orchestrator.url}/metrics").text
    assert 'atrium_dependency_failure_total{dependency="vllm",reason="upstream_error"}' in metrics
    assert "atrium_active_streams 0.0" in metrics


def test_readiness_names_what_is_down(orchestrator: Orchestrator) -> None:
    ready = httpx.get(f"{orchestrator.url}/readyz")
    assert (ready.status_code, ready.json()["dependencies"]) == (200, {"rag": "ok", "postgres": "ok", "vllm": "ok"})
    orchestrator.rag.dependencies["postgres"] = "down"
    try:
        unready = httpx.get(f"{orchestrator.url}/readyz")
    finally:
        orchestrator.rag.dependencies["postgres"] = "ok"
    assert (unready.status_code, unready.json()["dependencies"]["postgres"]) == (503, "down")


def test_services_out_of_reach_are_named_and_a_turn_fails_at_once() -> None:
    nobody = f"http://127.0.0.1:{closed_port()}"
    with running_orchestrator(engines=lambda _url: nobody) as without_engine:
        assert httpx.get(f"{without_engine.url}/readyz").json()["dependencies"]["vllm"] == "down"
        assert without_engine.ask("hello").status_code == 502
        assert httpx.get(f"{without_engine.url}/healthz").status_code == 200
    with running_orchestrator(rag_url=nobody) as without_rag:
        assert httpx.get(f"{without_rag.url}/readyz").json()["dependencies"]["rag"] == "down"
        degraded = without_rag.events("hello")
        assert (names(degraded)[-1], degraded[0]["degraded"]) == ("done", True)


def test_a_conversation_stays_at_a_replica_others_spread_and_a_pool_of_its_own_is_kept_apart() -> None:
    with running_imitation() as (second_url, second), running_imitation() as (gold_url, gold):
        engines = f"{{}},{second_url},gold={gold_url}"
        with running_orchestrator(engines=engines.format) as running:
            for _ in range(4):
                running.events("hello")
            assert sorted([len(running.engine.asked), len(second.asked), len(gold.asked)]) == [0, 0, 4]
            for number in range(40):
                running.events("hello", a_context(session_id=f"s{number}"))
            assert 8 <= len(second.asked) <= 36
            assert gold.asked == []
            running.events("hello", a_context(model_pool="gold"))
            assert (len(running.engine.asked) + len(second.asked), len(gold.asked)) == (44, 1)


def test_a_plain_openai_server_gets_plain_openai_parameters_and_the_key() -> None:
    with running_orchestrator(engine_dialect="openai", engine_api_key="sk-1", atrium_model="gpt") as running:
        events = running.events("hello")
    (asked,) = running.engine.asked
    assert set(asked.body) == {"model", "messages", "max_tokens", "temperature", "stream", "stream_options"}
    assert asked.body["stream_options"] == {"include_usage": True}
    assert (asked.body["model"], asked.authorization) == ("gpt", "Bearer sk-1")
    assert events[-2]["usage"]["completion_tokens"] == 8


def test_the_sampling_of_the_settings_reaches_the_engine() -> None:
    with running_orchestrator(temperature=0.5, frequency_penalty=0.3, max_answer_tokens=3) as running:
        assert names(running.events("one two three four")).count("token") == 3
    (asked,) = running.engine.asked
    assert (asked.body["temperature"], asked.body["frequency_penalty"], asked.body["max_tokens"]) == (0.5, 0.3, 3)


def test_nothing_is_told_to_langsmith_without_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the environment switches LangSmith's tracing on."""
    told: list[str] = []

    async def receive(request: Request) -> Response:
        told.append(request.url.path)
        return Response("{}")

    receiver = Starlette(routes=[HttpRoute("/{path:path}", receive, methods=["GET", "POST", "PATCH"])])
    with served(receiver) as url:
        monkeypatch.setenv("LANGSMITH_TRACING", "true")
        monkeypatch.setenv("LANGSMITH_ENDPOINT", url)
        with running_orchestrator() as running:
            running.events("hello")
        from langchain_core.tracers.langchain import wait_for_all_tracers  # noqa: PLC0415  of this test alone

        wait_for_all_tracers()
    assert told == []
