"""A chain that is read event by event: all that is remembered of it is its last one."""

from __future__ import annotations

from dataclasses import dataclass

from cli.errors import CliError
from contracts.tenant import TenantId
from tenancy.audit import AuditEvent, Breach, Head, find_breach


class BrokenChainError(CliError):
    """The chain is not what was once written. `where` names it: a server's, or a file."""

    def __init__(self, where: str, breach: Breach) -> None:
        super().__init__(f"{where} is broken at event {breach.seq}: {breach.reason}")
        self.where = where
        self.breach = breach


@dataclass(frozen=True)
class Verified:
    """A stretch of a chain, whole from its first event to its head; `first` is 0 where there is none."""

    tenant_id: TenantId | None
    first: int
    head: Head

    @property
    def events(self) -> int:
        return self.head.seq - self.first + 1 if self.first else 0


class ChainCheck:
    """`before`: the event in front of the first one that comes. Every method raises BrokenChainError."""

    def __init__(self, where: str, tenant_id: TenantId | None, before: Head) -> None:
        self.where = where
        self.last = before
        self._tenant_id = tenant_id
        self._before = before

    def add(self, event: AuditEvent) -> None:
        self._refuse(find_breach((event,), Head(event.seq, event.hash), before=self.last))
        if event.tenant_id != self._tenant_id:
            self._refuse(Breach(event.seq, "it belongs to another chain"))
        self.last = Head(event.seq, event.hash)

    def ends_at(self, head: Head) -> None:
        self._refuse(find_breach((), head, before=self.last))

    def unreadable(self) -> BrokenChainError:
        """For what stands where the next event should."""
        return BrokenChainError(self.where, Breach(self.last.seq + 1, "what stands there is no audit event"))

    def verified(self) -> Verified:
        first = self._before.seq + 1 if self.last.seq > self._before.seq else 0
        return Verified(self._tenant_id, first, self.last)

    def _refuse(self, breach: Breach | None) -> None:
        if breach is not None:
            raise BrokenChainError(self.where, breach)
