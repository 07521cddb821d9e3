"""The engines' replicas as the Kubernetes API tells them: EndpointSlices, listed once and then watched.

The client's watch blocks, so it has a thread of its own; what it learns is handed to the event loop whole.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from kubernetes import client, config, watch
from urllib3.exceptions import HTTPError

from app.domain.endpoints import pools_of
from observability import names
from observability.logging import log
from observability.metrics import Metrics

WATCH_S = 60
"""After this the API server ends a watch by itself, and the next one goes on where it ended."""
CONNECT_S, READ_S = 3.0, 15.0
RETRY_S = (0.5, 1.0, 2.0, 5.0, 10.0)
CLOSE_S = 2.0
_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

_logger = logging.getLogger("atrium.discovery")

Pools = Mapping[str, Mapping[str, bool]]


def open_api(url: str | None) -> client.DiscoveryV1Api:
    """At `url` without credentials (`kubectl proxy`), or that of the cluster around, with the pod's service account,
    whose token the client reads anew before it expires."""
    configuration = client.Configuration()
    if url is None:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    else:
        configuration.host = url
    configuration.retries = False
    return client.DiscoveryV1Api(client.ApiClient(configuration))


def own_namespace() -> str:
    """Of the pod; `default` outside of one."""
    return _NAMESPACE.read_text(encoding="utf-8").strip() if _NAMESPACE.exists() else "default"


class KubernetesDiscovery:
    """While the API is out of reach, what was last known stands. `tell` is called in the event loop."""

    def __init__(
        self,
        api: client.DiscoveryV1Api,
        tell: Callable[[Pools], None],
        *,
        namespace: str,
        selector: str,
        pool_label: str,
        metrics: Metrics,
    ) -> None:
        self._api = api
        self._tell = tell
        self._namespace = namespace
        self._selector = selector
        self._pool_label = pool_label
        self._metrics = metrics
        self._slices: dict[str, Mapping[str, Any]] = {}
        self._version = ""
        self._stopped = threading.Event()
        self._watch = watch.Watch()  # type: ignore[no-untyped-call]
        self._failures = 0

    async def run(self) -> None:
        """Follow until cancelled."""
        loop = asyncio.get_running_loop()
        thread = threading.Thread(target=self._follow, args=(loop,), name="kubernetes", daemon=True)
        thread.start()
        try:
            await asyncio.Event().wait()
        finally:
            self._stopped.set()
            self._watch.stop()  # type: ignore[no-untyped-call]
            await asyncio.to_thread(thread.join, CLOSE_S)

    # In the thread

    def _follow(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stopped.is_set():
            try:
                self._list(loop)
                while not self._stopped.is_set():
                    self._follow_changes(loop)
            except client.ApiException as error:
                if error.status == 410:  # what came since is not known any more: listed anew
                    log(_logger, logging.INFO, "the watch had expired")
                else:
                    self._failed("status", f"status {error.status}")
            except (HTTPError, OSError) as error:
                self._failed("out_of_reach", type(error).__name__)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                self._failed("malformed", type(error).__name__)

    def _list(self, loop: asyncio.AbstractEventLoop) -> None:
        """All slices at once, as JSON: the client's models refuse what a newer API may leave out."""
        answer: Any = self._api.list_namespaced_endpoint_slice(
            self._namespace,
            label_selector=self._selector,
            _request_timeout=(CONNECT_S, READ_S),
            _preload_content=False,
        )
        found = answer.json()
        self._slices = {item["metadata"]["name"]: item for item in found["items"]}
        self._version = found["metadata"]["resourceVersion"]
        self._heard(loop)

    def _follow_changes(self, loop: asyncio.AbstractEventLoop) -> None:
        """Until the server ends the watch. Raises ApiException, 410 where the version is too old."""
        for event in self._watch.stream(  # type: ignore[no-untyped-call]
            self._api.list_namespaced_endpoint_slice,
            self._namespace,
            label_selector=self._selector,
            resource_version=self._version,
            allow_watch_bookmarks=True,
            timeout_seconds=WATCH_S,
            _request_timeout=(CONNECT_S, WATCH_S + READ_S),
        ):
            if self._stopped.is_set():
                return
            raw = event["raw_object"]
            self._version = raw["metadata"]["resourceVersion"]
            if event["type"] in {"ADDED", "MODIFIED"}:
                self._slices[raw["metadata"]["name"]] = raw
            elif event["type"] == "DELETED":
                self._slices.pop(raw["metadata"]["name"], None)
            else:
                continue
            self._heard(loop)

    def _heard(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._failures:
            log(_logger, logging.INFO, "the Kubernetes API answers again")
        self._failures = 0
        pools = pools_of(self._slices.values(), self._pool_label)
        if not self._stopped.is_set():
            with suppress(RuntimeError):  # the loop has been closed meanwhile
                loop.call_soon_threadsafe(self._tell, pools)

    def _failed(self, reason: str, what: str) -> None:
        """Counted each time, logged once until it is well again; then waited, longer each time."""
        if self._stopped.is_set():
            return
        self._metrics.count(names.DEPENDENCY_FAILURE, dependency="kubernetes", reason=reason)
        if not self._failures:
            log(_logger, logging.WARNING, "the Kubernetes API fails: the replicas stay as they were", reason=what)
        wait_s = RETRY_S[min(self._failures, len(RETRY_S) - 1)]
        self._failures += 1
        self._stopped.wait(wait_s)
