"""What is asked: every text of it is seen by the rules, and can be rewritten."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contracts.chat import ChatRequest
from contracts.conversation import Conversation, Message, Options, Tool, ToolCall
from router.domain.asked import Asked

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_CALLS = st.lists(st.builds(ToolCall, id=st.just("c1"), name=_TEXTS, arguments=_TEXTS), max_size=2).map(tuple)
_MESSAGES = st.lists(
    st.builds(Message, role=st.sampled_from(["user", "assistant", "tool"]), content=_TEXTS, tool_calls=_CALLS),
    max_size=3,
).map(tuple)
_ASKED = st.builds(
    Asked,
    query=st.just("why?"),
    conversation=st.builds(Conversation, instruction=_TEXTS, summary=_TEXTS, before=_MESSAGES, after=_MESSAGES),
)


@given(_ASKED)
def test_its_own_texts_put_back_change_nothing(asked: Asked) -> None:
    assert asked.with_texts(asked.texts()) == asked
    assert asked.with_texts(asked.unescaped()) == asked


@given(_ASKED)
def test_each_text_is_rewritten_in_its_place(asked: Asked) -> None:
    numbered = [str(number) for number in range(len(asked.texts()))]

    assert asked.with_texts(numbered).texts() == tuple(numbered)


def test_the_calls_of_tools_and_what_they_gave_are_texts() -> None:
    call = ToolCall(id="c1", name="look_up", arguments='{"what": "olives"}')
    after = (Message(role="assistant", tool_calls=(call,)), Message(role="tool", content="9 euros", tool_call_id="c1"))
    asked = Asked(query="what do olives cost?", conversation=Conversation(after=after))

    assert {"look_up", '{"what": "olives"}', "9 euros"} < set(asked.texts())


def test_arguments_with_escapes_are_rewritten_as_they_are_read_and_else_stay_as_they_were() -> None:
    written = '{"tel":  "+33\\u00a06 12\\n"}'
    after = (Message(role="assistant", tool_calls=(ToolCall(id="c1", name="f", arguments=written),)),)
    asked = Asked(query="why?", conversation=Conversation(after=after))

    texts = asked.unescaped()
    assert texts[-1] == '{"tel":"+33\u00a06 12\\n"}'
    assert asked.with_texts(texts) == asked
    assert asked.with_texts([*texts[:-1], "{}"]).texts()[-1] == "{}"


def test_arguments_that_are_nested_too_deep_to_be_written_stay_as_they_are() -> None:
    deep = '{"a": "\\u00e9", "b": ' + "[" * 300 + "]" * 300 + "}"
    after = (Message(role="assistant", tool_calls=(ToolCall(id="c1", name="f", arguments=deep),)),)

    assert Asked(query="why?", conversation=Conversation(after=after)).unescaped()[-1] == deep


def test_what_describes_tools_and_the_form_of_the_answer_is_judged_too() -> None:
    options = Options(tools=(Tool(name="f", description="looks up"),), response_format={"type": "json_object"})
    asked = Asked(query="why?", options=options)

    assert asked.schemas() == ('{"name":"f","description":"looks up"}', '{"type":"json_object"}')
    assert asked.bytes() == len(b"why?") + sum(map(len, asked.schemas()))


def test_a_repetition_has_the_same_fingerprint_however_its_answer_is_delivered() -> None:
    first, again = (Asked.of(ChatRequest(query="why?", stream=stream)) for stream in (False, True))

    assert first.fingerprint() == again.fingerprint() != Asked(query="why not?").fingerprint()


def test_what_json_writes_with_escapes_is_judged_as_it_is_too() -> None:
    tool = Tool(name="f", description="project\nfalcon", parameters={"enum": ['a "b"', "plain", 7]})
    call = ToolCall(id="c1", name="f", arguments='{"a": ["x\\ty", "z"]}')
    after = (Message(role="assistant", tool_calls=(call,)),)
    asked = Asked(query="why?", options=Options(tools=(tool,)), conversation=Conversation(after=after))

    assert set(asked.escaped()) == {"project\nfalcon", 'a "b"', "x\ty"}


def test_the_next_request_of_a_conversation_that_the_client_keeps_is_of_the_same_session() -> None:
    before = (Message(role="user", content="why?"), Message(role="assistant", content="so"))
    first = Asked(query="why?", keeps_conversation=True)
    second = Asked(query="and then?", keeps_conversation=True, conversation=Conversation(before=before))

    assert first.session == second.session
    assert first.session != Asked(query="why?", keeps_conversation=True, user_id="another").session
    assert first.session != Asked(query="why not?", keeps_conversation=True).session


def test_a_session_that_is_named_is_that_one_and_of_any_other_client_each_question_has_one_of_its_own() -> None:
    assert Asked(query="why?", session_id="s1", keeps_conversation=True).session == "s1"
    assert Asked(query="why?").session != Asked(query="why?").session
