"""Which engine runs on which machine."""

from __future__ import annotations

import pytest

from cli.engine.choice import Engine, Machine, choose
from cli.errors import CliError

AVX512 = Machine("Linux", "x86_64", gpu=False, cpu_flags=frozenset({"avx2", "avx512f"}))
AVX2 = Machine("Linux", "x86_64", gpu=False, cpu_flags=frozenset({"avx2"}))
OLD = Machine("Linux", "x86_64", gpu=False, cpu_flags=frozenset({"sse4_2"}))
GPU = Machine("Linux", "x86_64", gpu=True, cpu_flags=frozenset({"avx2"}))
ARM = Machine("Linux", "aarch64", gpu=False)
MAC = Machine("Darwin", "arm64", gpu=False)


@pytest.mark.parametrize(
    ("machine", "engine"),
    [(AVX512, "cpu"), (AVX2, "cpu"), (OLD, "external"), (GPU, "gpu"), (ARM, "external"), (MAC, "external")],
)
def test_without_a_wish_the_machine_decides(machine: Machine, engine: str) -> None:
    assert choose({}, machine).engine is Engine(engine)
    assert choose({"ATRIUM_ENGINE": "auto"}, machine).engine is Engine(engine)
    assert choose({"ATRIUM_ENGINE": " AUTO "}, machine).engine is Engine(engine)


@pytest.mark.parametrize("wanted", ["gpu", "cpu", "external"])
def test_a_wish_overrules_the_machine(wanted: str) -> None:
    assert choose({"ATRIUM_ENGINE": wanted}, AVX512).engine is Engine(wanted)


def test_a_given_address_means_that_no_engine_is_started() -> None:
    address = {"VLLM_SERVICE_URL": "http://somewhere"}
    assert choose(address, GPU).engine is Engine.EXTERNAL
    assert choose({"ATRIUM_ENGINE": "cpu"}, AVX512, vllm_url="http://somewhere").engine is Engine.EXTERNAL
    assert choose({**address, "ATRIUM_ENGINE": "cpu"}, AVX512).engine is Engine.CPU


def test_the_cpu_engine_is_refused_where_it_cannot_run() -> None:
    with pytest.raises(CliError, match="needs x86-64 Linux with AVX2, this is Linux x86_64 without AVX2"):
        choose({"ATRIUM_ENGINE": "cpu"}, OLD)


def test_a_missing_avx512_is_said() -> None:
    assert "slower" in choose({}, AVX2).caution
    assert choose({}, AVX512).caution == ""


def test_an_unknown_wish_is_an_error() -> None:
    with pytest.raises(CliError, match="ATRIUM_ENGINE=tpu"):
        choose({"ATRIUM_ENGINE": "tpu"}, AVX512)
