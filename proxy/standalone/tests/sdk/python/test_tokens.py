"""Tokens of a real OIDC provider on the internal entry."""

import openai
import pytest
from support import ask, chat, message, named_request, until


@pytest.fixture
def with_token(stack):
    """A client of the internal entry that bears a token."""

    def client(who, resource="https://llm.example/", **more):
        url = stack.gateways["main"]["internal"]
        return stack.openai(api_key=stack.token(who, resource), url=url, **more)

    return client


def test_a_member_of_the_group_may_use_its_model(with_token, stack):
    name = named_request()
    assert chat(with_token("alice"), "team/chat", extra_headers=name).choices
    [seen] = stack.sims["steady"].received(name)
    assert seen["headers"]["x-client-id"] == "alice@example.org"


def test_an_anthropic_client_may_bear_a_token_too(stack):
    url = stack.gateways["main"]["internal"]
    client = stack.anthropic(auth_token=stack.token("alice"), url=url)
    assert message(client, "team/chat").content


def test_a_model_of_another_group_is_forbidden(with_token):
    with pytest.raises(openai.PermissionDeniedError):
        chat(with_token("alice"), "other/chat")
    with pytest.raises(openai.PermissionDeniedError):
        chat(with_token("bob"), "team/chat")


def test_a_token_for_another_audience_is_refused(with_token):
    with pytest.raises(openai.AuthenticationError):
        chat(with_token("alice", "https://elsewhere.example/"))


def test_a_token_ends_when_it_says(with_token):
    client = with_token("alice", "https://llm.example/brief")
    assert chat(client).choices

    def refused():
        try:
            return not chat(client)
        except openai.AuthenticationError:
            return True

    until(refused, "the token has expired")


def test_each_entry_takes_its_own_credential_only(with_token, stack):
    internal = stack.gateways["main"]["internal"]
    with pytest.raises(openai.AuthenticationError):
        chat(stack.openai(url=internal))
    with pytest.raises(openai.AuthenticationError):
        chat(stack.openai(api_key=stack.token("alice")))


def test_a_new_key_of_the_provider_refuses_nobody(with_token, stack):
    old = with_token("alice")
    assert chat(old).choices
    ask(f"{stack.idp['issuer']}/test/rotate", b"")
    # An SDK tries again if it is told that the key could not be looked up in time.
    assert chat(with_token("alice", max_retries=2)).choices
    assert chat(old).choices
