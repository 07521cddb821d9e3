"""Tool calls of an answer before the rules: judged as the client will read them, and never broken by a placeholder."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.chat import Refusal
from contracts.conversation import ToolCall
from contracts.errors import UpstreamError
from guard.rules import Rule
from router.domain.policy import Policy
from router.domain.told_calls import guarded_calls, spoken, work_of
from support.policies import a_policy, contains

SECRET = a_policy(refusal_rules=[contains("project falcon", id="r1", stage="output")])
REDACTING = a_policy(
    redact={"output": ["email", "card"]},
    refusal_rules=[contains("falcon", stage="output", action="redact")],
)


def told(policy: Policy, arguments: str, name: str = "look_up") -> tuple[ToolCall, ...] | Refusal:
    return guarded_calls(policy, (ToolCall(id="c1", name=name, arguments=arguments),))


def arguments_of(policy: Policy, arguments: str) -> str:
    found = told(policy, arguments)
    assert not isinstance(found, Refusal)
    return found[0].arguments


@pytest.mark.parametrize(
    "arguments",
    [
        '{"said": "about project falcon"}',
        '{"said": "about pro\\u006aect \\u0066alcon"}',
        '{"said": ["a", {"b": "PROJECT\\nFALCON"}]}',
        '{"project falcon": 1}',
        '{"said": "about project falcon',
        "project falcon",
        '{"said": "about project\\nfalcon',
        '{"said": "about \\ud835\\udc29roject falcon',
        '{"said": "about project\\u0020falcon", "said": "x"}',
    ],
)
def test_what_a_rule_refuses_is_refused_however_it_is_escaped_or_cut(arguments: str) -> None:
    found = told(SECRET, arguments)
    assert isinstance(found, Refusal)
    assert (found.rule_id, found.stage) == ("r1", "output")


def test_the_name_of_a_tool_is_judged_too() -> None:
    policy = a_policy(refusal_rules=[contains("falcon", stage="output")])
    assert isinstance(told(policy, "{}", "find_falcon"), Refusal)


def test_a_tool_that_is_switched_off_is_called_by_no_answer() -> None:
    found = told(a_policy(blocked_tools=["mcp_finance"]), "{}", "MCP_Finance")
    assert isinstance(found, Refusal)
    assert (found.reason, found.rule_id, found.stage) == ("blocked_tool", "blocked_tools", "output")


def test_what_is_redacted_leaves_the_arguments_json() -> None:
    arguments = '{"to": "eve@rival.example", "card": 4111111111111111, "n": [1, true, null, 1.5], "on": "falcon"}'
    assert json.loads(arguments_of(REDACTING, arguments)) == {
        "to": "[EMAIL]", "card": "[CARD]", "n": [1, True, None, 1.5], "on": "[REDACTED]",
    }  # fmt: skip


def test_of_arguments_with_a_name_twice_nothing_is_told_that_is_redacted() -> None:
    assert json.loads(arguments_of(REDACTING, '{"to": "eve@rival.example", "to": "x"}')) == {"to": "x"}
    assert json.loads(arguments_of(REDACTING, '{"to": "eve\\u0040rival.example", "to": "x"}')) == {"to": "x"}


def test_of_arguments_that_are_cut_off_nothing_is_told_that_is_redacted() -> None:
    assert arguments_of(REDACTING, '{"to": "eve\\u0040rival.example or') == '{"to": "[EMAIL] or'


def test_the_rules_that_replaced_something_are_known() -> None:
    redacted: dict[int, Rule] = {}
    guarded_calls(REDACTING, (ToolCall(id="c1", name="f", arguments='{"on": "falcon"}'),), redacted)
    assert [rule.reason for rule in redacted.values()] == ["no falcon"]


def test_arguments_of_which_nothing_is_redacted_stay_as_the_model_wrote_them() -> None:
    assert arguments_of(REDACTING, '{ "a" :1.50,"b": "\\u00e9"}') == '{ "a" :1.50,"b": "\\u00e9"}'


def test_arguments_nested_beyond_sense_are_the_engines_fault() -> None:
    with pytest.raises(UpstreamError):
        told(SECRET, '{"a":' + "[" * 100 + "]" * 100 + "}")


def test_a_call_is_read_to_a_moderation_service_without_escapes() -> None:
    assert spoken(ToolCall(id="c", name="f", arguments='{"a": "\\u00e9"}')) == 'f {"a":"é"}'
    assert spoken(ToolCall(id="c", name="f", arguments='{"a": "\\u00e9')) == 'f {"a": "é'
    deep = "[" * 300 + "]" * 300
    assert spoken(ToolCall(id="c", name="f", arguments=deep)) == f"f {deep}"


_LEAF = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
_JSON: st.SearchStrategy[object] = st.deferred(
    lambda: _LEAF | st.lists(_JSON, max_size=3) | st.dictionaries(st.text(), _JSON, max_size=3)
)


@given(_JSON)
def test_whatever_is_told_has_nothing_that_is_refused_or_redacted(value: object) -> None:
    arguments = json.dumps({"a": value, "b": "falcon"})
    assert "falcon" not in arguments_of(REDACTING, arguments).casefold()
    assert work_of(REDACTING, (ToolCall(id="c", name="f", arguments=arguments),)) > 0
