"""Does an answer say what it rests on? The example tenants' documents, questions about them, a real engine.

    PYTHONPATH=src:tests python -m benchmarks.citations --engine http://127.0.0.1:8100 [--passages 2]

Chunks, vectors, ranking, prompt and marks are the services' own; the engine is asked with the local default's sampling.
`right` are the answers whose citations have the passage with the fact that was asked for.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from rich.console import Console
from rich.table import Table

from app.domain.citations import cite
from app.domain.marks import MarkFilter
from app.prompts import build_messages
from contracts.retrieval import Passage
from contracts.routes import BUILT_IN_ROUTES
from contracts.tenant import TenantId
from rag.adapters.index_builder import HybridIndexBuilder
from rag.adapters.sentence_transformer import ReferenceModel
from rag.domain.corpus import ChunkRecord
from rag.domain.query import ChunkRows, IndexQuery
from rag.domain.vectors import to_half
from rag.ingestion.cutting import cut
from rag.ingestion.parsing import parse
from rag.settings import bulk_threads, bundled_model

EXAMPLES = Path(__file__).parents[1] / "examples"
MIN_SCORE = 0.25
QUESTIONS: tuple[tuple[str, str, str, str], ...] = (
    # tenant, route, question, what the passage with the fact has in it
    ("t1", "PRICE_COMPARE", "Which shop has the cheapest extra virgin olive oil?", "Campo Verde, one litre"),
    ("t1", "PRICE_COMPARE", "What does Oliveta cost at Basket & Co?", "Oliveta in one litre for 9.40"),
    ("t1", "PRICE_COMPARE", "Where is refined olive oil cheapest?", "Refined olive oil is cheapest at Nordmarkt"),
    ("t1", "PRICE_COMPARE", "How much is organic olive oil at Corner Deli?", "11.50 euros"),
    ("t1", "PRICE_COMPARE", "What does one kilogram of Bella Mattina coffee cost?", "12.99 euros"),
    ("t1", "PRICE_COMPARE", "Where is spaghetti cheapest?", "0.99 euros at Greenfield Market"),
    ("t1", "PRICE_COMPARE", "What does a can of peeled tomatoes cost at Nordmarkt?", "0.65 euros at Nordmarkt"),
    ("t1", "PRICE_COMPARE", "How much does delivery cost?", "Delivery costs 3.90 euros"),
    ("t1", "GENERAL", "How long is a voucher valid?", "valid for 90 days"),
    ("t1", "GENERAL", "When do loyalty points expire?", "expire 18 months"),
    ("t1", "GENERAL", "How do I become a Gold member?", "Above 1500 euros a year"),
    ("t1", "GENERAL", "Can chilled goods be returned?", "cannot be returned"),
    ("t1", "GENERAL", "What happens if nobody is at home for the delivery?", "waits ten minutes"),
    ("t1", "GENERAL", "Until when can I return unopened goods?", "within 14 days"),
    ("t2", "DIET_NUTRITION", "Which foods are rich in iron?", "Pumpkin seeds are the richest"),
    ("t2", "DIET_NUTRITION", "How much iron do cooked lentils have?", "Cooked lentils have 3.3"),
    ("t2", "DIET_NUTRITION", "How much protein does chicken breast have?", "Chicken breast without skin has 31"),
    ("t2", "DIET_NUTRITION", "How much protein is in tempeh?", "tempeh 19"),
    ("t2", "DIET_NUTRITION", "How much protein do I need per day?", "0.8 grams of protein a day"),
    ("t2", "DIET_NUTRITION", "What hinders the uptake of iron?", "Coffee, black tea and milk hinder"),
    ("t2", "DIET_NUTRITION", "How much iron does a pregnant woman need?", "in pregnancy the practice recommends 27"),
    ("t2", "DIET_NUTRITION", "Is the teaching kitchen free of peanuts?", "free of peanuts"),
    ("t2", "GENERAL", "How much is a first consultation?", "costs 95 euros"),
    ("t2", "GENERAL", "When is the practice open on Wednesday?", "on Wednesday from 12:00"),
    ("t2", "GENERAL", "Until when can an appointment be cancelled?", "until 24 hours before"),
    ("t2", "GENERAL", "What should I bring to the first consultation?", "food diary of seven days"),
)


@dataclass(frozen=True)
class Outcome:
    question: str
    answer: str
    marked: bool
    cited: int
    right: bool
    retrieved: bool


class Examples:
    """The example tenants' indexes, as the RAG service builds them."""

    def __init__(self) -> None:
        self._model = ReferenceModel(bundled_model(), bulk_threads=bulk_threads())
        self._indexes = {tenant: self._index(tenant) for tenant in ("t1", "t2")}

    def _index(self, tenant: str) -> Any:
        records: list[ChunkRecord] = []
        with tempfile.TemporaryDirectory() as folder:
            for path in sorted((EXAMPLES / tenant).iterdir()):
                if path.suffix == ".json":
                    continue
                extracted = cut(parse(path.name, path.read_bytes(), Path(folder)))
                for number, piece in enumerate(extracted.pieces):
                    text = extracted.text[piece.start : piece.end]
                    name = f"{path.stem}#{number}"
                    records.append(
                        ChunkRecord(TenantId(tenant), name, path.stem, path.stem, text, piece.start, piece.end)
                    )
        rows = self._model.encode([record.text for record in records], True)
        return HybridIndexBuilder().build(ChunkRows(records, to_half(np.asarray(rows, np.float32))))

    def passages(self, tenant: str, question: str, k: int) -> list[Passage]:
        (vector,) = self._model.encode([question], True)
        found = self._indexes[tenant].search(IndexQuery(vector, question, k))
        return [
            Passage(
                chunk_id=one.record.chunk_id,
                document_id=one.record.document_id,
                title=one.record.title,
                text=one.record.text,
                score=float(one.score),
                start=one.record.start,
                end=one.record.end,
            )
            for one in found
            if one.score >= MIN_SCORE
        ]


