"""`python -m benchmarks.embedding [--data FOLDER]`: the int8 export beside torch, each in a process of its own.

Start-up, memory, CPU a question and a chunk, a question alone and beside a book, chunks a second. With FOLDER (sets as
`corpus.jsonl.gz`, `queries.jsonl.gz`, `qrels.tsv`) what quantizing costs in nDCG@10, documents and questions of either
backend: ten minutes of a core.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from contracts.tenant import TenantId
from rag.adapters.embedder import QueuedEmbedder, open_embedder
from rag.domain.vectors import Matrix
from rag.settings import EmbeddingSettings

T1, T2 = TenantId("bench-1"), TenantId("bench-2")
SENTENCES = (
    "The reading room is on the second floor, and whoever wants a seat by the window should come before nine.",
    "Parcels over thirty kilograms are brought by a carrier who calls a day ahead to agree on an hour.",
    "A warranty covers faults of material for two years from delivery, but neither wear nor a fall from the table.",
    "Trains to the coast leave from platform four; on Sundays the last one goes at ten past nine in the evening.",
    "Add the flour to the warm milk in three portions, stir until it is smooth, and let it rest for half an hour.",
    "Invoices are due within fourteen days; after a reminder, interest of five percent a year is charged on them.",
)


def questions(count: int) -> list[str]:
    """All different, so that none is remembered; 13 tokens or so."""
    return [f"Until when can I return parcel number {number} to you?" for number in range(count)]


def chunks(count: int) -> list[str]:
    """Some 700 characters each, as the chunker cuts them."""
    return [f"Part {number}. " + " ".join(SENTENCES[(number + n) % 6] for n in range(6)) for number in range(count)]


async def measure(backend: str, data: Path | None, kept: Path) -> dict[str, Any]:
    began = time.perf_counter()
    cores = time.process_time()
    async with open_embedder(EmbeddingSettings(embedding_backend=backend)) as embedder:
        found: dict[str, Any] = {
            "start s": time.perf_counter() - began,
            "start CPU s": time.process_time() - cores,
            "MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        }
        await _each(embedder, questions(20), T2)
        alone, cpu = await _each(embedder, questions(300)[20:], T1)
        found |= {"question ms": median(alone) * 1e3, "question CPU ms": cpu / len(alone) * 1e3}
        book = chunks(192)
        began, cores = time.perf_counter(), time.process_time()
        await embedder.embed(book, tenant_id=T1)
        wall, cpu = time.perf_counter() - began, time.process_time() - cores
        found |= {"chunks/s": len(book) / wall, "chunk CPU ms": cpu / len(book) * 1e3}
        running = asyncio.create_task(embedder.embed(book, tenant_id=T1))
        beside, _ = await _each(embedder, questions(400)[300:], T2, while_running=running)
        found |= {"beside a book ms": median(beside) * 1e3, "p95": float(np.quantile(beside, 0.95)) * 1e3}
        await running
        found["MB after"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        for folder in _sets(data):
            documents, queries = _texts(folder / "corpus.jsonl.gz"), _texts(folder / "queries.jsonl.gz")
            rows = [await _rows(embedder, list(texts.values())) for texts in (documents, queries)]
            np.savez(kept / f"{folder.name}-{backend}.npz", documents=rows[0], queries=rows[1])
    return found


async def _each(
    embedder: QueuedEmbedder, texts: Sequence[str], tenant_id: TenantId, while_running: asyncio.Task[Any] | None = None
) -> tuple[list[float], float]:
    """Seconds of each, one after another, and CPU seconds of all."""
    times: list[float] = []
    cores = time.process_time()
    for text in texts:
        if while_running is not None and while_running.done():
            break
        began = time.perf_counter()
        await embedder.embed([text], tenant_id=tenant_id)
        times.append(time.perf_counter() - began)
        if while_running is not None:
            await asyncio.sleep(0.005)
    return times, time.process_time() - cores


async def _rows(embedder: QueuedEmbedder, texts: Sequence[str]) -> Matrix:
    parts = [await embedder.embed(texts[start : start + 512], tenant_id=T1) for start in range(0, len(texts), 512)]
    return np.concatenate(parts)


def _sets(data: Path | None) -> list[Path]:
    return sorted(path for path in data.iterdir() if path.is_dir()) if data else []


def _texts(path: Path) -> dict[str, str]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return {entry["_id"]: entry["text"] for entry in map(json.loads, lines)}


def ndcg(folder: Path, documents: Matrix, queries: Matrix) -> float:
    """At 10, over the questions that have an answer."""
    gains: dict[str, dict[str, float]] = defaultdict(dict)
    for line in (folder / "qrels.tsv").read_text(encoding="utf-8").splitlines():
        query, document, gain = (line.split()[0], *line.split()[-2:])
        if gain.replace(".", "", 1).isdigit():
            gains[query][document] = float(gain)
    names = list(_texts(folder / "corpus.jsonl.gz"))
    scores: list[float] = []
    for name, query in zip(_texts(folder / "queries.jsonl.gz"), queries, strict=True):
        if not (of := gains.get(name)):
            continue
        best = np.argsort(-(documents @ query), kind="stable")[:10]
        ideal = sorted(of.values(), reverse=True)[:10]
        scores.append(_discounted([of.get(names[place], 0.0) for place in best]) / _discounted(ideal))
    return float(np.mean(scores))


def _discounted(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(rank + 2) for rank, gain in enumerate(gains))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.embedding", description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--one", choices=("onnx", "torch"), help=argparse.SUPPRESS)
    parser.add_argument("--kept", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(asyncio.run(measure(arguments.one, arguments.data, arguments.kept))))
        return
    with tempfile.TemporaryDirectory() as folder:
        for backend in ("onnx", "torch"):
            command = [sys.executable, "-m", "benchmarks.embedding", "--one", backend, "--kept", folder]
            command += ["--data", str(arguments.data)] if arguments.data else []
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found = json.loads(done.stdout.splitlines()[-1])
            print(backend, " | ".join(f"{name} {value:.2f}" for name, value in found.items()))
        for data in _sets(arguments.data):
            kept = {backend: np.load(Path(folder) / f"{data.name}-{backend}.npz") for backend in ("torch", "onnx")}
            for one in kept:
                for other in kept:
                    score = ndcg(data, kept[one]["documents"], kept[other]["queries"])
                    print(f"{data.name}: documents {one}, questions {other}: nDCG@10 {score:.4f}")


if __name__ == "__main__":
    main()
