"""An engine that the user runs: is it there, and does it speak vLLM's dialect or OpenAI's alone?"""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

from cli.errors import CliError

TIMEOUT_S = 5.0


def engine_urls(setting: str) -> list[str]:
    """The addresses in VLLM_SERVICE_URL: comma-separated, some as `pool=url`."""
    entries = [entry.strip() for entry in setting.split(",") if entry.strip()]
    return [entry.partition("=")[2] if "=" in entry.partition("://")[0] else entry for entry in entries]


def find_dialect(setting: str) -> str:
    """`vllm` if every server has vLLM's /health, else `openai`. Raises CliError where nothing answers at all."""
    speaks = [_get_status(url, "/v1/models") and _get_status(url, "/health") == 200 for url in engine_urls(setting)]
    return "vllm" if all(speaks) else "openai"


def _get_status(url: str, path: str) -> int:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise CliError(f"{url!r} is not an http(s) address", hint="for example --vllm-url http://127.0.0.1:8000")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", parts.path.rstrip("/") + path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        reason = str(error) or type(error).__name__
        raise CliError(f"no engine answers at {url}: {reason}", hint="start it first, or mend the address") from error
    finally:
        connection.close()
