"""Looking at sessions and erasing them: a user its own, an administrator all users'."""

from __future__ import annotations

from contracts.context import Role
from contracts.errors import ForbiddenError, InvalidRequestError, NotFoundError
from router.domain.caller import Caller
from router.ports import SessionCache
from tenancy.conversations import Conversations, Place, SessionInfo, SessionKey, Turn


class SessionService:
    """Every method raises DependencyDownError; ForbiddenError for a user whose credential does not prove who it is."""

    def __init__(self, store: Conversations, cache: SessionCache) -> None:
        self._store = store
        self._cache = cache

    async def page(self, caller: Caller, user_id: str | None, behind: Place | None, limit: int) -> list[SessionInfo]:
        """Newest first. Raises NotFoundError for another user's."""
        whose = _whose(caller, user_id)
        return await self._store.sessions(caller.tenant_id, whose, behind=behind, limit=limit, born=caller.born)

    async def get(
        self, caller: Caller, session_id: str, user_id: str | None, after: int, limit: int
    ) -> tuple[SessionInfo, list[Turn]]:
        """Raises NotFoundError; InvalidRequestError where several users have a session of this id and none is named."""
        key = await self._key(caller, session_id, user_id)
        session = await self._store.session(key, born=caller.born)
        if session is None:
            raise _no_session()
        return session, await self._store.turns(key, after=after, limit=limit, born=caller.born)

    async def erase(self, caller: Caller, session_id: str, user_id: str | None) -> None:
        """For the next request on every router, and for those under way. Raises as `get` does."""
        key = await self._key(caller, session_id, user_id)
        if not await self._erase(caller, key.user_id, session_id):
            raise _no_session()

    async def erase_all(self, caller: Caller, user_id: str | None) -> int:
        """All of one user's; returns how many there were. Raises NotFoundError for another user's."""
        whose = _whose(caller, user_id)
        if whose is None:
            raise InvalidRequestError("say whose sessions with user_id")
        return await self._erase(caller, whose, None)

    async def _erase(self, caller: Caller, user_id: str, session_id: str | None) -> int:
        # The copies first: where that fails nothing is erased, and the client is told to try again.
        await self._cache.erase(caller.tenant_id, user_id, session_id, caller.born)
        return await self._store.erase(caller.tenant_id, user_id, session_id, by=caller.actor(), born=caller.born)

    async def _key(self, caller: Caller, session_id: str, user_id: str | None) -> SessionKey:
        whose = _whose(caller, user_id)
        if whose is None:
            users = await self._store.users_of(caller.tenant_id, session_id, born=caller.born)
            if len(users) > 1:
                raise InvalidRequestError("several users have a session of this id: say whose with user_id")
            if not users:
                raise _no_session()
            whose = users[0]
        return SessionKey(caller.tenant_id, whose, session_id)


def _whose(caller: Caller, named: str | None) -> str | None:
    """The user whose sessions are meant; None for all users'."""
    who = caller.principal
    if who.role in {Role.TENANT_ADMIN, Role.PLATFORM_ADMIN}:
        return named
    if who.user is None:
        raise ForbiddenError("the credential does not prove which user asks")
    if named is not None and named != who.user:
        raise _no_session()
    return who.user


def _no_session() -> NotFoundError:
    return NotFoundError("no such session")
