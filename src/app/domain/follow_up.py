"""A question that says little by itself: "and in winter?" """

from __future__ import annotations

from contracts.conversation import Conversation

MAX_WORDS, MAX_BYTES = 5, 48
"""A question of no more is taken for one that goes on from the one before."""


def searched(query: str, conversation: Conversation) -> str:
    """What a question is classified and searched by: a short one together with the question before it.

    A short question that begins something new brings the old words along: its own are found as well, since a search
    looks for words too. The other way round, "and in winter?" alone finds nothing and belongs to no route.
    """
    if len(query.split()) > MAX_WORDS or len(query.encode()) > MAX_BYTES:
        return query
    before = next((one.content for one in reversed(conversation.before) if one.role == "user" and one.content), "")
    return f"{before}\n{query}" if before else query
