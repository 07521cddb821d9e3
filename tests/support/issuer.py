"""A token issuer of the tests: keys, tokens, and the key set on a real loopback socket."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.api_jws import get_algorithm_by_name

ISSUER, AUDIENCE = "https://issuer.example/", "atrium"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey

RSA_KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = Ed25519PrivateKey.generate()


def algorithm_of(key: PrivateKey) -> str:
    if isinstance(key, rsa.RSAPrivateKey):
        return "RS256"
    return "ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "EdDSA"


def jwk(key: PrivateKey, kid: str | None, **more: Any) -> dict[str, Any]:
    """The public half, as an issuer publishes it."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        found = RSAAlgorithm.to_jwk(public, as_dict=True)
    elif isinstance(public, ec.EllipticCurvePublicKey):
        found = ECAlgorithm.to_jwk(public, as_dict=True)
    else:
        found = OKPAlgorithm.to_jwk(public, as_dict=True)
    return {**found, **({"kid": kid} if kid is not None else {}), **more}


def key_set(*keys: Mapping[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def compact(header: Mapping[str, Any], claims: object, sign: Callable[[bytes], bytes] = lambda _: b"") -> str:
    """Any token at all, however wrong: header and claims as they are given, signed by `sign`."""
    text = ".".join(base64url(json.dumps(part).encode()) for part in (header, claims))
    return f"{text}.{base64url(sign(text.encode()))}"


def claims(**changes: Any) -> dict[str, Any]:
    """What a good token says, for ten minutes; a change to None leaves a claim out."""
    now = int(time.time())
    said = {"iss": ISSUER, "aud": AUDIENCE, "sub": "user-1", "iat": now, "exp": now + 600, "tenant_id": "t1"} | changes
    return {name: value for name, value in said.items() if value is not None}


def token(key: PrivateKey, kid: str | None, headers: Mapping[str, Any] | None = None, **changes: Any) -> str:
    """A token that `key` signs; `headers` are put over the right ones, `changes` over the right claims."""
    algorithm = algorithm_of(key)
    header = {"typ": "JWT", "alg": algorithm, **({"kid": kid} if kid is not None else {}), **(headers or {})}
    return compact(header, claims(**changes), lambda text: get_algorithm_by_name(algorithm).sign(text, key))


@dataclass
class Issuer:
    """Answers every GET with `status`, `headers` and `body`, once `gate` is open; `paths` are the requests so far."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    paths: list[str] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)

    @property
    def jwks_url(self) -> str:
        return f"{self.url}/jwks.json"

    @property
    def fetches(self) -> int:
        return len(self.paths)

    def publish(self, **keys: PrivateKey) -> None:
        """Exactly these keys, by their ids, from now on."""
        self.body = key_set(*(jwk(key, kid, use="sig") for kid, key in keys.items()))


@contextmanager
def running_issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    issuer.gate.set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.paths.append(self.path)
            status, headers, body = issuer.status, dict(issuer.headers), issuer.body
            issuer.asked.set()
            issuer.gate.wait(30)
            try:
                self.send_response(status)
                for name, value in {"content-length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                pass  # the client has left, as some tests want it to

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        issuer.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield issuer
        finally:
            issuer.gate.set()
            server.shutdown()
            thread.join(10)
