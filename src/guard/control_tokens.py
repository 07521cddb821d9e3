"""Text that a chat template or a tokenizer would take for its own.

An engine puts a message into its model's template as it is, and the tokenizer makes `<|im_end|>` within it the token
that ends the message: so a document could end its message, and begin one of the system's.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"<(?=[|\uff5c]|<\s*/?\s*SYS|/?(?:s|bos|eos|pad|unk|mask|think|unused\d+|extra_id_\d+|(?:start|end|begin)_\w{1,40}"
    r"|\w{1,40}_(?:start|end)|(?:tool|function)_?\w{0,40})>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|IMG|gMASK|sMASK|CLS|SEP)\])",
    re.IGNORECASE,
)
_UNSEEN = dict.fromkeys((*range(0xE0000, 0xE0080), *range(0x202A, 0x202F), *range(0x2066, 0x206A)))
"""Tag characters, which spell ASCII and are drawn nowhere, and those that change the direction of what follows."""


def without_control_tokens(text: str) -> str:
    """The text with the first bracket of each made round, so that it is no longer one; never longer than it was."""
    text = text if text.isascii() else text.translate(_UNSEEN)
    return _TOKEN.sub("(", text) if "<" in text or "[" in text else text
