"""Who is asking: credentials in, a principal out. Default deny; two identities that disagree are refused."""

from __future__ import annotations

from dataclasses import dataclass, replace

from contracts.context import Role
from contracts.errors import InvalidRequestError, TenantMismatchError, UnauthenticatedError
from contracts.tenant import InvalidTenantIdError, TenantId
from router.domain.access import Principal
from router.service.access import require_same
from router.service.json_web_tokens import JsonWebTokens, looks_like_jwt
from router.service.key_uses import KeyUses
from router.settings import AuthMode, is_loopback
from servicekit.tokens import utc_now
from tenancy.keys import MAX_KEY_CHARS, PREFIX
from tenancy.live import LiveKeys

NO_KEYS = frozenset({"empty", "none", "unused", "not-needed"})
"""What those write for a key who have none and must write one: OpenAI's clients take no request without. In mode
`header` it is as if it were not there. No key is so short."""
IDENTITY_HEADERS = frozenset({"authorization", "x-tenant-id"})


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request says of itself: its `Authorization` headers, its `X-Tenant-Id` headers, and where it is from.

    `from_loopback`: both ends of the connection are this machine's, and so is the name that was asked for: a web page
    whose name was made to point here (DNS rebinding) asks from this machine, but for its own name.
    `disguised` are the names of headers that a server which takes `_` for `-` would read as one of these.
    """

    authorization: tuple[str, ...]
    tenants: tuple[str, ...]
    from_loopback: bool
    disguised: tuple[str, ...] = ()

    @property
    def has_no_key(self) -> bool:
        """Nothing but the word for none is offered."""
        if len(self.authorization) != 1:
            return not self.authorization
        scheme, _, text = self.authorization[0].partition(" ")
        return scheme.lower() == "bearer" and text.strip().lower() in NO_KEYS


def is_private_name(host: str) -> bool:
    """Whether no stranger can own the name: this machine's, or one without a dot, which no public DNS knows."""
    return is_loopback(host) or not set(host) & set(".:")


def is_disguised(header: str) -> bool:
    """Whether the name is that of an identity header but for a `_`, as in `X_Tenant_Id`."""
    return "_" in header and header.lower().replace("_", "-") in IDENTITY_HEADERS


class Identity:
    """Several modes stand beside each other: a credential decides which one it is for. `tokens` is for mode `jwt`."""

    def __init__(
        self,
        keys: LiveKeys,
        uses: KeyUses,
        *,
        modes: frozenset[AuthMode],
        header_role: Role,
        trust_header_from_anywhere: bool,
        tokens: JsonWebTokens | None = None,
    ) -> None:
        self._keys = keys
        self._uses = uses
        self._tokens = tokens
        self._modes = modes
        self._header_role = header_role
        self._trust_anywhere = trust_header_from_anywhere

    async def principal(self, credentials: Credentials) -> Principal:
        """Raises InvalidRequestError (malformed), UnauthenticatedError, TenantMismatchError, ForbiddenError (a token
        without a role), DependencyDownError (what would prove the credential is out of reach)."""
        if credentials.disguised:
            raise InvalidRequestError("a header's name is that of an identity header with `_` for `-`")
        named = named_tenant(credentials.tenants)
        if len(credentials.authorization) > 1:
            raise InvalidRequestError("more than one Authorization header")
        if credentials.authorization and not (credentials.has_no_key and AuthMode.HEADER in self._modes):
            return await self._by_bearer(credentials.authorization[0], named)
        if AuthMode.HEADER not in self._modes:
            raise UnauthenticatedError("a credential is needed: Authorization: Bearer …")
        if not (credentials.from_loopback or self._trust_anywhere):
            raise UnauthenticatedError("X-Tenant-Id alone is believed from this machine only")
        if named is None:
            raise UnauthenticatedError("the request names no tenant: send X-Tenant-Id, or a credential")
        return Principal(named, self._header_role, "header")

    async def _by_bearer(self, authorization: str, named: TenantId | None) -> Principal:
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise UnauthenticatedError("this kind of credential is not accepted here")
        text = text.strip()
        if self._tokens is not None and not text.startswith(PREFIX) and looks_like_jwt(text):
            return await self._by_token(self._tokens, text, named)
        return await self._by_key(text, named)

    async def _by_token(self, tokens: JsonWebTokens, text: str, named: TenantId | None) -> Principal:
        principal = await tokens.principal(text)
        if principal.tenant_id is None:  # an operator's token, like a platform key, names the tenant it acts for
            return replace(principal, tenant_id=named)
        require_same(principal.tenant_id, named)
        return principal

    async def _by_key(self, text: str, named: TenantId | None) -> Principal:
        holder = await self._keys.holder(text) if 0 < len(text) <= MAX_KEY_CHARS else None
        now = utc_now()
        if holder is None or (holder.expires_at is not None and holder.expires_at <= now):
            raise UnauthenticatedError("the API key is not valid")
        if holder.tenant_id is None:  # platform operations always need a key, so one is accepted in every mode
            self._uses.note(holder.key_id, now)
            return Principal(named, holder.role, holder.key_id)
        if AuthMode.API_KEY not in self._modes:
            raise UnauthenticatedError("this kind of credential is not accepted here")
        require_same(holder.tenant_id, named)
        self._uses.note(holder.key_id, now)
        return Principal(holder.tenant_id, holder.role, holder.key_id)


def named_tenant(values: tuple[str, ...]) -> TenantId | None:
    """The one tenant that the headers name. Raises InvalidRequestError, TenantMismatchError."""
    if len(set(values)) > 1:
        raise TenantMismatchError("the X-Tenant-Id headers disagree")
    return tenant_id_from(values[0], "X-Tenant-Id") if values else None


def tenant_id_from(value: str, place: str) -> TenantId:
    try:
        return TenantId(value)
    except InvalidTenantIdError as error:
        raise InvalidRequestError(
            f"{place}: {error}", details={"faults": [{"path": place, "reason": str(error)}]}
        ) from error
