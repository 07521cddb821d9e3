"""The environment of each process: the user's own, with what is unset filled in, and secrets only where they belong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cli.local.leftovers import marked
from cli.local.ports import LOOPBACK
from cli.local.secrets import Secrets

_SECRETS = frozenset({"SERVICE_SIGNING_KEY", "ATRIUM_BOOTSTRAP_KEY", "SEALING_KEYS"})
_SLOW = frozenset({"PYTHONDONTWRITEBYTECODE"})
"""Without bytecode vLLM and torch are compiled at every start, which takes longer than loading a model."""
# Where the address of a part is given, that part is somebody else's and not started here.
ADDRESSES: Mapping[str, str] = {
    "postgres": "DATABASE_URL",
    "valkey": "REDIS_URL",
    "vllm": "VLLM_SERVICE_URL",
    "rag": "RAG_SERVICE_URL",
    "orchestrator": "ORCHESTRATOR_URL",
}


@dataclass(frozen=True)
class StackSettings:
    """`user`: the environment of `atrium up`. `addresses`: of every part, by its name. `objects`: the object store,
    where the user names none; `rag_cache`: where the RAG service keeps copies, likewise. `own`: what we know better.
    """

    user: Mapping[str, str]
    instance: str
    secrets: Secrets
    addresses: Mapping[str, str]
    objects: str
    rag_cache: str
    own: Mapping[str, str] = field(default_factory=dict)

    def of_store(self) -> dict[str, str]:
        """PostgreSQL's own variables are about another server of the user's."""
        kept = {name: value for name, value in self._public().items() if not name.startswith("PG")}
        return self._marked(kept)

    def of_engine(self, defaults: Mapping[str, str]) -> dict[str, str]:
        return self._marked({**defaults, **self._public()})

    def of_orchestrator(self, port: int) -> dict[str, str]:
        """It trusts tokens but cannot make them, as the RAG service."""
        return self._marked({**self._serving("ORCHESTRATOR", port), **self._sealing()})

    def of_rag(self, port: int) -> dict[str, str]:
        folder = {"OBJECT_STORE_URL": self.objects, "RAG_CACHE_DIR": self.rag_cache}
        return self._marked({**folder, **self._serving("RAG", port)})

    def of_router(self, port: int) -> dict[str, str]:
        keys = {
            "SERVICE_SIGNING_KEY": self.secrets.service_signing_key,
            "ATRIUM_BOOTSTRAP_KEY": self.secrets.platform_key,
            **self._sealing(),
        }
        return self._marked({"OBJECT_STORE_URL": self.objects, **self._serving("ROUTER", port), **keys})

    def _sealing(self) -> dict[str, str]:
        return {"SEALING_KEYS": self.user.get("SEALING_KEYS") or self.secrets.sealing_key}

    def _serving(self, prefix: str, port: int) -> dict[str, str]:
        filled = {
            "SERVICE_VERIFY_KEYS": self.secrets.service_verify_keys,
            "AUTH_MODE": "header,api_key",
            "HEADER_ROLE": "tenant_admin",
            "HF_HUB_OFFLINE": "1",  # the embedding model comes with a package
            "PYTHONUNBUFFERED": "1",
        }
        own = {f"{prefix}_HOST": LOOPBACK, f"{prefix}_PORT": str(port)}
        own |= {variable: self.addresses[name] for name, variable in ADDRESSES.items()}
        return {**filled, **self._public(), **own, **self.own}

    def _public(self) -> dict[str, str]:
        return {name: value for name, value in self.user.items() if name not in _SECRETS | _SLOW}

    def _marked(self, environment: Mapping[str, str]) -> dict[str, str]:
        return marked(environment, self.instance)
