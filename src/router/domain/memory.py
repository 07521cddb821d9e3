"""What a request knows of its session: values in, the conversation that goes with the question out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from contracts.chat import Summarise
from contracts.conversation import Conversation, Message
from router.domain.asked import Asked
from tenancy.conversations import EarlierTurn, Recalled, SessionKey, Summary, TurnState


class Mode(StrEnum):
    """As the header `X-Conversation-Memory` says it."""

    ON = "on"
    OFF = "off"
    """Nothing is kept: the tenant's retention is 0, or the client keeps its conversation itself."""
    UNAVAILABLE = "unavailable"
    """What was said before could not be had in time: answered without it. This turn is kept."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of what is recalled. More than `turns` that are in no summary, or half of `max_bytes`, and the older half of them
    is summarised; twice as many are recalled where that has not come about."""

    turns: int
    max_bytes: int

    def summarised(self, turns: Sequence[EarlierTurn]) -> int:
        """How many of these, the oldest, are to go into a summary."""
        if not self.turns or len(turns) < 2:
            return 0
        long = len(turns) > self.turns or sum(turn.bytes for turn in turns) > self.max_bytes // 2
        return max(1, len(turns) - self.turns // 2 if len(turns) > self.turns else len(turns) // 2) if long else 0

    def fitting(self, turns: Sequence[EarlierTurn]) -> tuple[EarlierTurn, ...]:
        """The last of them that are recalled."""
        kept: list[EarlierTurn] = []
        left = self.max_bytes
        for turn in reversed(turns[-2 * self.turns :] if self.turns else ()):
            left -= turn.bytes
            if left < 0:
                break
            kept.append(turn)
        return tuple(reversed(kept))


@dataclass(frozen=True, slots=True)
class Memory:
    """`recalled` is what the session ends with, as it is kept; `summary` and `turns` are what of it is sent. `asked` is
    the time of the request, of `time.monotonic`."""

    key: SessionKey
    asked: float
    mode: Mode
    recalled: Recalled | None = None
    summary: str = ""
    turns: tuple[EarlierTurn, ...] = ()
    bounds: Bounds = field(default_factory=lambda: Bounds(0, 0))

    @classmethod
    def of(cls, key: SessionKey, asked: float, recalled: Recalled, bounds: Bounds) -> Memory:
        """A refusal is no answer to go on from, and what it refused is not to be asked again."""
        sent = tuple(turn for turn in recalled.turns if turn.state is not TurnState.REFUSED and turn.answer.strip())
        return cls(key, asked, Mode.ON, recalled, recalled.summary.text, sent, bounds)

    @property
    def empty(self) -> bool:
        return not self.summary and not self.turns

    def with_turns(self, summary: str, turns: Collection[EarlierTurn]) -> Memory:
        return replace(self, summary=summary, turns=tuple(turns))

    def forgotten(self) -> Memory:
        """The same, of which nothing is sent."""
        return self.with_turns("", ())

    def joined(self, asked: Asked) -> Asked:
        """The question with what was said before it."""
        if self.empty:
            return asked
        said = (message for turn in self.turns for message in _messages(turn))
        own = asked.conversation
        together = Conversation(instruction=own.instruction, summary=self.summary, before=(*said, *own.before),
                                after=own.after)  # fmt: skip
        return asked.model_copy(update={"conversation": together})

    def to_summarise(self, prompt_tokens: int) -> Summarise | None:
        """Which of the messages that are sent are to go into a summary. It is made of what was reserved for the
        request, `prompt_tokens` for its prompts: nothing more is asked of the tenant's limits."""
        messages = 2 * sum(turn.number <= self._up_to() for turn in self.turns)
        return Summarise(messages=messages, prompt_tokens=prompt_tokens) if messages else None

    def summary_of(self, text: str) -> Summary | None:
        """What the engine made of them."""
        if self.recalled is None or not text or not self._up_to():
            return None
        first = self.recalled.turns[0].at
        return Summary(text, self._up_to(), self.recalled.summary.since or first)

    def _up_to(self) -> int:
        """The number of the last turn that is to go into a summary; 0 for none."""
        if self.recalled is None:
            return 0
        count = self.bounds.summarised(self.recalled.turns)
        return self.recalled.turns[count - 1].number if count else 0


def continued(
    recalled: Recalled, turn: EarlierTurn, summary: Summary | None, revision: int, bounds: Bounds
) -> Recalled:
    """The end of a session behind one turn more."""
    summary = summary or recalled.summary
    turns = [one for one in (*recalled.turns, turn) if one.number > summary.up_to]
    return Recalled(revision, summary, bounds.fitting(turns))


def since_retention(recalled: Recalled, since: datetime) -> Recalled:
    """Without what is older than may be kept."""
    old = recalled.summary.since is not None and recalled.summary.since < since
    turns = tuple(turn for turn in recalled.turns if turn.at >= since)
    return Recalled(recalled.revision, Summary() if old else recalled.summary, turns)


def _messages(turn: EarlierTurn) -> tuple[Message, Message]:
    return Message(role="user", content=turn.question), Message(role="assistant", content=turn.answer)
