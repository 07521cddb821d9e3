"""OpenAI's chunks, read into deltas with a running count."""

from __future__ import annotations

import orjson
import pytest

from app.adapters.completion import ChunkReader
from app.ports import Delta, TokenCount
from contracts.errors import UpstreamError


def chunk(text: str | None = None, **usage: object) -> bytes:
    choices = [] if text is None else [{"delta": {"content": text}, "finish_reason": None}]
    return orjson.dumps({"choices": choices, "usage": usage or None})


def test_the_engines_count_rides_on_every_piece() -> None:
    reader = ChunkReader(prompt_chars=400)
    assert reader.read(chunk("a", prompt_tokens=9, completion_tokens=1)) == Delta("a", TokenCount(9, 1))
    assert reader.read(chunk("b", prompt_tokens=9, completion_tokens=3)) == Delta("b", TokenCount(9, 3))


def test_an_engine_that_does_not_count_is_counted_by_its_pieces() -> None:
    reader = ChunkReader(prompt_chars=400)
    assert [reader.read(chunk(text)).tokens for text in "ab"] == [TokenCount(100, 1), TokenCount(100, 2)]


@pytest.mark.parametrize(
    ("details", "cached"), [(None, 0), ({}, 0), ({"cached_tokens": None}, 0), ({"cached_tokens": 6}, 6)]
)
def test_what_came_from_the_cache_is_known_where_the_engine_says_it(details: object, cached: int) -> None:
    last = ChunkReader(0).read(chunk(prompt_tokens=9, completion_tokens=3, prompt_tokens_details=details))
    assert last == Delta("", TokenCount(9, 3, cached))


@pytest.mark.parametrize("wrong", [-1, 10**15, 1e30, "7", None, []])
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens"])
def test_a_count_that_no_model_can_have_reached_is_no_completion(name: str, wrong: object) -> None:
    with pytest.raises(UpstreamError):
        ChunkReader(0).read(chunk("a", **{"prompt_tokens": 9, "completion_tokens": 2} | {name: wrong}))


def test_no_more_comes_from_the_cache_than_there_is() -> None:
    said = chunk(prompt_tokens=9, completion_tokens=3, prompt_tokens_details={"cached_tokens": 600})
    assert ChunkReader(0).read(said).tokens == TokenCount(9, 3, 9)


def test_details_that_are_no_details_are_no_completion() -> None:
    with pytest.raises(UpstreamError):
        ChunkReader(0).read(chunk(prompt_tokens=9, completion_tokens=3, prompt_tokens_details=7))
