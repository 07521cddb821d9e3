"""Names made from content: the same file is the same document, and no two tenants share an id."""

from __future__ import annotations

import hashlib

from contracts.tenant import TenantId


def content_hash(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def derived_document_id(tenant_id: TenantId, title: str, file_hash: bytes) -> str:
    """The id of a document that came without one."""
    return "doc-" + _digest(str(tenant_id), title, file_hash.hex())


def chunk_id(tenant_id: TenantId, document_id: str, file_hash: bytes, ordinal: int) -> str:
    """Changes with the content, so that a citation never comes to mean another text."""
    return "chk-" + _digest(str(tenant_id), document_id, file_hash.hex(), str(ordinal))


def _digest(*parts: str) -> str:
    """96 bits of SHA-256 over the parts, each with its length before it, so that no two lists read alike."""
    joined = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(joined.encode()).hexdigest()[:24]
