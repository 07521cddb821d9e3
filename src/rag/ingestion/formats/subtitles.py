"""`.srt`: what is spoken, line by line; a new paragraph where nobody speaks for a while.

Our own: LangChain's loader needs a package that is not kept up any more, for a format of three kinds of lines.
"""

from __future__ import annotations

import re

from contracts.errors import InvalidRequestError
from rag.domain.extracted import Parsed
from rag.ingestion.formats.plain import decoded
from rag.ingestion.formats.writing import Writer

SILENCE_S = 3.0

_TIME = r"(\d{1,3}):([0-5]?\d):([0-5]?\d)[,.](\d{1,3})"
_CUE = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}")
_MARKUP = re.compile(r"</?[A-Za-z][^<>\n]{0,100}>|\{\\[^{}\n]{0,100}\}")


def parse(content: bytes) -> Parsed:
    """Raises InvalidRequestError, BodyTooLargeError."""
    writer, spoken, ended, found = Writer(), list[str](), 0.0, False
    lines = decoded(content).splitlines()
    for at, line in enumerate(lines):
        cue = _CUE.match(line)
        if cue is None:
            if found and not _is_number_of_a_cue(lines, at):
                spoken.append(_MARKUP.sub("", line).strip())
            continue
        found = True
        if _seconds(cue.groups()[:4]) - ended > SILENCE_S:
            writer.text("\n".join(filter(None, spoken)))
            spoken = []
        ended = _seconds(cue.groups()[4:])
    if not found:
        raise InvalidRequestError("the file is called .srt and has no times of subtitles: name it .txt")
    writer.text("\n".join(filter(None, spoken)))
    return writer.parsed()


def _is_number_of_a_cue(lines: list[str], at: int) -> bool:
    return lines[at].strip().isdigit() and at + 1 < len(lines) and _CUE.match(lines[at + 1]) is not None


def _seconds(time: tuple[str, ...]) -> float:
    hours, minutes, seconds, thousandths = map(int, time)
    return hours * 3_600 + minutes * 60 + seconds + thousandths / 1_000
