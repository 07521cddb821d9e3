"""Server-sent events, decoded as the bytes arrive (WHATWG HTML, 9.2.6): the `data` of each event, nothing else."""

from __future__ import annotations


class EventTooLongError(ValueError):
    """An event grew beyond the limit before it was complete."""


class SseDecoder:
    """Feed it chunks cut anywhere, also within a character: bytes become text only where an event is complete.

    Lines end with LF or CRLF. A CR alone, which the standard allows and no engine sends, does not end one.
    """

    def __init__(self, max_event_bytes: int) -> None:
        self._max = max_event_bytes
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0  # at least what is pending; taken anew when it reaches the limit

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of the events that this chunk completes. Raises EventTooLongError."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        events: list[bytes] = []
        for line in lines:
            field = line.removesuffix(b"\r")
            if not field:
                if self._data:
                    events.append(b"\n".join(self._data))
                    self._data = []
            elif field.startswith(b"data:"):
                self._data.append(field[5:].removeprefix(b" "))
            # Comments and the fields event, id and retry are of no use here.
        self._size += len(chunk)
        if self._size > self._max:
            self._measure(events)
        return events

    def _measure(self, events: list[bytes]) -> None:
        """Only when as much has arrived as one event may have: most chunks are far from it."""
        self._size = len(self._rest) + sum(map(len, self._data))
        if max(self._size, *map(len, events), 0) > self._max:
            raise EventTooLongError(f"an event is longer than {self._max} bytes")
