"""`python -m rag.ingestion.worker_process <limits as JSON>`: reads files sent to it and answers with their pieces.

It has no secrets in its environment, no database and, once confined, no network. One file at a time; it keeps nothing.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from contracts.errors import AtriumError, BodyTooLargeError
from contracts.retrieval import MAX_DOCUMENT_BYTES
from rag.domain.extracted import Extracted
from rag.ingestion.confinement import Limits, allow_cpu, confine
from rag.ingestion.cutting import cut
from rag.ingestion.formats import csv_table, docx, html, json_tree, mail, markdown, pdf, plain, subtitles
from rag.ingestion.formats.limits import MAX_DEPTH
from rag.ingestion.frames import ClosedError, read_frame, write_frame
from rag.ingestion.parsing import parse

WARM = (csv_table, docx, html, json_tree, mail, markdown, pdf, plain, subtitles)
"""Loaded before the limits hold."""
FRAME_BYTES = MAX_DOCUMENT_BYTES + 64 * 1024


def main() -> None:
    limits = Limits(**json.loads(sys.argv[1]))
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # a parser that prints must not spoil an answer
    confine(limits)
    write_frame(answers, {"ready": True})
    while True:
        try:
            head, content = read_frame(sys.stdin.buffer, at_most=FRAME_BYTES)
        except ClosedError:
            return
        allow_cpu(limits.cpu_s)
        write_frame(answers, _answer(str(head["filename"]), content, limits))


def _answer(filename: str, content: bytes, limits: Limits) -> dict[str, Any]:
    try:
        return _wire(cut(parse(filename, content, Path.cwd())))
    except AtriumError as error:
        return {"error": error.message, "too_large": isinstance(error, BodyTooLargeError)}
    except MemoryError:
        return {"error": f"the file needs more than {limits.memory_bytes} bytes of memory to be read", "worn": True}
    except RecursionError:
        return {"error": f"the file is nested deeper than {MAX_DEPTH}", "worn": True}
    except Exception as error:  # noqa: BLE001  whatever a parser raises: the file cannot be read
        return {"error": f"the file cannot be read: it is damaged, or not what its name says ({type(error).__name__})"}


def _wire(extracted: Extracted) -> dict[str, Any]:
    pieces = [(piece.start, piece.end, piece.heading, piece.lead) for piece in extracted.pieces]
    return {"text": extracted.text, "pieces": pieces}


if __name__ == "__main__":
    main()
