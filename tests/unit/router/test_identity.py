"""Identity: default deny, and two names of a tenant that disagree touch nothing of either."""

from __future__ import annotations

import pytest

from contracts.context import Role
from contracts.errors import (
    AtriumError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    TenantMismatchError,
    UnauthenticatedError,
)
from contracts.tenant import TenantId
from router.domain.access import GRANTS, Permission, Principal
from router.domain.claims import ClaimRules
from router.domain.signing_keys import KeySet, read_key_set
from router.service.access import Access, require
from router.service.identity import Credentials, Identity, is_disguised
from router.service.json_web_tokens import Expected, JsonWebTokens
from router.service.key_uses import KeyUses
from router.settings import AuthMode
from support.issuer import AUDIENCE, ED_KEY, ISSUER, jwk, key_set, token
from support.policies import compiled
from tenancy.audit import Actor
from tenancy.config import TenantConfig
from tenancy.keys import keyed, new_key
from tenancy.live import LiveKeys, LiveTenants
from tenancy.memory_keys import MemoryKeyStore
from tenancy.memory_tenants import MemoryTenantStore

T1, T2 = TenantId("t1"), TenantId("t2")
ADMIN, PLATFORM = new_key(), new_key()
BOOTSTRAP = keyed("a.bootstrap-key.without_prefix!")
BOTH = frozenset({AuthMode.HEADER, AuthMode.API_KEY})
WITH_JWT = BOTH | {AuthMode.JWT}


class FixedKeys:
    async def keys(self, _kid: str | None = None) -> KeySet:
        return read_key_set(key_set(jwk(ED_KEY, "k")))


def tokens() -> JsonWebTokens:
    rules = ClaimRules("tenant_id", "roles", {"ops": Role.PLATFORM_ADMIN}, Role.TENANT_USER)
    return JsonWebTokens(FixedKeys(), Expected(ISSUER, (AUDIENCE,)), rules)


def identity(modes: frozenset[AuthMode] = BOTH, *, anywhere: bool = False) -> Identity:
    keys = MemoryKeyStore()
    keys.put(ADMIN, T1, Role.TENANT_ADMIN)
    keys.put(PLATFORM, None, Role.PLATFORM_ADMIN)
    keys.put(BOOTSTRAP, None, Role.PLATFORM_ADMIN)
    return Identity(
        LiveKeys(keys),
        KeyUses(keys),
        modes=modes,
        header_role=Role.TENANT_USER,
        trust_header_from_anywhere=anywhere,
        tokens=tokens() if AuthMode.JWT in modes else None,
    )


def said(*, key: str | None = None, tenant: str | None = None, local: bool = True) -> Credentials:
    return Credentials((f"Bearer {key}",) if key else (), (tenant,) if tenant is not None else (), local)


async def test_a_key_speaks_for_its_tenant() -> None:
    assert await identity().principal(said(key=ADMIN.text)) == Principal(T1, Role.TENANT_ADMIN, ADMIN.key_id)


async def test_the_header_alone_is_believed_in_header_mode_on_loopback() -> None:
    assert await identity().principal(said(tenant="t2")) == Principal(T2, Role.TENANT_USER, "header")


async def test_a_platform_key_may_name_the_tenant_it_acts_for() -> None:
    assert (await identity().principal(said(key=PLATFORM.text, tenant="t2"))).tenant_id == T2


@pytest.mark.parametrize(
    ("credentials", "error"),
    [
        (said(), UnauthenticatedError),
        (said(tenant="t1", local=False), UnauthenticatedError),
        (said(tenant="T1"), InvalidRequestError),
        (said(tenant=""), InvalidRequestError),
        (said(tenant="../t1"), InvalidRequestError),
        (said(tenant="t1,t2"), InvalidRequestError),
        (said(tenant="t1, t1"), InvalidRequestError),
        (said(key="atr_wrong", tenant="t1"), UnauthenticatedError),
        (said(key=ADMIN.text[:-1]), UnauthenticatedError),
        (said(key=ADMIN.text + "x"), UnauthenticatedError),
        (said(key="x" * 65_536), UnauthenticatedError),
        (said(key="a'\"\x00"), UnauthenticatedError),
        (said(key="\ud800"), UnauthenticatedError),
        (said(key=ADMIN.text, tenant="t2"), TenantMismatchError),
        (Credentials((), ("t1", "t2"), from_loopback=True), TenantMismatchError),
        (Credentials(("Basic eDp5",), ("t1",), from_loopback=True), UnauthenticatedError),
        (Credentials(("Bearer",), ("t1",), from_loopback=True), UnauthenticatedError),
        (Credentials((f"Bearer {ADMIN.text}", "Bearer x"), (), from_loopback=True), InvalidRequestError),
    ],
)
async def test_everything_else_is_refused(credentials: Credentials, error: type[AtriumError]) -> None:
    with pytest.raises(error):
        await identity().principal(credentials)


