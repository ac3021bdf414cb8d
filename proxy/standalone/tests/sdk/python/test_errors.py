"""Every way to fail, seen as the exception that programs catch."""

import functools

import anthropic
import openai
import pytest
from support import MESSAGES, PROMPT, SCENARIOS, chat, message, named_request, until

SDKS = {"openai": openai, "anthropic": anthropic}


def caught(sdk, call):
    with pytest.raises(SDKS[sdk].APIStatusError) as caught:
        call()
    return caught.value


def expect(sdk, error, status, code, request_id=None):
    """The right class, status and code, and the request's id if one was given."""
    name = SCENARIOS["classes"][sdk][str(status)] or "APIStatusError"
    assert (error.status_code, type(error).__name__) == (status, name), error
    if sdk == "openai":
        # As it was sent; `error.code` makes a text of vLLM's number.
        assert (error.body["code"], bool(error.type)) == (code, True)
    else:
        assert error.body["type"] == "error" and error.body["error"]["type"] == code
    assert error.message
    if request_id:
        assert error.request_id == request_id


def begin(sdk, stack, row, **more):
    """What a row of the scenarios does."""
    ask = chat if sdk == "openai" else message
    client = getattr(stack, sdk)(row.get("key", "member"))
    body = row.get("body", {}) | ({"stream": True} if row.get("stream") else {})
    return ask(client, row.get("model", "demo/open"), **body, **more)


@pytest.mark.parametrize("sdk", SDKS)
@pytest.mark.parametrize("row", SCENARIOS["errors"], ids=lambda row: row["it"])
def test_errors(stack, sdk, row):
    name = named_request()
    if fault := row.get("fault"):
        with stack.failing(fault):
            error = caught(sdk, lambda: begin(sdk, stack, row, extra_headers=name))
    else:
        error = caught(sdk, lambda: begin(sdk, stack, row, extra_headers=name))
    expect(sdk, error, *row[sdk], name["x-request-id"])


@pytest.mark.parametrize("sdk", SDKS)
def test_nobody_learns_why_a_key_is_refused(stack, sdk):
    rows = [{"key": key} for key in ("malformed", "unknown", "revoked", "suspended", "expired")]
    errors = [caught(sdk, lambda row=row: begin(sdk, stack, row)) for row in rows]
    assert {error.response.headers["www-authenticate"] for error in errors} == {"Bearer"}
    texts = {str(error.body.get("error", error.body)) for error in errors}
    assert len(texts) == 1


def test_an_unknown_model_is_named(openai_client):
    error = caught("openai", lambda: chat(openai_client, "demo/none"))
    assert (error.param, "demo/none" in error.message) == ("model", True)


def test_an_unknown_path_is_not_found_in_its_dialect(openai_client, anthropic_client):
    expect("openai", caught("openai", openai_client.files.list), 404, "unknown_url")
    batches = anthropic_client.messages.batches.list
    expect("anthropic", caught("anthropic", batches), 404, "not_found_error")


def test_a_wrong_method_names_the_right_one(openai_client, anthropic_client):
    for sdk, client, path, code in [
        ("openai", openai_client, "/chat/completions", "method_not_allowed"),
        ("anthropic", anthropic_client, "/v1/messages", "invalid_request_error"),
    ]:
        error = caught(sdk, functools.partial(client.get, path, cast_to=object))
        expect(sdk, error, 405, code)
        assert error.response.headers["allow"] == "POST"


@pytest.mark.parametrize("megabytes", [0.1, 8])
def test_a_body_over_the_limit_is_told_so_and_not_reset(stack, megabytes):
    big = [{"role": "user", "content": PROMPT * int(megabytes * 1_000_000 / len(PROMPT))}]
    for sdk, client, code in [
        ("openai", stack.openai(gateway="tls").chat.completions, "request_too_large"),
        ("anthropic", stack.anthropic(gateway="tls").messages, "request_too_large"),
    ]:
        call = functools.partial(client.create, model="demo/open", messages=big, max_tokens=1)
        expect(sdk, caught(sdk, call), 413, code)


@pytest.mark.parametrize("sdk", SDKS)
@pytest.mark.parametrize(
    ("key", "model"), [("member", "slow/single"), ("single", "slow/chat")], ids=["model", "key"]
)
def test_one_request_too_many_at_a_time_is_told_when_to_come_back(stack, sdk, key, model):
    code = {"openai": "rate_limit_exceeded", "anthropic": "rate_limit_error"}[sdk]
    row = {"key": key, "model": model}
    more = {"stream": True, "max_tokens": 5000, "extra_body": {"ignore_eos": True}}

    def hold():
        try:
            return begin("openai", stack, row, **more)
        except openai.RateLimitError:  # The stream of the test before is just ending.
            return None

    with until(hold, "the only place is free") as running:
        next(iter(running))
        error = caught(sdk, lambda: begin(sdk, stack, row))
    expect(sdk, error, 429, code)
    assert error.response.headers["retry-after"] == "1"
    assert error.response.headers["retry-after-ms"] == "1000"


