"""What compiles tenants' configs and judges by them, each in threads of its own."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from router.service.engine_secrets import EngineSecrets
from router.service.guarding import Guarding
from router.service.judging import Judge
from router.service.policies import Policies
from router.settings import Settings
from servicekit.cpu_pool import CpuPool
from stores.sealing_choice import open_sealing

CONFIG_THREADS, JUDGING_THREADS = 2, 2
"""Of their own: neither waits for the other, nor for what uses asyncio's threads, such as an export's compression."""


@dataclass(frozen=True, slots=True)
class Rules:
    policies: Policies
    judge: Judge
    guarding: Guarding


def open_rules(settings: Settings, stack: AsyncExitStack) -> Rules:
    compiling, judging = CpuPool("configs", CONFIG_THREADS), CpuPool("judging", JUDGING_THREADS)
    stack.callback(compiling.close)
    stack.callback(judging.close)
    engines = EngineSecrets(open_sealing(settings, stack), settings.networks())
    policies = Policies(compiling, moderated=settings.moderated, engines=engines)
    return Rules(policies, Judge(judging), Guarding(judging))
