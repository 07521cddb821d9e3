"""The int8 export: made once by a process of its own, true to the reference, verified, replaced where it is damaged.

The model is a multilingual one of another architecture than the bundled one's: `EMBEDDING_MODEL` is all that says so.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from contracts.tenant import TenantId
from rag.adapters.check_texts import CHECK_TEXTS
from rag.adapters.embedder import open_embedder
from rag.adapters.export_cache import CHECK, MODEL, ExportCache, Manifest, NoExportError, key_of
from rag.adapters.onnx_model import OnnxModel
from rag.domain.vectors import Matrix
from rag.settings import EmbeddingSettings
from support.tiny_model import DIMENSION, TEXTS, WINDOW

# Torch is imported by three processes: seconds each, more on a busy machine.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

T1, T2 = TenantId("t1"), TenantId("t2")


def run(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "HF_HUB_OFFLINE": "1", **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingSettings:
    folder = tmp_path_factory.mktemp("model")
    settings = EmbeddingSettings(
        embedding_model=str(folder / "tiny"), embedding_cache_dir=folder / "cache", embedding_threads=2
    )
    code = "import rag.prepare, support.tiny_model as tiny; from pathlib import Path; "
    said = run("-c", code + f"tiny.make_tiny_model(Path({str(folder)!r})); rag.prepare.main()", **variables(settings))
    assert "exported (cosine 0.99" in said
    return settings


def variables(settings: EmbeddingSettings) -> dict[str, str]:
    tests = str(Path(__file__).parents[1])
    return {
        "EMBEDDING_MODEL": settings.embedding_model,
        "EMBEDDING_CACHE_DIR": str(settings.embedding_cache_dir),
        "PYTHONPATH": os.pathsep.join([tests, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]),
    }


def exported(settings: EmbeddingSettings) -> OnnxModel:
    return OnnxModel(ExportCache(settings.embedding_cache_dir).read(key_of(Path(settings.embedding_model))))


def test_its_vectors_are_the_references_up_to_quantization(prepared: EmbeddingSettings) -> None:
    export = ExportCache(prepared.embedding_cache_dir).read(key_of(Path(prepared.embedding_model)))
    model = OnnxModel(export)
    reference = np.frombuffer(export.files[CHECK], dtype="<f4").reshape(len(CHECK_TEXTS), DIMENSION)
    rows = model.encode(list(CHECK_TEXTS), False)
    assert (rows * reference).sum(axis=1).min() > 0.99  # prompt, window and pooling are the same, or it were not
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert (model.dimension, model.max_tokens) == (DIMENSION, WINDOW - 2)
    assert model.name.startswith("tiny@")


def test_preparing_again_has_nothing_to_do(prepared: EmbeddingSettings) -> None:
    said = run("-m", "rag.prepare", **variables(prepared))
    assert said == f"embedding model {exported(prepared).name}\n"


def test_a_start_that_finds_it_loads_no_torch(prepared: EmbeddingSettings) -> None:
    code = f"""
import asyncio, sys
from pathlib import Path
from rag.adapters.embedder import open_embedder
from rag.settings import EmbeddingSettings
async def main():
    async with open_embedder(EmbeddingSettings()) as embedder:
        rows = await embedder.embed({list(TEXTS)!r}, tenant_id="t1")
        print(rows.shape, sorted({{"torch", "transformers", "sentence_transformers"}} & set(sys.modules)))
asyncio.run(main())
"""
    said = run("-c", code, **variables(prepared))
    assert said.strip() == f"({len(TEXTS)}, {DIMENSION}) []"


async def test_a_text_has_the_same_vector_whoever_else_is_served_at_the_time(prepared: EmbeddingSettings) -> None:
    async with open_embedder(prepared) as embedder:
        alone = [(await embedder.embed([text], tenant_id=T1))[0] for text in TEXTS]
        book = asyncio.create_task(embedder.embed([*CHECK_TEXTS] * 4, tenant_id=T2))
        together: Matrix = await embedder.embed([*TEXTS, *TEXTS], tenant_id=T1)
        assert len(await book) == 4 * len(CHECK_TEXTS)
    assert np.array_equal(together, np.stack(alone * 2))


async def test_a_damaged_export_is_made_anew(prepared: EmbeddingSettings, caplog: pytest.LogCaptureFixture) -> None:
    before = exported(prepared).encode(list(TEXTS), False)
    path = prepared.embedding_cache_dir / key_of(Path(prepared.embedding_model)) / MODEL
    content = path.read_bytes()
    path.write_bytes(content[:1000] + bytes([content[1000] ^ 1]) + content[1001:])
    with caplog.at_level(logging.WARNING):
        async with open_embedder(prepared) as embedder:
            rows = await embedder.embed(list(TEXTS), tenant_id=T1)
    assert "export is damaged: it is made anew" in caplog.text
    assert np.allclose(rows, before, atol=1e-6)
    assert exported(prepared).name == embedder.model


async def test_without_an_export_torch_runs_the_model_under_the_same_name_and_the_log_says_why(
    prepared: EmbeddingSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refusing = prepared.model_copy(update={"embedding_cache_dir": tmp_path})
    cache = ExportCache(tmp_path)
    with cache.draft() as draft:
        cache.keep(key_of(Path(prepared.embedding_model)), draft, Manifest(refused="its vectors are off"))
    with caplog.at_level(logging.WARNING):
        async with open_embedder(refusing) as embedder:
            rows = await embedder.embed(list(TEXTS), tenant_id=T1)
            counts = embedder.token_counts(list(TEXTS))
    assert "no int8 export of the embedding model: torch runs it" in caplog.text
    model = exported(prepared)
    assert (embedder.model, embedder.dimension, embedder.max_tokens) == (model.name, model.dimension, model.max_tokens)
    assert counts == model.token_counts(list(TEXTS))
    assert (rows * model.encode(list(TEXTS), False)).sum(axis=1).min() > 0.99


def test_vectors_that_are_off_on_this_machine_are_refused(prepared: EmbeddingSettings) -> None:
    export = ExportCache(prepared.embedding_cache_dir).read(key_of(Path(prepared.embedding_model)))
    others = np.roll(np.frombuffer(export.files[CHECK], dtype="<f4"), DIMENSION // 2).tobytes()
    with pytest.raises(NoExportError, match="its vectors are off here"):
        OnnxModel(type(export)(export.manifest, {**export.files, CHECK: others}))


async def test_a_folder_without_a_model_is_told_as_such_and_nothing_is_kept_of_it(tmp_path: Path) -> None:
    settings = EmbeddingSettings(embedding_model=str(tmp_path), embedding_cache_dir=tmp_path / "cache")
    with pytest.raises((OSError, ValueError)):
        async with open_embedder(settings):
            pass
    assert not ExportCache(settings.embedding_cache_dir).has(key_of(tmp_path))