@pytest.mark.parametrize("sdk", SDKS)
def test_a_model_whose_servers_are_all_down_is_unavailable(stack, sdk):
    """The first requests find out, and are told that the server could not be reached."""
    said = {"openai": (503, "service_unavailable"), "anthropic": (529, "overloaded_error")}
    status, code = said[sdk]
    row = {"model": "down/chat"}

    def unavailable():
        error = caught(sdk, lambda: begin(sdk, stack, row))
        assert error.status_code in (502, status)
        return error if error.status_code == status else None

    error = until(unavailable, "the server is left alone")
    expect(sdk, error, status, code)
    assert error.response.headers["retry-after"] == "1"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["status=503", "reset-before-headers", "error-first-event"])
def test_what_one_server_will_not_do_another_does(stack, openai_client, fault, stream):
    with stack.failing(fault):
        for _ in range(4):
            answer = chat(openai_client, "pair/chat", stream=stream)
            assert list(answer) if stream else answer.choices


def open_stream(stack, dialect):
    """A stream of each dialect, as raw events."""
    if dialect == "messages":
        return message(stack.anthropic(), "faulty/chat", stream=True)
    client, model = stack.openai(), "faulty/chat"
    if dialect == "chat":
        return chat(client, model, stream=True)
    if dialect == "completions":
        return client.completions.create(model=model, prompt=PROMPT, max_tokens=64, stream=True)
    return client.responses.create(model=model, input=PROMPT, stream=True)


@pytest.mark.parametrize("dialect", ["chat", "completions", "responses", "messages"])
@pytest.mark.parametrize("row", SCENARIOS["breaks"], ids=lambda row: row["it"])
def test_a_stream_that_breaks_raises(stack, dialect, row):
    sdk = SDKS["anthropic" if dialect == "messages" else "openai"]
    with stack.failing(row["fault"]), pytest.raises(sdk.APIError) as caught:
        for _ in open_stream(stack, dialect):
            pass
    assert not isinstance(caught.value, sdk.APIConnectionError)


@pytest.mark.parametrize("dialect", ["chat", "completions", "responses", "messages"])
def test_what_came_before_a_break_is_delivered(stack, dialect):
    sdk = SDKS["anthropic" if dialect == "messages" else "openai"]
    came = 0
    with stack.failing("reset-after-events=6"), pytest.raises(sdk.APIError):
        for _ in open_stream(stack, dialect):
            came += 1
    assert came == 6


def test_the_stream_helpers_raise_too(stack):
    with stack.failing("reset-after-events=6"):
        with pytest.raises(openai.APIError):
            with stack.openai().responses.stream(model="faulty/chat", input=PROMPT) as stream:
                stream.get_final_response()
        with pytest.raises(openai.APIError):
            with stack.openai().chat.completions.stream(
                model="faulty/chat", messages=MESSAGES
            ) as stream:
                stream.get_final_completion()
        with pytest.raises(anthropic.APIError):
            with stack.anthropic().messages.stream(
                model="faulty/chat", messages=MESSAGES, max_tokens=64
            ) as stream:
                stream.get_final_message()


@pytest.mark.parametrize("sdk", SDKS)
def test_a_retry_succeeds_when_the_server_is_well_again(stack, sdk):
    name, ask = named_request(), chat if sdk == "openai" else message
    client = getattr(stack, sdk)(max_retries=2)
    with stack.failing("status=503", times=1) as sim:
        assert ask(client, "faulty/chat", extra_headers=name)
        seen = sim.received(name)
    assert [record["headers"]["x-stainless-retry-count"] for record in seen] == ["0", "1"]


@pytest.mark.parametrize("sdk", SDKS)
def test_a_retry_comes_no_earlier_than_told(stack, sdk):
    name, ask = named_request(), chat if sdk == "openai" else message
    client = getattr(stack, sdk)(max_retries=2)
    with stack.failing("status=429", times=1) as sim:
        assert ask(client, "faulty/chat", extra_headers=name)
        first, second = sim.received(name)
    # The server says Retry-After: 1; by itself an SDK would wait for half a second at most.
    assert second["at_ms"] - first["at_ms"] >= 1000


@pytest.mark.parametrize("sdk", SDKS)
def test_what_cannot_succeed_is_not_tried_again(stack, sdk):
    name, ask = named_request(), chat if sdk == "openai" else message
    client = getattr(stack, sdk)(max_retries=2)
    error = caught(sdk, lambda: ask(client, max_tokens=20000, extra_headers=name))
    assert error.status_code == 400 and len(stack.sims["steady"].received(name)) == 1
