"""vLLM takes the command line that the Deployment gives it: read by its own parser, in the version that is run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from support.rendered import ROOT, with_components, workload

PYTHON = ROOT / ".venv-engine" / "bin" / "python"
PARSE = """
import json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
read = vars(make_arg_parser(FlexibleArgumentParser()).parse_args(sys.argv[1:]))
names = ("shutdown_timeout", "max_num_queued_reqs", "scheduling_policy", "enable_prefix_caching", "kv_offloading_size")
print("READ", json.dumps({name: read[name] for name in names}))
"""


@pytest.mark.engine
def test_vllm_takes_the_command_line_of_the_pool_with_adapters_and_offloading(tmp_path: Path) -> None:
    container = workload(with_components("lora", "kv-offload"), "vllm").pod["containers"][0]
    assert container["command"] == ["python3", "-m", "vllm.entrypoints.openai.api_server"]
    arguments = [argument.replace("$(SERVED_MODEL_NAME)", "model") for argument in container["args"]]
    done = subprocess.run(
        [str(PYTHON), "-c", PARSE, *arguments], check=False, capture_output=True, text=True, cwd=tmp_path, timeout=110
    )
    read = [line for line in done.stdout.splitlines() if line.startswith("READ ")]
    assert read, done.stderr[-2_000:]
    assert json.loads(read[0].removeprefix("READ ")) == {
        "shutdown_timeout": 125,
        "max_num_queued_reqs": 256,
        "scheduling_policy": "priority",
        "enable_prefix_caching": True,
        "kv_offloading_size": 16.0,
    }
