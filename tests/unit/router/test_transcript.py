"""What has been said, and used, so far."""

from __future__ import annotations

from contracts.chat import TokenEvent, Usage, UsageEvent
from router.domain.transcript import Transcript


def test_a_turn_that_is_left_has_used_what_its_last_token_said() -> None:
    transcript = Transcript()
    for number, text in enumerate(("One", " two"), start=1):
        transcript.add(TokenEvent(text=text, prompt_tokens=7, completion_tokens=number))
    assert transcript.answer == "One two"
    assert transcript.usage == Usage(prompt_tokens=7, completion_tokens=2, total_tokens=9)
    assert not transcript.counted


def test_the_engines_last_word_replaces_what_the_tokens_said() -> None:
    transcript = Transcript()
    transcript.add(TokenEvent(text="One", prompt_tokens=7, completion_tokens=1))
    last = Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10, cached_tokens=4)
    transcript.add(UsageEvent(usage=last))
    assert transcript.usage == last
    assert transcript.counted
