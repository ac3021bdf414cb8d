"""What anthropic-python can do through the gateway."""

import anthropic
import pytest
from support import MESSAGES, WEATHER, message, named_request

TOOLS = [
    {
        "name": "get_weather",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
]


def test_a_message_is_answered(anthropic_client):
    answer = message(anthropic_client, system="Be brief.")
    assert answer.content[0].text and answer.usage.output_tokens > 0


def test_text_arrives_while_the_server_still_writes(anthropic_client, stack):
    name, more = named_request(), {"ignore_eos": True}
    with anthropic_client.messages.stream(
        model="slow/chat", messages=MESSAGES, max_tokens=300, extra_body=more, extra_headers=name
    ) as stream:
        first = next(stream.text_stream)
        [seen] = stack.sims["slow"].received(name)
        assert seen["ended"] == "open"
        assert len([first, *stream.text_stream]) > 10
    final = stream.get_final_message()
    assert final.usage.output_tokens == 300 and final.usage.input_tokens > 0


def test_raw_events_come_in_order(anthropic_client):
    kinds = [event.type for event in message(anthropic_client, stream=True)]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}


def test_a_tool_is_called(anthropic_client):
    answer = anthropic_client.messages.create(
        model="demo/open", messages=WEATHER, tools=TOOLS, max_tokens=100
    )
    assert answer.stop_reason == "tool_use"
    assert answer.content[0].name == "get_weather" and "city" in answer.content[0].input


def test_a_tool_call_is_streamed_in_pieces(anthropic_client):
    with anthropic_client.messages.stream(
        model="demo/open", messages=WEATHER, tools=TOOLS, max_tokens=100
    ) as stream:
        pieces = [event for event in stream if event.type == "input_json"]
    assert pieces and "city" in stream.get_final_message().content[0].input


def test_tokens_are_counted_without_an_answer(anthropic_client):
    count = anthropic_client.messages.count_tokens(model="demo/open", messages=MESSAGES)
    usage = message(anthropic_client).usage
    assert count.input_tokens == usage.input_tokens + usage.cache_read_input_tokens


def test_the_models_are_those_one_may_use(anthropic_client):
    listed = {model.id for model in anthropic_client.models.list()}
    assert {"demo/open", "team/chat"} <= listed and "other/chat" not in listed
    assert anthropic_client.models.retrieve("demo/open").display_name
    with pytest.raises(anthropic.NotFoundError):
        anthropic_client.models.retrieve("other/chat")
