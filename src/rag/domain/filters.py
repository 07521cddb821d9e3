"""Which documents may answer. Each condition given must hold; what lacks the value asked for does not answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from contracts.retrieval import Metadata, SearchFilter

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Filter:
    """`after` is inclusive, `before` is not; both are aware. A field that is None asks for nothing."""

    sources: frozenset[str] | None = None
    tags: frozenset[str] | None = None
    document_ids: frozenset[str] | None = None
    after: datetime | None = None
    before: datetime | None = None

    @classmethod
    def of(cls, asked: SearchFilter | None) -> Filter | None:
        """None where nothing is asked for."""
        if asked is None:
            return None
        sources = (asked.source,) if isinstance(asked.source, str) else asked.source
        made = cls(
            sources=None if sources is None else frozenset(sources),
            tags=None if asked.tags is None else frozenset(asked.tags),
            document_ids=None if asked.document_ids is None else frozenset(asked.document_ids),
            after=asked.after,
            before=asked.before,
        )
        return None if made == cls() else made

    def allows(self, document_id: str, metadata: Metadata) -> bool:
        return (
            (self.document_ids is None or document_id in self.document_ids)
            and (self.sources is None or source_of(metadata) in self.sources)
            and (self.tags is None or not self.tags.isdisjoint(tags_of(metadata)))
            and self._allows_date(metadata)
        )

    def _allows_date(self, metadata: Metadata) -> bool:
        if self.after is None and self.before is None:
            return True
        date = date_of(metadata)
        return (
            date is not None
            and (self.after is None or date >= microseconds(self.after))
            and (self.before is None or date < microseconds(self.before))
        )


def source_of(metadata: Metadata) -> str | None:
    source = metadata.get("source")
    return source if isinstance(source, str) else None


def tags_of(metadata: Metadata) -> frozenset[str]:
    """`tags` is a list of texts, or one text."""
    tags = metadata.get("tags")
    if isinstance(tags, str):
        return frozenset([tags])
    return frozenset(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else frozenset()


def date_of(metadata: Metadata) -> int | None:
    """`date` as microseconds since 1970 in UTC; None where there is none, or none in ISO 8601."""
    date = metadata.get("date")
    if not isinstance(date, str):
        return None
    try:
        return microseconds(datetime.fromisoformat(date))
    except ValueError:
        return None


def microseconds(at: datetime) -> int:
    """Since 1970; a time without a zone is taken as UTC."""
    elapsed = (at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds
