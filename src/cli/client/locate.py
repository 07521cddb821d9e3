"""Where the router is and which key opens it: what was said, else what runs on the data directory."""

from __future__ import annotations

from pathlib import Path

from cli.client.api import Api
from cli.errors import CliError
from cli.local.data_dir import DataDir
from cli.local.run_state import RunState
from cli.local.secrets import Secrets


def tenant_api(url: str | None, key: str | None, data_dir: Path | None, tenant: str) -> Api:
    """Without a key the router must believe X-Tenant-Id, as the local stack does."""
    return Api(_router_url(url, data_dir), key=key, tenant=tenant)


def platform_api(url: str | None, key: str | None, data_dir: Path | None) -> Api:
    """For operations of the platform. A data directory's own key is sent to its own router only."""
    key = key or _own_key(url, data_dir)
    if key is None:
        raise CliError("a platform key is needed", hint="--key atr_…, or ATRIUM_KEY")
    return Api(_router_url(url, data_dir), key=key)


def admin_api(url: str | None, key: str | None, data_dir: Path | None, tenant: str | None) -> Api:
    """For what a tenant's admin may do, and the platform for any tenant; `tenant` None: for the platform itself."""
    if tenant is None:
        return platform_api(url, key, data_dir)
    key = key or _own_key(url, data_dir)
    return tenant_api(url, key, data_dir, tenant)


def _own_key(url: str | None, data_dir: Path | None) -> str | None:
    kept = Secrets.load(DataDir.at(data_dir).secrets) if url is None else None
    return kept.platform_key if kept else None


def _router_url(url: str | None, data_dir: Path | None) -> str:
    if url:
        return url.rstrip("/")
    chosen = DataDir.at(data_dir)
    running = RunState.read(chosen.run_file)
    if running is None or running.supervisor.process() is None:
        raise CliError(f"no stack runs on {chosen.path}", hint="start it with `atrium up`, or name a router with --url")
    return running.router_url
