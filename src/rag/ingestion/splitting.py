"""Structure-aware cuts, made by LangChain's recursive splitter without overlap and without stripping.

In that mode its pieces are exactly the text, one after the other, so that their offsets are sums and never a search:
the splitter's own `add_start_index` looks a chunk up by its text, which finds the wrong place in repetitive text.
"""

from __future__ import annotations

from langchain_text_splitters import RecursiveCharacterTextSplitter

from rag.domain.extracted import Kind

# From coarse to fine; what a cut is made after stays with the piece before it. Each is linear on any input.
_PARAGRAPH, _LINE, _SPACE = r"\n\s*\n", r"\n", r"\s+"
_SENTENCE = r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])"  # the latter are CJK stops, which no space follows
_RULE = r"\n(?=(?:\*\*\*|---|___)\s*\n)"
_CELL = r" \| "

_SEPARATORS = {
    Kind.HEADING: [_LINE, _SENTENCE, _SPACE],
    Kind.TEXT: [_RULE, _PARAGRAPH, _LINE, _SENTENCE, _SPACE],
    Kind.CODE: [_PARAGRAPH, _LINE, _SPACE],
    Kind.TABLE: [_LINE, _CELL, _SENTENCE, _SPACE],
}


def split(text: str, kind: Kind, *, size: int) -> list[str]:
    """Pieces that together are `text`; of at most `size` characters, but for a run without any white space."""
    splitter = RecursiveCharacterTextSplitter(
        separators=_SEPARATORS[kind],
        is_separator_regex=True,
        keep_separator="end",
        strip_whitespace=False,
        chunk_size=size,
        chunk_overlap=0,
    )
    return splitter.split_text(text)
