"""Started by `support.s3`: serve moto's S3 on a free port, and print the port."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server


class OneAtATime:
    """S3 decides "if absent" atomically; moto looks first and stores then, so two requests must not interleave."""

    def __init__(self) -> None:
        self._moto: Any = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with self._lock:
            return list(self._moto(environ, start_response))


server = make_server("127.0.0.1", 0, OneAtATime(), threaded=True)
print(server.port, flush=True)  # noqa: T201
server.serve_forever()
