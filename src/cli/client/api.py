"""Calls to the router: JSON, files and streams; its error envelope becomes one exception."""

from __future__ import annotations

import http.client
import json
import mimetypes
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from cli.client.sse import ServerEvent, read_events
from cli.errors import CliError

TIMEOUT_S = 630.0
"""Between two pieces of an answer. A little longer than the router's own bound for an upload (INGEST_TIMEOUT_S)."""
PIECE_BYTES = 65_536
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")


class BrokenOffError(CliError):
    """The connection ended in the middle of an answer."""


class ApiError(CliError):
    """The router said no. `code` is the envelope's."""

    def __init__(self, status: int, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(f"{message} ({status} {code})", hint=hint)
        self.status = status
        self.code = code


@dataclass(frozen=True)
class Api:
    url: str
    key: str | None = field(default=None, repr=False)
    tenant: str | None = None

    def call(self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None) -> Any:
        """The answer's JSON; None for an empty one. Raises ApiError, CliError."""
        content = None if body is None else json.dumps(body).encode()
        with self._answer(method, path, content, {"content-type": "application/json", **(headers or {})}) as response:
            raw = response.read()
        return json.loads(raw) if raw else None

    def upload(self, path: str, file: Path, fields: Mapping[str, str]) -> Any:
        """A file as multipart/form-data."""
        boundary = f"atrium-{secrets.token_hex(16)}"
        headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
        with self._answer("POST", path, _form(boundary, file, fields), headers) as response:
            return json.loads(response.read())

    @contextmanager
    def events(self, path: str, body: object) -> Iterator[Iterator[ServerEvent]]:
        """The server-sent events of an answer, each as it arrives. Leaving closes the connection: the work ends."""
        headers = {"content-type": "application/json", "accept": "text/event-stream"}
        with self._answer("POST", path, json.dumps(body).encode(), headers) as response:
            yield read_events(response)

    @contextmanager
    def download(self, path: str) -> Iterator[Iterator[bytes]]:
        """The pieces of an answer of any length. Reading on raises BrokenOffError where it broke off; an OSError of
        whoever keeps the pieces stays as it is."""
        with closing(self._connection()) as connection:
            with self._reaching():
                response = self._ask(connection, "GET", path, None, {})
            yield self._pieces(response)

    def _pieces(self, response: http.client.HTTPResponse) -> Iterator[bytes]:
        try:
            while piece := response.read1(PIECE_BYTES):
                yield piece
        except (OSError, http.client.HTTPException) as error:
            raise BrokenOffError(f"the answer of {self.url} broke off", hint="try again") from error

    @contextmanager
    def _answer(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        with closing(self._connection()) as connection, self._reaching():
            yield self._ask(connection, method, path, body, headers)

    def _ask(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> http.client.HTTPResponse:
        sent = {**headers, **self._credentials()}
        for name, value in sent.items():
            if not _HEADER_VALUE.fullmatch(value):
                raise CliError(f"what is to be sent as {name} has characters that no such header can carry")
        with suppress(BrokenPipeError):  # a server may say no, and hang up, before it has read all
            connection.request(method, urlsplit(self.url).path.rstrip("/") + path, body, sent)
        response = connection.getresponse()
        if response.status >= 300:
            raise _error(response)
        return response

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """What the network says, as one sentence."""
        try:
            yield
        except TimeoutError as error:
            raise CliError(f"{self.url} did not answer in time") from error
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, BrokenPipeError):
                raise
            reason = str(error) or type(error).__name__
            raise CliError(f"{self.url} is out of reach: {reason}", hint="is it running? atrium status") from error

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise CliError(f"{self.url!r} is not an http(s) address")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return kind(parts.hostname, parts.port, timeout=TIMEOUT_S)

    def _credentials(self) -> dict[str, str]:
        found = {}
        if self.key:
            found["authorization"] = f"Bearer {self.key}"
        if self.tenant:
            found["x-tenant-id"] = self.tenant
        return found


def tenant_path(tenant: str, *parts: str) -> str:
    return "/".join(["/tenant", quote(tenant, safe=""), *parts])


def _form(boundary: str, file: Path, fields: Mapping[str, str]) -> bytes:
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    parts = [f'--{boundary}\r\ncontent-disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()]
    name = file.name.replace("\\", "_").replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    parts.append(
        f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="{name}"\r\n'
        f"content-type: {kind}\r\n\r\n"
    )
    return "".join(parts).encode() + file.read_bytes() + f"\r\n--{boundary}--\r\n".encode()


def _error(response: http.client.HTTPResponse) -> ApiError:
    raw = response.read(65_536)
    try:
        told = json.loads(raw)["error"]
        code, message = str(told["code"]), str(told["message"])
    except (ValueError, TypeError, KeyError):
        code, message = "unknown", f"the answer was no: {response.reason}"
    wait = response.getheader("retry-after")
    return ApiError(response.status, code, message, hint=f"again in {wait} s" if wait else "")
