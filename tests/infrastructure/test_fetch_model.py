"""The engine's init container copies a model from S3, whole and once."""

from __future__ import annotations

import hashlib
import runpy
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from support.rendered import BASE

SCRIPT = BASE / "config" / "fetch_model.py"
FILES = {"config.json": b"{}", "model-00001.safetensors": b"weights" * 1000, "deep/tokenizer.json": b"[]"}


@pytest.fixture
def bucket(s3_server: str, aws: None) -> Iterator[tuple[Any, str]]:
    s3, name = boto3.client("s3", endpoint_url=s3_server), f"models-{secrets.token_hex(4)}"
    s3.create_bucket(Bucket=name)
    for path, body in FILES.items():
        s3.put_object(Bucket=name, Key=f"llm/{path}", Body=body)
    yield s3, name
    s3.close()


Fetch = Callable[[str, Path], object]


@pytest.fixture
def fetch(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Fetch:
    """Runs the script as the container does; what it ends with, None where all is well."""

    def run(source: str, target: Path) -> object:
        given = {"MODEL_SOURCE": source, "MODEL_TARGET": str(target), "AWS_REGION": "us-east-1"}
        for name, value in {**given, "AWS_ENDPOINT_URL": s3_server}.items():
            monkeypatch.setenv(name, value)
        try:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        except SystemExit as end:
            return end.code
        return None

    return run


def test_all_of_a_model_is_copied_and_only_once(bucket: tuple[Any, str], fetch: Fetch, tmp_path: Path) -> None:
    source = f"s3://{bucket[1]}/llm"
    assert fetch(source, tmp_path) is None
    assert {path: (tmp_path / path).read_bytes() for path in FILES} == FILES
    marked = tmp_path / "config.json"
    marked.write_bytes(b"[]")  # of the same size: it is taken for what it was
    assert fetch(source, tmp_path) is None
    assert marked.read_bytes() == b"[]"


def test_a_damaged_file_is_refused_and_fetched_anew_the_next_time(
    bucket: tuple[Any, str], fetch: Fetch, tmp_path: Path
) -> None:
    s3, name = bucket
    sums = "".join(f"{hashlib.sha256(body).hexdigest()}  {path}\n" for path, body in FILES.items())
    s3.put_object(Bucket=name, Key="llm/SHA256SUMS", Body=sums.encode())
    (tmp_path / "config.json").write_bytes(b"[]")
    assert fetch(f"s3://{name}/llm/", tmp_path) == "config.json is damaged"
    assert fetch(f"s3://{name}/llm", tmp_path) is None
    assert (tmp_path / "config.json").read_bytes() == b"{}"


@pytest.mark.parametrize("source", ["s3://{bucket}/nothing", "https://example.com/x", "s3:///llm"])
def test_a_source_that_is_none_is_told(bucket: tuple[Any, str], fetch: Fetch, tmp_path: Path, source: str) -> None:
    assert fetch(source.format(bucket=bucket[1]), tmp_path) is not None


def test_a_key_that_leads_elsewhere_is_not_followed(bucket: tuple[Any, str], fetch: Fetch, tmp_path: Path) -> None:
    s3, name = bucket
    s3.put_object(Bucket=name, Key="llm/../../outside", Body=b"x")
    target = tmp_path / "a" / "b"
    target.mkdir(parents=True)
    assert "leads out of" in str(fetch(f"s3://{name}/llm", target))
    assert not (tmp_path / "outside").exists()
