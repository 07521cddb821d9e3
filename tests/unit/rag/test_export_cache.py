"""An export is read whole and as it was written, or not at all; who writes it at the same time does no harm."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from rag.adapters.export_cache import (
    CHECK,
    MANIFEST,
    MODEL,
    TOKENIZER,
    DamagedExportError,
    ExportCache,
    Manifest,
    NoExportError,
    key_of,
)

FILES = {MODEL: b"graph", TOKENIZER: b"{}", CHECK: b"\0" * 8}


@pytest.fixture
def cache(tmp_path: Path) -> ExportCache:
    return ExportCache(tmp_path / "cache")


def write(cache: ExportCache, key: str = "k", manifest: Manifest | None = None) -> None:
    with cache.draft() as draft:
        for name, content in FILES.items():
            (draft / name).write_bytes(content)
        cache.keep(key, draft, manifest or Manifest(model="m@1"))


def test_what_was_kept_is_read_back_and_no_draft_stays(cache: ExportCache, tmp_path: Path) -> None:
    write(cache)
    found = cache.read("k")
    assert (found.manifest.model, dict(found.files)) == ("m@1", FILES)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["k"]


@pytest.mark.parametrize("name", [MODEL, TOKENIZER, CHECK])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_file_that_was_changed_is_never_handed_out(
    cache: ExportCache, tmp_path: Path, name: str, damage: str
) -> None:
    write(cache)
    path = tmp_path / "cache" / "k" / name
    content = path.read_bytes()
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(content[:-1] if damage == "cut" else bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(DamagedExportError, match=name):
        cache.read("k")


@pytest.mark.parametrize("content", ["", "{", '{"format": 2}', '{"format": 1, "files": {}}'])
def test_a_manifest_that_is_none_is_damage(cache: ExportCache, tmp_path: Path, content: str) -> None:
    write(cache)
    (tmp_path / "cache" / "k" / MANIFEST).write_text(content)
    with pytest.raises(DamagedExportError):
        cache.read("k")


def test_a_damaged_one_is_dropped_and_made_again(cache: ExportCache, tmp_path: Path) -> None:
    write(cache)
    (tmp_path / "cache" / "k" / MODEL).write_bytes(b"")
    cache.drop("k")
    cache.drop("k")
    with pytest.raises(NoExportError):
        cache.read("k")
    write(cache)
    assert cache.read("k").files[MODEL] == b"graph"


def test_of_two_that_build_at_once_the_first_stays_and_the_second_is_content(cache: ExportCache) -> None:
    with cache.draft() as slow:
        for name, content in FILES.items():
            (slow / name).write_bytes(content)
        write(cache, manifest=Manifest(model="first"))
        cache.keep("k", slow, Manifest(model="second"))
    assert cache.read("k").manifest.model == "first"


def test_a_build_that_fails_leaves_nothing(cache: ExportCache, tmp_path: Path) -> None:
    def fail() -> None:
        with cache.draft() as draft:
            (draft / MODEL).write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_a_killed_build_left_goes_with_the_next_but_not_what_is_being_written(
    cache: ExportCache, tmp_path: Path
) -> None:
    folder = tmp_path / "cache"
    for name, age in ((".draft-old", 7_200), (".draft-new", 0)):
        (folder / name).mkdir(parents=True)
        os.utime(folder / name, (time.time() - age,) * 2)
    write(cache)
    assert sorted(path.name for path in folder.iterdir()) == [".draft-new", "k"]


def test_a_model_that_cannot_be_exported_says_why_at_every_start(cache: ExportCache) -> None:
    with cache.draft() as draft:
        cache.keep("k", draft, Manifest(refused="its vectors are off"))
    assert cache.has("k")
    with pytest.raises(NoExportError, match="its vectors are off") as refused:
        cache.read("k")
    assert not isinstance(refused.value, DamagedExportError)


def test_the_key_follows_the_models_files_and_not_where_they_lie(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    (one / "1_Pooling").mkdir(parents=True)
    (one / "model.safetensors").write_bytes(b"weights")
    (one / "1_Pooling" / "config.json").write_text("{}")
    (one / "README.md").write_text("a readme")
    shutil.copytree(one, two)
    (two / "README.md").write_text("another readme")
    assert key_of(one) == key_of(two)
    (two / "1_Pooling" / "config.json").write_text('{"pooling_mode": "cls"}')
    assert key_of(one) != key_of(two)
