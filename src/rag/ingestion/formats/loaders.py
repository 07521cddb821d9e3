"""The long tail, read by LangChain community loaders behind one port.

That package is being retired upstream, so it stays at this edge: here, in a worker process, for a few endings that no
other library of ours reads. Taking a loader out, or writing our own, changes this file alone.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from contracts.errors import InvalidRequestError
from rag.domain.extracted import Parsed
from rag.ingestion.formats.json_tree import loaded
from rag.ingestion.formats.kinds import Format
from rag.ingestion.formats.limits import MAX_DEPTH
from rag.ingestion.formats.plain import decoded
from rag.ingestion.formats.writing import Writer


class Loader(Protocol):
    def texts(self, path: Path) -> Iterable[str]:
        """The texts of the file at `path`. Raises what it likes: the file is then refused as unreadable."""
        ...


class NotebookLoader:
    """`.ipynb`: the cells' text and code, without what they put out."""

    def texts(self, path: Path) -> Iterable[str]:
        from langchain_community.document_loaders.notebook import NotebookLoader as Community  # noqa: PLC0415

        notebook = loaded(path.read_text(encoding="utf-8-sig"))
        if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
            raise InvalidRequestError("the file is called .ipynb and has no cells")
        # Cells keep their lines as a list, which the loader would write as Python writes lists.
        cells = [{**cell, "source": "".join(cell.get("source", ""))} for cell in notebook["cells"]]
        path.write_text(json.dumps({**notebook, "cells": cells}), encoding="utf-8")
        return [document.page_content for document in Community(str(path)).load()]


class WebArchiveLoader:
    """`.mhtml`: a saved page."""

    def texts(self, path: Path) -> Iterable[str]:
        from langchain_community.document_loaders.mhtml import MHTMLLoader  # noqa: PLC0415

        loader = MHTMLLoader(path, open_encoding="utf-8", get_text_separator="\n")
        return [document.page_content for document in loader.lazy_load()]


class TreebankLoader:
    """`.conllu`: the sentences of an annotated corpus."""

    def texts(self, path: Path) -> Iterable[str]:
        from langchain_community.document_loaders.conllu import CoNLLULoader  # noqa: PLC0415

        return [document.page_content for document in CoNLLULoader(path).load()]


LOADERS: dict[Format, Loader] = {
    Format.NOTEBOOK: NotebookLoader(),
    Format.WEB_ARCHIVE: WebArchiveLoader(),
    Format.TREEBANK: TreebankLoader(),
}


def parse(kind: Format, content: bytes, folder: Path) -> Parsed:
    """`folder` is the worker's own: loaders read files. Raises InvalidRequestError, BodyTooLargeError."""
    decoded(content)  # all of them are text; a reason from here is better than a loader's
    path = folder / f"document{kind}"
    path.write_bytes(content)
    writer = Writer()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for text in LOADERS[kind].texts(path):
                for paragraph in text.split("\n\n"):
                    writer.text(paragraph)
    except RecursionError as error:
        raise InvalidRequestError(f"the file has elements nested deeper than {MAX_DEPTH}") from error
    finally:
        path.unlink(missing_ok=True)
    return writer.parsed()
