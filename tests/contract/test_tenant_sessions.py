"""With a role for each tenant every request to S3 is signed by a session of the tenant whose key is in it."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from stores.objects import Objects, open_objects

pytestmark = pytest.mark.usefixtures("aws")
A, B = TenantId("a"), TenantId("b")
ROLE = "arn:aws:iam::123456789012:role/atrium-rag-tenant"
_SESSION = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>{key}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>
<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""
_NOTHING = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
_DENIED = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


class ImitationAws:
    """STS that gives a session the tenant's name as access key, and S3 that does what the policy says: a session
    reaches its tenant's prefix, and hears 403 of what is not there."""

    def __init__(self) -> None:
        self.sessions: list[dict[str, str]] = []
        self.signed: list[tuple[str, str]] = []
        self.forbidden = False
        self.begins = True

    def begin(self, form: dict[str, list[str]]) -> tuple[int, str]:
        asked = {name: values[0] for name, values in form.items()}
        self.sessions.append(asked)
        if not self.begins:
            return 403, _DENIED
        return 200, _SESSION.format(key=f"session-of-{asked['Tags.member.1.Value']}")

    def ask(self, key: str, url: str) -> tuple[int, str]:
        path, query = urlsplit(url).path, parse_qs(urlsplit(url).query)
        wanted = query.get("prefix", [path.removeprefix("/bucket/")])[0]
        self.signed.append((key, wanted))
        tenant = key.removeprefix("session-of-")
        if "prefix" not in query or not wanted.startswith((f"objects/tenants/{tenant}/", "objects/ready")):
            return 403, _DENIED
        return 200, _NOTHING if not self.forbidden else f"<L><Contents><Key>{wanted}</Key></Contents></L>"


@contextmanager
def imitated(aws: ImitationAws) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._answer(*aws.begin(parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())))

        def do_GET(self) -> None:
            found = re.search(r"Credential=([^/]+)/", self.headers["Authorization"])
            assert found
            self._answer(*aws.ask(found[1], self.path))

        def _answer(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def imitation() -> ImitationAws:
    return ImitationAws()


@pytest.fixture
def objects(imitation: ImitationAws) -> Iterator[Objects]:
    with imitated(imitation) as url:
        store = open_objects("s3://bucket/objects", endpoint_url=url, region="us-east-1", role_arn=ROLE)
        yield store
        asyncio.run(store.close())


async def test_each_tenant_has_a_session_of_its_own_with_its_id_as_tag(
    objects: Objects, imitation: ImitationAws
) -> None:
    for tenant in (A, B, A):
        await objects.list(tenant)
    named = [
        (asked["RoleArn"], asked["Tags.member.1.Key"], asked["Tags.member.1.Value"]) for asked in imitation.sessions
    ]
    assert named == [(ROLE, "tenant", "a"), (ROLE, "tenant", "b")]
    assert [asked["RoleSessionName"] for asked in imitation.sessions] == ["@a", "@b"]


async def test_no_request_is_signed_for_another_tenant_however_many_run_at_once(
    objects: Objects, imitation: ImitationAws
) -> None:
    tenants = [TenantId(f"t{number}") for number in range(20)]
    await asyncio.gather(*(objects.list(tenant) for tenant in tenants * 3))
    assert len(imitation.signed) == 60
    assert all(wanted == f"objects/tenants/{key.removeprefix('session-of-')}/" for key, wanted in imitation.signed)


async def test_what_is_not_there_is_none_though_s3_says_that_it_is_forbidden(objects: Objects) -> None:
    assert await objects.get(A, "uploads/x") is None


async def test_what_is_there_and_forbidden_is_an_outage_and_never_nothing(
    objects: Objects, imitation: ImitationAws
) -> None:
    imitation.forbidden = True
    with pytest.raises(DependencyDownError):
        await objects.get(A, "uploads/x")


async def test_without_a_session_nothing_is_asked_of_s3(objects: Objects, imitation: ImitationAws) -> None:
    imitation.begins = False
    with pytest.raises(DependencyDownError):
        await objects.list(A)
    assert imitation.signed == []


async def test_readiness_is_asked_with_the_services_own_identity(objects: Objects, imitation: ImitationAws) -> None:
    await objects.check()
    assert imitation.sessions == []
    assert imitation.signed == [("test", "objects/ready")]
