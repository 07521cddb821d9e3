"""What the client has been told so far."""

from __future__ import annotations

from contracts.chat import Refusal, RefusalEvent, TokenEvent
from router.domain.transcript import Transcript


def test_an_answer_is_its_tokens_until_it_is_refused() -> None:
    transcript = Transcript()
    for text in ("One", " two"):
        transcript.add(TokenEvent(text=text))
    assert transcript.answer == "One two"
    transcript.add(RefusalEvent(refusal=Refusal(reason="r", rule_id="id", stage="output", message="No.")))
    assert transcript.answer == "No."
