"""Text that a tokenizer would take for its own is made plain."""

from __future__ import annotations

import pytest

from guard.control_tokens import without_control_tokens


@pytest.mark.parametrize(
    "token",
    [
        *("<|im_end|>", "<|im_start|>", "<|endoftext|>", "<|eot_id|>", "<|start_header_id|>", "<\uff5cUser\uff5c>"),
        *("<s>", "</s>", "<start_of_turn>", "<end_of_turn>", "<bos>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"),
        *("[TOOL_CALLS]", "<think>", "</think>", "<tool_call>", "</tool_response>", "<unused42>", "<vision_start>"),
    ],
)
def test_a_control_token_is_none_any_more_and_as_long_as_before(token: str) -> None:
    plain = without_control_tokens(f"a{token}b")
    assert token not in plain
    assert len(plain) == len(token) + 2
    assert without_control_tokens(plain) == plain


@pytest.mark.parametrize(
    "text", ["1 < 2 and [1] and a[i]", "<b>bold</b> <div class='x'>", "Vec<String>", "x <- y", "<passage>", "{}|[]"]
)
def test_other_brackets_stay(text: str) -> None:
    assert without_control_tokens(text) == text
