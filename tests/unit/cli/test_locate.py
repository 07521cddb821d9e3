"""Which router is asked, and with which key: a data directory's own key goes to its own router only."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from cli.client.locate import admin_api, platform_api
from cli.errors import CliError
from cli.local.data_dir import DataDir
from cli.local.run_state import ProcessId, RunState
from cli.local.secrets import Secrets

OWN = "http://127.0.0.1:1"


@pytest.fixture
def own_key(tmp_path: Path) -> str:
    """Of a stack that runs on the folder."""
    data_dir = DataDir.at(tmp_path)
    me = ProcessId.of(psutil.Process().pid)
    assert me is not None
    RunState(
        instance=data_dir.instance, supervisor=me, router_url=OWN, started_at=datetime.now(UTC), services={}
    ).write(data_dir.run_file)
    return Secrets.load_or_create(data_dir.secrets, {}).platform_key


def test_the_own_stack_is_asked_with_its_own_key(tmp_path: Path, own_key: str) -> None:
    for api in (platform_api(None, None, tmp_path), admin_api(None, None, tmp_path, "t1")):
        assert (api.url, api.key) == (OWN, own_key)


def test_a_key_that_is_given_is_used_instead(tmp_path: Path, own_key: str) -> None:
    api = admin_api(None, "atr_mine", tmp_path, "t1")
    assert (api.url, api.key) == (OWN, "atr_mine")
    assert api.key != own_key


def test_the_own_key_goes_to_no_other_address(tmp_path: Path, own_key: str) -> None:
    api = admin_api("http://elsewhere/", None, tmp_path, "t1")
    assert (api.url, api.key, api.tenant) == ("http://elsewhere", None, "t1")
    for tenant in (None, "t1"):
        assert admin_api("http://elsewhere", "atr_mine", tmp_path, tenant).key != own_key
    with pytest.raises(CliError, match="a platform key is needed"):
        admin_api("http://elsewhere", None, tmp_path, None)
