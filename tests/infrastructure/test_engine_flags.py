"""vLLM takes the command lines that the Deployments give it: read by its own parser, in the version that is run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from support.rendered import ROOT, overlay, with_components, workload

pytestmark = [pytest.mark.engine, pytest.mark.timeout(420)]

PYTHON = ROOT / ".venv-engine" / "bin" / "python"
PARSE_S = 400
"""vLLM is imported once for all: seconds, or minutes where the machine is busy."""
PARSE = """
import json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
names = ("shutdown_timeout", "max_num_queued_reqs", "scheduling_policy", "enable_prefix_caching", "kv_offloading_size")
parser = make_arg_parser(FlexibleArgumentParser())
read = [vars(parser.parse_args(line)) for line in json.load(sys.stdin)]
print("READ", json.dumps([{name: one[name] for name in names} for one in read]))
"""


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """What the parser makes of each engine's arguments."""
    engines = {
        "pool": workload(with_components("lora", "kv-offload"), "vllm"),
        "on a CPU": workload(overlay("local"), "vllm"),
    }
    lines = []
    for one in engines.values():
        (container,) = one.pod["containers"]
        assert container["command"] == ["python3", "-m", "vllm.entrypoints.openai.api_server"]
        known = {"$(SERVED_MODEL_NAME)": "model", "$(MODEL_SOURCE)": "owner/model"}
        lines.append([_filled_in(argument, known) for argument in container["args"]])
    done = subprocess.run(
        [str(PYTHON), "-c", PARSE], input=json.dumps(lines), check=False, capture_output=True, text=True,
        cwd=tmp_path_factory.mktemp("vllm"), timeout=PARSE_S,
    )  # fmt: skip
    said = [line for line in done.stdout.splitlines() if line.startswith("READ ")]
    assert said, done.stderr[-2_000:]
    return dict(zip(engines, json.loads(said[0].removeprefix("READ ")), strict=True))


def _filled_in(argument: str, known: Mapping[str, str]) -> str:
    for variable, value in known.items():
        argument = argument.replace(variable, value)
    return argument


def test_vllm_takes_the_command_line_of_the_pool_with_adapters_and_offloading(read: Mapping[str, Any]) -> None:
    assert read["pool"] == {
        "shutdown_timeout": 125,
        "max_num_queued_reqs": 256,
        "scheduling_policy": "priority",
        "enable_prefix_caching": True,
        "kv_offloading_size": 16.0,
    }


def test_vllm_takes_the_command_line_of_the_engine_on_a_cpu(read: Mapping[str, Any]) -> None:
    assert read["on a CPU"] == {
        "shutdown_timeout": 125,
        "max_num_queued_reqs": 64,
        "scheduling_policy": "priority",
        "enable_prefix_caching": True,
        "kv_offloading_size": None,
    }
