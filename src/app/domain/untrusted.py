"""Retrieved passages are data, not orders: what is done with them before they are chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from contracts.chat import PassageInjection
from contracts.retrieval import Passage
from guard.injection import reads_like_orders
from guard.links import strip_links


class Treated(NamedTuple):
    """`flagged`: the chunks that read like orders; those of them that are dropped are not among `passages`."""

    passages: list[Passage]
    flagged: frozenset[str]


def treat(found: Sequence[Passage], *, injection: PassageInjection, links: bool) -> Treated:
    """`links`: strip those that could carry data away. Orders are looked for in the text as it was retrieved."""
    flagged = frozenset(
        passage.chunk_id for passage in found if injection != "ignore" and reads_like_orders(passage.text)
    )
    kept = [passage for passage in found if injection != "drop" or passage.chunk_id not in flagged]
    return Treated([_stripped(passage) for passage in kept] if links else kept, flagged)


def _stripped(passage: Passage) -> Passage:
    text = strip_links(passage.text)
    return passage if text == passage.text else passage.model_copy(update={"text": text})