async def test_a_mode_that_is_off_accepts_nothing() -> None:
    with pytest.raises(UnauthenticatedError):
        await identity(frozenset({AuthMode.API_KEY})).principal(said(tenant="t1"))
    only_header = identity(frozenset({AuthMode.HEADER}))
    with pytest.raises(UnauthenticatedError):
        await only_header.principal(said(key=ADMIN.text, tenant="t1"))
    assert (await only_header.principal(said(key=PLATFORM.text))).role is Role.PLATFORM_ADMIN


async def test_each_credential_is_taken_for_what_it_is_in_every_mix_of_modes() -> None:
    bearer = token(ED_KEY, "k")
    for modes in (WITH_JWT, frozenset({AuthMode.JWT})):
        who = await identity(modes).principal(said(key=bearer, tenant="t1"))
        assert who == Principal(T1, Role.TENANT_USER, "jwt:user-1", "user-1")
        for key in (PLATFORM, BOOTSTRAP):
            assert (await identity(modes).principal(said(key=key.text))).role is Role.PLATFORM_ADMIN
    assert (await identity(WITH_JWT).principal(said(key=ADMIN.text))).role is Role.TENANT_ADMIN
    assert (await identity(WITH_JWT).principal(said(tenant="t2"))).name == "header"
    for modes, key_text in ((BOTH, bearer), (frozenset({AuthMode.JWT}), ADMIN.text), (WITH_JWT, "a.b.c")):
        with pytest.raises(UnauthenticatedError):
            await identity(modes).principal(said(key=key_text, tenant="t1"))


async def test_a_tokens_tenant_and_the_headers_must_agree() -> None:
    with pytest.raises(TenantMismatchError):
        await identity(WITH_JWT).principal(said(key=token(ED_KEY, "k"), tenant="t2"))
    bound = token(ED_KEY, "k", roles=["ops"])
    with pytest.raises(TenantMismatchError):
        await identity(WITH_JWT).principal(said(key=bound, tenant="t2"))
    free = token(ED_KEY, "k", roles=["ops"], tenant_id=None)
    assert (await identity(WITH_JWT).principal(said(key=free))).tenant_id is None
    assert (await identity(WITH_JWT).principal(said(key=free, tenant="t2"))).tenant_id == T2


@pytest.mark.parametrize("name", ["X_Tenant_Id", "x_tenant-id", "x-tenant_id", "X_TENANT-ID"])
async def test_a_disguised_identity_header_is_refused_whatever_else_is_said(name: str) -> None:
    assert is_disguised(name)
    with pytest.raises(InvalidRequestError):
        await identity().principal(
            Credentials((f"Bearer {ADMIN.text}",), ("t1",), from_loopback=True, disguised=(name,))
        )


def test_other_headers_may_have_underscores() -> None:
    assert not any(map(is_disguised, ["x-tenant-id", "X-Tenant-Id", "authorization", "x_request_id", "tenant_id", "_"]))


def test_every_role_has_its_grants_and_a_user_writes_nothing() -> None:
    assert set(GRANTS) == set(Role)
    with pytest.raises(ForbiddenError):
        require(Principal(T1, Role.TENANT_USER, "u"), Permission.CONFIG_WRITE)


async def test_another_tenants_resource_does_not_exist() -> None:
    store = MemoryTenantStore(MemoryKeyStore())
    await store.create(T2, TenantConfig(), new_key(), by=Actor("p", "platform_admin"))
    access = Access(LiveTenants(store, compiled))

    async def admit(who: Principal) -> None:
        await access.admit(who, T2, Permission.CONFIG_READ, request_id="r", address="")

    with pytest.raises(NotFoundError):
        await admit(Principal(T1, Role.TENANT_ADMIN, "a"))
    await admit(Principal(None, Role.PLATFORM_ADMIN, "p"))
    with pytest.raises(TenantMismatchError):
        await admit(Principal(T1, Role.PLATFORM_ADMIN, "p"))


@pytest.mark.parametrize("word", ["unused", "EMPTY", "none", "not-needed"])
async def test_the_word_for_no_key_is_none_where_the_header_is_believed_and_a_wrong_key_elsewhere(word: str) -> None:
    assert await identity().principal(said(key=word, tenant="t1")) == await identity().principal(said(tenant="t1"))
    for modes in (frozenset({AuthMode.API_KEY}), frozenset({AuthMode.JWT})):
        with pytest.raises(UnauthenticatedError):
            await identity(modes).principal(said(key=word, tenant="t1"))
    with pytest.raises(UnauthenticatedError):
        await identity().principal(said(key=word))
    with pytest.raises(UnauthenticatedError):
        await identity().principal(said(key=f"{word}!", tenant="t1"))
