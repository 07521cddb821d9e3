"""An IMITATION of the Kubernetes API server's EndpointSlices: list and watch over a real socket, and nothing else.

It keeps the rules that a watcher relies on: every change has a resource version; a watch tells all changes after the
version it is begun at, ends by itself after `timeoutSeconds`, and is refused with 410 where that version is older than
what is remembered, as a status or, once begun, as an ERROR event; a list and a watch show what the label selector
matches. It knows equality selectors alone, and no authentication.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from support.server import served

PATH = "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
Slice = dict[str, Any]


@dataclass
class KubernetesApi:
    """Changed from a test's thread. `down`: every request is answered 503, and watches are cut."""

    slices: dict[str, Slice] = field(default_factory=dict)
    changes: list[tuple[int, str, Slice]] = field(default_factory=list)
    version: int = 100
    oldest: int = 0
    down: bool = False
    gone_as_event: bool = False
    lists: int = 0
    watches: int = 0
    watching: int = 0

    def put(self, name: str, labels: dict[str, str], endpoints: list[dict[str, Any]], port: int = 8000) -> None:
        self.version += 1
        known = name in self.slices
        self.slices[name] = {
            "metadata": {"name": name, "labels": labels, "resourceVersion": str(self.version)},
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
        }
        self.changes.append((self.version, "MODIFIED" if known else "ADDED", self.slices[name]))

    def delete(self, name: str) -> None:
        self.version += 1
        gone = self.slices.pop(name)
        gone = {**gone, "metadata": {**gone["metadata"], "resourceVersion": str(self.version)}}
        self.changes.append((self.version, "DELETED", gone))

    def forget(self) -> None:
        """As etcd's compaction does: nobody can go on from before now, and watches are ended."""
        self.version += 1
        self.oldest = self.version
        self.changes.clear()

    def app(self) -> Starlette:
        return Starlette(routes=[Route(PATH, self._slices)])

    async def _slices(self, request: Request) -> Response:
        if self.down:
            return _status(503, "ServiceUnavailable")
        selector = dict(part.split("=", 1) for part in request.query_params.get("labelSelector", "").split(",") if part)
        if request.query_params.get("watch") not in {"true", "True"}:
            self.lists += 1
            items = [found for found in self.slices.values() if _matches(found, selector)]
            return JSONResponse(
                {
                    "kind": "EndpointSliceList",
                    "apiVersion": "discovery.k8s.io/v1",
                    "metadata": {"resourceVersion": str(self.version)},
                    "items": items,
                }
            )
        self.watches += 1
        since = int(request.query_params["resourceVersion"])
        if since < self.oldest and not self.gone_as_event:
            return _status(410, "Expired")
        within_s = float(request.query_params.get("timeoutSeconds", 60))
        return StreamingResponse(self._events(since, selector, within_s), media_type="application/json")

    async def _events(self, since: int, selector: dict[str, str], within_s: float) -> AsyncIterator[bytes]:
        end = asyncio.get_running_loop().time() + within_s
        self.watching += 1
        try:
            while asyncio.get_running_loop().time() < end and not self.down:
                if since < self.oldest:
                    error = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
                    yield orjson.dumps({"type": "ERROR", "object": error}) + b"\n"
                    return
                for version, kind, found in [change for change in self.changes if change[0] > since]:
                    since = version
                    if _matches(found, selector):
                        yield orjson.dumps({"type": kind, "object": found}) + b"\n"
                await asyncio.sleep(0.01)
        finally:
            self.watching -= 1


def endpoint(address: str, **conditions: bool) -> dict[str, Any]:
    return {"addresses": [address], "conditions": conditions}


def _matches(found: Slice, selector: dict[str, str]) -> bool:
    labels = found["metadata"]["labels"]
    return all(labels.get(name) == value for name, value in selector.items())


def _status(code: int, reason: str) -> Response:
    return JSONResponse({"kind": "Status", "code": code, "reason": reason, "message": reason}, status_code=code)


@contextmanager
def running_kubernetes() -> Iterator[tuple[str, KubernetesApi]]:
    api = KubernetesApi()
    with served(api.app()) as url:
        try:
            yield url, api
        finally:
            api.down = True  # ends the watches, so that the server can end
