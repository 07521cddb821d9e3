"""Documents and passages: what tenants upload and search, and what router and orchestrator ask of the RAG service."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
)

from contracts.chat import Query
from contracts.counted import at_most
from contracts.ranking import Ranking
from contracts.text import Storable, StorableJson

MAX_DOCUMENT_BYTES = 25 * 1024 * 1024
"""A large file is a job of its own, so that this is a bound on memory (each stage holds it once) and not on time."""
MAX_TEXT_BYTES = 2 * 1024 * 1024
"""Of a document that is sent as a JSON string."""
MAX_FILES = 100
"""Of one upload."""
MAX_PASSAGES = 100
MAX_CHUNK_PAGE = 200

DocumentId = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300), Storable]
SearchMode = Literal["hybrid", "vector", "lexical"]
MAX_FILTER_VALUES = 1_000
"""Of each field of a filter: a list of documents, as a person picks them or a program does for one question."""
FilterValues = Annotated[
    tuple[Annotated[str, Storable], ...],
    Field(min_length=1, max_length=MAX_FILTER_VALUES),
    at_most(MAX_FILTER_VALUES),
]


def _in_utc(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)


FilterDate = Annotated[datetime, AfterValidator(_in_utc)]
Metadata = dict[Annotated[str, StringConstraints(min_length=1, max_length=64), Storable], StorableJson]


DocumentState = Literal["queued", "processing", "ready", "failed"]


def _content(value: Any) -> Any:
    """Bytes as they are; a string is base64."""
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        raise ValueError("must be base64") from None


Content = Annotated[
    bytes, BeforeValidator(_content), PlainSerializer(lambda raw: base64.b64encode(raw).decode(), when_used="json")
]


class IngestRequest(BaseModel):
    """Router to RAG: one document to keep, cut into chunks, embed and index.

    `filename` decides the format by its ending; `content` is the file's bytes (in JSON: base64).
    Without a `document_id` the content's hash names it, so that sending the same file twice keeps one document.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: Title
    filename: Annotated[str, StringConstraints(min_length=1, max_length=255), Storable]
    content: Content
    metadata: Metadata = {}
    document_id: DocumentId | None = None


class DocumentReceipt(BaseModel):
    """`ready`: the document is committed, and a search with `min_seq` = `seq` sees it on any replica.

    Otherwise it is a job: `chunks` and `seq` are of what searches find of it meanwhile, an earlier upload, or 0.
    """

    model_config = ConfigDict(frozen=True)

    document_id: str
    state: DocumentState = "ready"
    chunks: int
    seq: int


class Progress(BaseModel):
    """Of a job. `total` is null until the file is read."""

    model_config = ConfigDict(frozen=True)

    done: int
    total: int | None


class DocumentInfo(BaseModel):
    """`title` to `bytes` and `metadata` are of the last upload; `chunks` and `seq` of what searches find now.

    `progress` is null but for a job; `error` is the reason of one that failed.
    """

    model_config = ConfigDict(frozen=True)

    document_id: str
    title: str
    filename: str
    state: DocumentState = "ready"
    chunks: int
    bytes: int
    seq: int
    metadata: Metadata
    created_at: datetime
    progress: Progress | None = None
    error: str | None = None


class DocumentPage(BaseModel):
    """`next` is the cursor of the following page, null on the last."""

    model_config = ConfigDict(frozen=True)

    items: list[DocumentInfo]
    next: str | None = None


class EmbedRequest(BaseModel):
    """Orchestrator to RAG: texts to embed with the model that the index uses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    texts: tuple[Annotated[str, Storable], ...] = Field(min_length=1, max_length=256)


class EmbedResponse(BaseModel):
    """`vectors`: one row a text, L2-normalised, so that a dot product is the cosine."""

    model_config = ConfigDict(frozen=True)

    model: str
    vectors: list[list[float]]


class SearchFilter(BaseModel):
    """Which documents may answer: each field given must hold. What they look at is the documents' metadata.

    `source`: its `source` is one of these. `tags`: at least one of its `tags` is one of these.
    `after` and `before`: its `date` (ISO 8601; UTC unless it says otherwise) is not before `after`, and is before
    `before`. `document_ids`: it is one of these. A document without the value that is asked for does not answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Annotated[str, Storable] | FilterValues | None = None
    tags: FilterValues | None = None
    document_ids: (
        Annotated[
            tuple[DocumentId, ...],
            Field(min_length=1, max_length=MAX_FILTER_VALUES),
            at_most(MAX_FILTER_VALUES),
        ]
        | None
    ) = None
    after: FilterDate | None = None
    before: FilterDate | None = None


class SearchRequest(BaseModel):
    """A search in the tenant's own namespace. `vector` is the query's embedding, where the caller has it already, and
    `model` the model that made it: where another is served now, the vector is made anew.

    `mode`: `hybrid` ranks by meaning and by words and fuses both; `vector` and `lexical` by one of them alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    query: Query
    k: int = Field(default=5, ge=1, le=MAX_PASSAGES)
    min_seq: int = Field(default=0, ge=0)
    vector: tuple[float, ...] | None = None
    model: str | None = None
    filter: SearchFilter | None = None
    mode: SearchMode = "hybrid"
    ranking: Ranking = Ranking()


class Passage(BaseModel):
    """A chunk that was found. `start` and `end` are character offsets into the document's text; `score` a cosine."""

    model_config = ConfigDict(frozen=True)

    chunk_id: str
    document_id: str
    title: str
    text: str
    score: float
    start: int
    end: int


class SearchResponse(BaseModel):
    model_config = ConfigDict(frozen=True)

    passages: list[Passage]


class StoredPassage(BaseModel):
    """A chunk as it is kept. `start` and `end` are character offsets into the document's text."""

    model_config = ConfigDict(frozen=True)

    chunk_id: str
    start: int
    end: int
    text: str


class ChunkInfo(StoredPassage):
    """`ordinal` counts the document's chunks from 0; `heading` is the path of headings above it."""

    ordinal: int
    heading: str


class ChunkPage(BaseModel):
    """`next` is the cursor of the following page, null on the last."""

    model_config = ConfigDict(frozen=True)

    items: list[ChunkInfo]
    next: int | None = None


class StoredPassages(BaseModel):
    """All of a document's chunks, in order: for its export."""

    model_config = ConfigDict(frozen=True)

    passages: list[StoredPassage]


class LoadedIndex(BaseModel):
    """What a replica of the RAG service holds of the tenant in memory."""

    model_config = ConfigDict(frozen=True)

    vectors: int
