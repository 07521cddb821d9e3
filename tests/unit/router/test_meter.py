"""What has been used so far."""

from __future__ import annotations

from contracts.chat import TokenEvent, Usage, UsageEvent
from router.domain.meter import Meter


def test_a_turn_that_is_left_has_used_what_its_last_token_said() -> None:
    meter = Meter()
    for number, text in enumerate(("One", " two"), start=1):
        meter.add(TokenEvent(text=text, prompt_tokens=7, completion_tokens=number))
    assert meter.usage == Usage(prompt_tokens=7, completion_tokens=2, total_tokens=9)
    assert not meter.counted


def test_the_engines_last_word_replaces_what_the_tokens_said() -> None:
    meter = Meter()
    meter.add(TokenEvent(text="One", prompt_tokens=7, completion_tokens=1))
    last = Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10, cached_tokens=4)
    meter.add(UsageEvent(usage=last))
    assert meter.usage == last
    assert meter.counted