async def asked(session: aiohttp.ClientSession, engine: str, model: str, messages: Sequence[Any]) -> str:
    body = {"model": model, "messages": messages, "max_tokens": 256, "temperature": 0, "frequency_penalty": 0.3}
    async with session.post(f"{engine}/v1/chat/completions", json=body) as response:
        response.raise_for_status()
        return str((await response.json())["choices"][0]["message"]["content"])


async def measure(engine: str, k: int) -> list[Outcome]:
    examples = Examples()
    routes = {route.name: route for route in BUILT_IN_ROUTES}
    outcomes: list[Outcome] = []
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{engine}/v1/models") as response:
            model = (await response.json())["data"][0]["id"]
        for tenant, route, question, fact in QUESTIONS:
            passages = examples.passages(tenant, question, k)
            messages = build_messages(routes[route], question, passages, locale="en-US")
            raw = await asked(session, engine, model, messages)
            marks = MarkFilter(len(passages))
            answer = marks.feed(raw) + marks.finish()
            citations = cite(answer, passages, question=question, marked=marks.cited)
            chosen = {citation.chunk_id for citation in citations}
            holding = {one.chunk_id for one in passages if fact in " ".join(one.text.split())}
            outcomes.append(
                Outcome(question, answer, bool(marks.cited), len(chosen), bool(chosen & holding), bool(holding))
            )
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", required=True)
    parser.add_argument("--passages", type=int, default=2)
    options = parser.parse_args()
    outcomes = asyncio.run(measure(options.engine, options.passages))
    table = Table("question", "answer", "marked", "cited", "right", title="What answers say they rest on")
    for one in outcomes:
        table.add_row(one.question, one.answer[:200], *(str(x) for x in (one.marked, one.cited, one.right or "")))
    Console().print(table)
    found = sum(one.retrieved for one in outcomes)
    print(
        f"{len(outcomes)} questions, {found} with the fact among the passages: {sum(one.marked for one in outcomes)} "
        f"answers marked, {sum(one.cited > 0 for one in outcomes)} with citations, "
        f"{sum(one.right for one in outcomes)} citing the passage with the fact, "
        f"{sum(one.cited for one in outcomes) / len(outcomes):.2f} passages cited an answer"
    )


if __name__ == "__main__":
    main()
