"""The two services behind the router, each called with a signed context."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

import aiohttp

from router.adapters.documents_http import HttpDocuments
from router.adapters.orchestrator_http import HttpOrchestrator
from router.settings import Settings
from servicekit.client import ServiceClient, open_session
from servicekit.health import Check
from servicekit.tokens import TokenSigner


@dataclass(frozen=True, slots=True)
class Callees:
    """`session` serves calls to anybody; `check` asks the orchestrator, without which there is no answer."""

    session: aiohttp.ClientSession
    check: Check
    turns: HttpOrchestrator
    documents: HttpDocuments


async def open_callees(settings: Settings, signer: TokenSigner, stack: AsyncExitStack) -> Callees:
    session = await stack.enter_async_context(open_session())
    orchestrator = ServiceClient(session, settings.orchestrator_url, service="the orchestrator")
    rag = ServiceClient(session, settings.rag_service_url, service="the RAG service")
    return Callees(session, orchestrator.check, HttpOrchestrator(orchestrator, signer), HttpDocuments(rag, signer))
