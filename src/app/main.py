"""The orchestrator, wired: the only place that knows both the ports and their implementations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
from fastapi import FastAPI

from app.adapters.engine_http import EngineHttp, Sampling
from app.adapters.engine_link import EngineLink, open_engine_session
from app.adapters.engine_pools import EnginePools
from app.adapters.external_engines import HttpExternalEngines, open_external_session
from app.adapters.known_vectors import kept_vectors
from app.adapters.rag_http import RagHttp
from app.adapters.replicas import Replicas
from app.adapters.token_estimates import TokenEstimates
from app.adapters.tokenizer_http import TokenizerHttp
from app.api import classify, pools, turns
from app.engines import Engines
from app.fitting import PromptBudget
from app.graph import build_graph
from app.nodes.classify import Classify
from app.nodes.generate import Generate
from app.nodes.memory import Memory
from app.nodes.record import Record
from app.nodes.retrieve import Retrieve
from app.ports import TokenCounter
from app.service import TurnService
from app.settings import Discovery, EngineDialect, Settings
from contracts.context import Audience
from contracts.health import State
from contracts.pools import DEFAULT_POOL
from observability import names
from observability.langsmith_runs import LangSmithRuns
from observability.metrics import Metrics
from observability.telemetry import CLOSE_S, OPEN_S, Telemetry
from servicekit.client import ServiceClient, open_session
from servicekit.edge import dress
from servicekit.tokens import TokenVerifier
from stores.sealing_choice import open_sealing

if TYPE_CHECKING:
    from app.adapters.kubernetes_discovery import KubernetesDiscovery

MAX_BODY_BYTES = 16 * 1024 * 1024
"""A query, and a tenant's routes with all their examples: the largest that a config can hold."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service; everything it holds open is opened when it starts. Without settings, the environment's are read."""
    settings = settings or Settings()
    telemetry = Telemetry("orchestrator", settings)
    metrics = telemetry.metrics

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(telemetry.running())
            await _open(app, settings, metrics, stack)
            yield

    app = FastAPI(title="Atrium orchestrator", lifespan=lifespan, openapi_url=None)
    app.state.verifier = TokenVerifier(Audience.ORCHESTRATOR, settings.verify_keys())
    for module in (turns, classify, pools):
        app.include_router(module.router)

    async def check_rag() -> Mapping[str, State]:
        rag: ServiceClient = app.state.rag
        return await rag.check()

    async def check_engine() -> None:
        engine: EngineHttp = app.state.engine
        await engine.check(DEFAULT_POOL)

    checks = {"rag": check_rag, "vllm": check_engine}
    dress(
        app, checks=checks, metrics=metrics, max_body_bytes=MAX_BODY_BYTES, checks_within_s=1.5, tracer=telemetry.tracer
    )
    return app


async def _open(app: FastAPI, settings: Settings, metrics: Metrics, stack: AsyncExitStack) -> None:
    """Open the two clients and compile the graph, all to be closed by `stack`."""
    session = await stack.enter_async_context(open_session())
    engine_session = await stack.enter_async_context(open_engine_session())
    app.state.rag = ServiceClient(session, settings.rag_service_url, service="rag")
    rag = RagHttp(app.state.rag, metrics)
    link = EngineLink(engine_session, settings.engine_key())
    replicas = Replicas(settings.engine_pools(), metrics)
    is_vllm = settings.engine_dialect is EngineDialect.VLLM
    sampling = Sampling(
        model=settings.atrium_model,
        max_tokens=settings.max_answer_tokens,
        temperature=settings.temperature,
        extensions=is_vllm,
        frequency_penalty=settings.frequency_penalty,
        priorities=settings.engine_priority,
    )
    app.state.engine = EngineHttp(link, replicas, sampling, metrics=metrics, hang_s=settings.engine_hang_s)
    app.state.pools = EnginePools(
        link,
        replicas,
        max_seqs=settings.engine_max_seqs,
        metrics=metrics,
        healthy_path="/health" if is_vllm else None,
    )
    stack.push_async_callback(_ended, asyncio.create_task(app.state.pools.run()))
    if settings.vllm_discovery is Discovery.KUBERNETES:
        stack.push_async_callback(_ended, asyncio.create_task(_discovery(settings, replicas, metrics).run()))
    app.state.classify = Classify(rag, settings.route_threshold, settings.classify_timeout_s, metrics)
    stack.push_async_callback(app.state.classify.close)
    if (kept := kept_vectors()) is not None:
        await app.state.classify.warm(kept)
    budget = PromptBudget(
        _token_counter(settings, engine_session, replicas, metrics),
        settings.engine_context_tokens,
        settings.max_answer_tokens,
        metrics,
    )
    engines = Engines(app.state.engine, await _external(settings, sampling, metrics, stack))
    graph = build_graph(
        classify=app.state.classify,
        memory=Memory(budget),
        retrieve=Retrieve(
            rag,
            settings.retrieve_passages,
            settings.min_passage_score,
            max_bytes=settings.max_passages_bytes,
            within_s=settings.retrieve_timeout_s,
            metrics=metrics,
        ),
        generate=Generate(engines, budget),
        record=Record(engines, settings.max_answer_tokens, settings.summary_timeout_s, metrics),
    )
    runs = await _runs(settings, metrics, stack)
    app.state.turns = TurnService(
        graph, metrics=metrics, tell=runs.put if runs else None, slow_reader_s=settings.slow_reader_s
    )


async def _runs(settings: Settings, metrics: Metrics, stack: AsyncExitStack) -> LangSmithRuns | None:
    key = settings.langsmith_key()
    if key is None:
        return None

    def dropped(number: int, reason: str) -> None:
        metrics.count(names.TELEMETRY_DROPPED, number, sink="langsmith", reason=reason)

    runs = LangSmithRuns(key, endpoint=settings.langsmith_endpoint, project=settings.langsmith_project, dropped=dropped)
    runs.start()
    stack.push_async_callback(asyncio.to_thread, runs.end, within_s=CLOSE_S)
    await asyncio.to_thread(runs.wait_until_open, OPEN_S)
    return runs


def _discovery(settings: Settings, replicas: Replicas, metrics: Metrics) -> KubernetesDiscovery:
    # Here, for the client is loaded in seconds and takes memory that nobody else should pay for.
    from app.adapters.kubernetes_discovery import (  # noqa: PLC0415
        KubernetesDiscovery,
        open_api,
        own_namespace,
    )

    return KubernetesDiscovery(
        open_api(settings.vllm_discovery_api_url),
        replicas.discovered,
        namespace=settings.vllm_discovery_namespace or own_namespace(),
        selector=settings.vllm_discovery_selector,
        pool_label=settings.vllm_discovery_pool_label,
        metrics=metrics,
    )


async def _external(
    settings: Settings, sampling: Sampling, metrics: Metrics, stack: AsyncExitStack
) -> HttpExternalEngines:
    networks, sealing = settings.networks(), open_sealing(settings, stack)
    session = await stack.enter_async_context(open_external_session(networks))
    return HttpExternalEngines(
        session, sealing, sampling, networks=networks, metrics=metrics, hang_s=settings.engine_hang_s
    )


def _token_counter(
    settings: Settings, session: aiohttp.ClientSession, replicas: Replicas, metrics: Metrics
) -> TokenCounter:
    """The engine's own tokenizer, where it has an endpoint for it."""
    if settings.engine_dialect is not EngineDialect.VLLM:
        return TokenEstimates()
    return TokenizerHttp(
        session,
        lambda context: replicas.any_of(context.model_pool),
        model=settings.atrium_model,
        api_key=settings.engine_key(),
        metrics=metrics,
    )


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
