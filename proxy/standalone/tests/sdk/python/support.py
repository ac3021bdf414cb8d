"""What tests need beside the SDKs: who to talk to, and what the simulated servers saw."""

import contextlib
import json
import os
import ssl
import time
import urllib.parse
import urllib.request
import uuid
from pathlib import Path

import anthropic
import openai

SCENARIOS = json.loads((Path(__file__).parent.parent / "scenarios.json").read_text())
PROMPT = SCENARIOS["prompt"]
MESSAGES = [{"role": "user", "content": PROMPT}]
WEATHER = [{"role": "user", "content": "What is the weather in the land of canaries?"}]
WAIT_SECONDS = 60
POLL_SECONDS = 0.02


def until(condition, what):
    """Awaits the first value that counts as true."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"not within {WAIT_SECONDS} s: {what}")


def ask(url, body=None, method=None):
    """A plain request; JSON comes back as values."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    request = urllib.request.Request(url, data=data, method=method)
    with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as reply:
        content = reply.read()
    return json.loads(content) if content else None


def named_request():
    """A request id of its own, by which a server's records are found again."""
    return {"x-request-id": f"test-{uuid.uuid4().hex}"}


class Sim:
    """A simulated model server."""

    def __init__(self, url):
        self.url = url

    def received(self, headers):
        """The requests that carried these headers, oldest first, with lower-case headers."""
        wanted = set(headers.items())
        records = [
            record | {"headers": dict(record["headers"])}
            for record in ask(f"{self.url}/sim/received")
        ]
        return [record for record in records if wanted <= set(record["headers"].items())]

    def fail(self, fault, **more):
        ask(f"{self.url}/sim/fault", {"fault": fault, **more})


class Stack:
    """Who to talk to."""

    def __init__(self):
        facts = json.loads(Path(os.environ["SDK_STACK"]).read_text())
        self.gateways, self.idp, self.ca = facts["gateways"], facts["idp"], facts["ca"]
        self.sims = {name: Sim(url) for name, url in facts["sims"].items()}
        self.keys = facts["keys"]

    def key(self, name="member", gateway="main"):
        return self.keys[f"{gateway}/{name}"]

    def where(self, key="member", gateway="main", url=None):
        """What every client of OpenAI's is told."""
        url = url or self.gateways[gateway]["url"]
        return {"base_url": f"{url}/v1", "api_key": self.key(key, gateway), "max_retries": 0}

    def openai(self, key="member", gateway="main", url=None, **more):
        http_client = openai.DefaultHttpxClient(verify=self.trust())
        where = self.where(key, gateway, url)
        return openai.OpenAI(http_client=http_client, **{**where, **more})

    def anthropic(self, key="member", gateway="main", url=None, **more):
        http_client = anthropic.DefaultHttpxClient(verify=self.trust())
        where = {"base_url": url or self.gateways[gateway]["url"], "max_retries": 0}
        if "auth_token" not in more:
            where["api_key"] = self.key(key, gateway)
        return anthropic.Anthropic(http_client=http_client, **{**where, **more})

    def trust(self):
        return ssl.create_default_context(cafile=self.ca)

    def token(self, client, resource="https://llm.example/"):
        """An access token, by client credentials."""
        form = {"grant_type": "client_credentials", "resource": resource}
        form |= {"client_id": client, "client_secret": self.idp["secret"]}
        data = urllib.parse.urlencode(form).encode()
        return ask(f"{self.idp['issuer']}/token", data)["access_token"]

    @contextlib.contextmanager
    def failing(self, fault, **more):
        """The model `faulty/chat` fails like this; is well again afterwards, also in the eyes of
        the gateway, which leaves an endpoint alone for a while that failed too often."""
        sim = self.sims["faulty"]
        sim.fail(fault, **more)
        try:
            yield sim
        finally:
            sim.fail("none")
            until(self.is_well, "faulty/chat is well again")

    def is_well(self):
        try:
            return chat(self.openai(), "faulty/chat", max_tokens=1)
        except openai.APIStatusError:
            return None


def chat(client, model="demo/open", **more):
    return client.chat.completions.create(model=model, messages=MESSAGES, **more)


def message(client, model="demo/open", **more):
    more = {"max_tokens": 64, **more}
    return client.messages.create(model=model, messages=MESSAGES, **more)
