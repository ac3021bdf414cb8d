"""What openai-python can do through the gateway."""

import asyncio
import json

import openai
import pytest
from support import MESSAGES, PROMPT, WEATHER, chat, named_request

TOOL = {
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
CREDENTIALS = {"guarded": "engine-", "provider": "provider-"}
CHAT_TOOLS = [{"type": "function", "function": TOOL}]


def test_a_chat_is_answered(openai_client):
    answer = chat(openai_client)
    assert answer.choices[0].message.content
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_an_alias_stands_for_its_model(openai_client, stack):
    name = named_request()
    assert chat(openai_client, "open", extra_headers=name).choices[0].message.content
    [seen] = stack.sims["steady"].received(name)
    assert json.loads(seen["body"])["model"] == "demo/open"


def test_text_arrives_while_the_server_still_writes(openai_client, stack):
    name, more = named_request(), {"ignore_eos": True}
    with chat(
        openai_client, "slow/chat", stream=True, max_tokens=300, extra_body=more, extra_headers=name
    ) as stream:
        texts = (chunk.choices[0].delta.content for chunk in stream)
        first = next(text for text in texts if text)
        [seen] = stack.sims["slow"].received(name)
        assert seen["ended"] == "open"
        assert len([first, *filter(None, texts)]) > 10


def test_a_stream_that_does_not_ask_for_usage_shows_none(openai_client):
    chunks = list(chat(openai_client, stream=True))
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_stream_that_asks_for_usage_shows_it_once_at_the_end(openai_client):
    *chunks, last = chat(openai_client, stream=True, stream_options={"include_usage": True})
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert not last.choices and last.usage.completion_tokens > 0


def test_a_provider_s_stream_shows_usage_only_if_asked(openai_client):
    assert all(chunk.choices for chunk in chat(openai_client, "cloud/chat", stream=True))
    asked = {"include_usage": True}
    *_, last = chat(openai_client, "cloud/chat", stream=True, stream_options=asked)
    assert last.usage.completion_tokens > 0


def test_the_stream_helper_puts_the_answer_together(openai_client):
    with openai_client.chat.completions.stream(model="demo/open", messages=MESSAGES) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
    final = stream.get_final_completion().choices[0].message.content
    assert final == "".join(deltas) and len(deltas) > 1


def test_a_tool_is_called(openai_client):
    answer = openai_client.chat.completions.create(
        model="demo/open", messages=WEATHER, tools=CHAT_TOOLS
    )
    [call] = answer.choices[0].message.tool_calls
    assert call.function.name == "get_weather" and "city" in json.loads(call.function.arguments)


def test_a_tool_call_is_streamed_in_pieces(openai_client):
    stream = openai_client.chat.completions.create(
        model="demo/open", messages=WEATHER, tools=CHAT_TOOLS, stream=True
    )
    calls = [chunk.choices[0].delta.tool_calls for chunk in stream]
    functions = [call[0].function for call in calls if call]
    assert functions[0].name == "get_weather"
    assert "city" in json.loads("".join(function.arguments or "" for function in functions))


def test_a_response_can_be_made_and_asked_for_again(openai_client):
    made = openai_client.responses.create(model="demo/open", input=PROMPT)
    assert made.output_text and made.usage.output_tokens > 0
    assert openai_client.responses.retrieve(made.id).output_text == made.output_text


def test_to_cancel_a_response_goes_to_its_server(openai_client):
    made = openai_client.responses.create(model="demo/open", input=PROMPT)
    with pytest.raises(openai.BadRequestError, match="synchronous"):
        openai_client.responses.cancel(made.id)


def test_a_response_is_its_maker_s_alone(openai_client, stack):
    made = openai_client.responses.create(model="demo/open", input=PROMPT)
    for call in (
        stack.openai("stranger").responses.retrieve,
        stack.openai("stranger").responses.cancel,
    ):
        with pytest.raises(openai.NotFoundError) as caught:
            call(made.id)
        assert caught.value.code == "response_not_found"


def test_a_response_is_streamed_and_kept(openai_client):
    with openai_client.responses.stream(model="demo/open", input=PROMPT) as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert final.output_text == "".join(deltas) and len(deltas) > 1
    assert final.usage.output_tokens > 0
    assert openai_client.responses.retrieve(final.id).output_text == final.output_text


def test_a_response_calls_a_tool(openai_client):
    made = openai_client.responses.create(
        model="demo/open", input=WEATHER, tools=[{"type": "function", "strict": False, **TOOL}]
    )
    [call] = made.output
    assert call.name == "get_weather" and "city" in json.loads(call.arguments)


def test_a_text_is_completed(openai_client):
    whole = openai_client.completions.create(model="demo/open", prompt=PROMPT, max_tokens=20)
    stream = openai_client.completions.create(
        model="demo/open", prompt=PROMPT, max_tokens=20, stream=True
    )
    chunks = list(stream)
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text


def test_a_text_is_embedded(openai_client):
    answer = openai_client.embeddings.create(model="demo/open", input=["one", "two"])
    assert len(answer.data) == 2 and answer.usage.prompt_tokens > 0
    assert all(isinstance(number, float) for number in answer.data[0].embedding)


def test_documents_are_ranked(openai_client):
    body = {"model": "demo/open", "query": "birds", "documents": ["canaries", "stones"]}
    answer = openai_client.post("/rerank", cast_to=dict[str, object], body=body)
    assert sorted(result["index"] for result in answer["results"]) == [0, 1]


def test_audio_is_uploaded_and_transcribed(openai_client):
    audio = ("speech.wav", b"\x01\x02" * 40_000)
    answer = openai_client.audio.transcriptions.create(model="demo/open", file=audio)
    assert answer.text


def test_a_transcript_is_streamed(openai_client):
    audio = ("speech.wav", b"\x01\x02" * 40_000)
    stream = openai_client.audio.transcriptions.create(model="demo/open", file=audio, stream=True)
    chunks = list(stream)
    assert len(chunks) > 1
    assert all(chunk.choices for chunk in chunks)


def test_an_image_comes_from_a_provider(openai_client, stack):
    name = named_request()
    answer = openai_client.images.generate(model="cloud/chat", prompt=PROMPT, extra_headers=name)
    assert answer.data[0].b64_json
    [seen] = stack.sims["provider"].received(name)
    assert json.loads(seen["body"])["model"] == "cloud"


def test_many_streams_at_once_are_all_answered(stack):
    async def text(client):
        stream = await chat(client, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def all_texts():
        async with openai.AsyncOpenAI(**stack.where()) as client:
            return await asyncio.gather(*(text(client) for _ in range(40)))

    [same] = set(asyncio.run(all_texts()))
    assert same


def test_upstreams_see_their_own_credential_and_no_caller_s(openai_client, stack):
    for model, sim in [("guarded/chat", "guarded"), ("cloud/chat", "provider")]:
        name = named_request()
        assert chat(openai_client, model, extra_headers=name).choices
        [seen] = stack.sims[sim].received(name)
        assert seen["headers"]["authorization"].startswith(f"Bearer {CREDENTIALS[sim]}")
        assert seen["headers"]["x-client-id"].startswith("member-")


def test_the_models_are_those_one_may_use(openai_client, stack):
    listed = {model.id for model in openai_client.models.list()}
    assert {"demo/open", "team/chat", "cloud/chat"} <= listed and "other/chat" not in listed
    assert {model.id for model in stack.openai("demo_only").models.list()} == {"demo/open"}


def test_a_model_with_a_slash_in_its_id_is_found(openai_client):
    assert openai_client.models.retrieve("demo/open").id == "demo/open"
    with pytest.raises(openai.NotFoundError):
        openai_client.models.retrieve("other/chat")
