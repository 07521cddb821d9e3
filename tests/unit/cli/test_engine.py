"""vLLM's command line, its environment, and the stamp that says whether the virtual environment is current."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.engine.choice import Engine
from cli.engine.environment import EngineEnvironment, uv_environment
from cli.engine.external import engine_urls
from cli.engine.server import DEFAULT_GPU_MODEL, EngineServer
from cli.errors import CliError


def of(engine: Engine, tmp_path: Path, **settings: str) -> EngineServer:
    return EngineServer.of(EngineEnvironment(tmp_path / "venv", engine), settings)


def option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def test_the_cpu_engine_serves_the_bundled_model_offline_and_uncompiled(tmp_path: Path) -> None:
    server = of(Engine.CPU, tmp_path)
    command = server.command(8100)
    assert command[:3] == [str(tmp_path / "venv/bin/python"), "-m", "vllm.entrypoints.openai.api_server"]
    assert option(command, "--model") == str(tmp_path / "venv/share/atrium/models/smollm2-135m-instruct")
    assert option(command, "--served-model-name") == "smollm2-135m-instruct"
    assert (option(command, "--host"), option(command, "--port")) == ("127.0.0.1", "8100")
    assert option(command, "--scheduling-policy") == "priority"
    assert {"--enforce-eager", "--enable-prefix-caching", "--enable-prompt-tokens-details"} <= set(command)
    assert (option(command, "--max-num-seqs"), option(command, "--max-num-queued-reqs")) == ("64", "256")
    assert server.suitable_settings["ENGINE_PRIORITY"] == "true"
    assert server.variables() == {
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_CPU_KVCACHE_SPACE": "2",
        "HF_HUB_OFFLINE": "1",
    }


def test_which_format_a_models_tool_calls_have_is_a_setting(tmp_path: Path) -> None:
    command = of(Engine.GPU, tmp_path).command(1)
    assert option(command, "--tool-call-parser") == "hermes"
    assert "--enable-auto-tool-choice" in command
    chosen = of(Engine.GPU, tmp_path, ATRIUM_TOOL_PARSER="llama3_json").command(1)
    assert option(chosen, "--tool-call-parser") == "llama3_json"


def test_the_number_of_sequences_is_a_setting_and_bounds_the_queue(tmp_path: Path) -> None:
    command = of(Engine.GPU, tmp_path, ENGINE_MAX_SEQS="16").command(1)
    assert (option(command, "--max-num-seqs"), option(command, "--max-num-queued-reqs")) == ("16", "64")
    for wrong in ("0", "-1", "many"):
        with pytest.raises(CliError, match="ENGINE_MAX_SEQS"):
            of(Engine.GPU, tmp_path, ENGINE_MAX_SEQS=wrong)


def test_the_gpu_engine_compiles_and_may_fetch_its_model(tmp_path: Path) -> None:
    server = of(Engine.GPU, tmp_path)
    assert option(server.command(1), "--model") == DEFAULT_GPU_MODEL
    assert "--enforce-eager" not in server.command(1)
    assert not {"HF_HUB_OFFLINE", "VLLM_CPU_KVCACHE_SPACE"} & set(server.variables())


def test_a_hubs_model_replaces_the_bundled_one(tmp_path: Path) -> None:
    server = of(Engine.CPU, tmp_path, ATRIUM_MODEL="some/model")
    assert (server.source, server.name, server.is_bundled) == ("some/model", "some/model", False)
    assert "HF_HUB_OFFLINE" not in server.variables()


def test_a_folder_is_served_under_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "my-model").mkdir()
    server = of(Engine.CPU, tmp_path, ATRIUM_MODEL=str(tmp_path / "my-model"))
    assert (server.source, server.name) == (str(tmp_path / "my-model"), "my-model")


def test_an_environment_without_a_stamp_or_with_another_is_not_current(tmp_path: Path) -> None:
    environment = EngineEnvironment(tmp_path, Engine.CPU)
    assert not environment.is_current()
    (tmp_path / "bin").mkdir()
    environment.python.touch()
    assert not environment.is_current()
    (tmp_path / ".atrium-lock").write_text("cpu 3.11 of other requirements\n")
    assert not environment.is_current()


def test_the_engines_place_can_be_chosen(tmp_path: Path) -> None:
    chosen = EngineEnvironment.of(Engine.CPU, {"ATRIUM_ENGINE_VENV": str(tmp_path / "x")})
    assert chosen.path == tmp_path / "x"
    assert EngineEnvironment.of(Engine.CPU, {}).path.name == ".venv-engine"


def test_uv_is_told_what_pip_knows_but_not_overruled() -> None:
    assert uv_environment({"PIP_FIND_LINKS": "/a  /b"})["UV_FIND_LINKS"] == "/a,/b"
    assert uv_environment({"PIP_FIND_LINKS": "/a", "UV_FIND_LINKS": "/mine"})["UV_FIND_LINKS"] == "/mine"
    assert uv_environment({"UV_FIND_LINKS": "/x"})["UV_INDEX_STRATEGY"] == "unsafe-best-match"


@pytest.mark.parametrize(
    ("setting", "urls"),
    [
        ("http://a", ["http://a"]),
        ("http://a, http://b", ["http://a", "http://b"]),
        ("http://a,big=http://c?x=1", ["http://a", "http://c?x=1"]),
    ],
)
def test_every_replica_of_every_pool_is_looked_at(setting: str, urls: list[str]) -> None:
    assert engine_urls(setting) == urls
