"""What curl sees: versions of HTTP, TLS, and what browsers ask first."""

import json
import subprocess

import pytest
from support import MESSAGES, PROMPT

TIMEOUT_SECONDS = 60
# Without an answer curl would send after a second all the same; so it would not before it fails.
ASK_FIRST = ["-H", "expect: 100-continue", "--expect100-timeout", str(2 * TIMEOUT_SECONDS)]


@pytest.fixture
def curl(stack, tmp_path):
    """Sends a request; gives status, version of HTTP, header lines and body."""

    def send(gateway, path, *arguments, key="member", body=None):
        command = [
            "curl",
            "-sS",
            "--max-time",
            str(TIMEOUT_SECONDS),
            "--cacert",
            stack.ca,
            "-D",
            "/dev/stderr",
        ]
        command += ["-w", "\n%{http_code} %{http_version}", "--config", "-", *arguments]
        if body is not None:
            (tmp_path / "body").write_text(json.dumps(body))
            command += ["--json", f"@{tmp_path / 'body'}"]
        # By standard input, so that no key shows in the list of processes.
        header = f'header = "authorization: Bearer {stack.key(key, gateway)}"\n' if key else "\n"
        command.append(stack.gateways[gateway]["url"] + path)
        done = subprocess.run(command, input=header, capture_output=True, text=True, check=True)
        body, _, written = done.stdout.rpartition("\n")
        status, version = written.split()
        return int(status), version, done.stderr.lower(), body

    return send


def prompt(content=PROMPT, **more):
    messages = [{"role": "user", "content": content}]
    return {"messages": messages, "model": "demo/open", "max_tokens": 8, **more}


@pytest.mark.parametrize(
    ("gateway", "argument", "version"),
    [
        ("tls", "--http2", "2"),
        ("tls", "--http1.1", "1.1"),
        ("main", "--http1.1", "1.1"),
        ("main", "--http2-prior-knowledge", "2"),
    ],
)
def test_a_stream_ends_well_over_each_version_of_http(curl, gateway, argument, version):
    body = prompt(stream=True)
    status, spoken, headers, events = curl(
        gateway, "/v1/chat/completions", argument, "-N", body=body
    )
    assert (status, spoken) == (200, version)
    assert "content-type: text/event-stream" in headers and "x-accel-buffering: no" in headers
    assert events.startswith("data: {") and events.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize(
    "arguments",
    [("--http1.1", *ASK_FIRST), ("--http2-prior-knowledge",)],
    ids=["1.1 asks before it sends", "2 just sends"],
)
def test_a_large_prompt_is_answered(curl, arguments):
    big = prompt(PROMPT * (2_000_000 // len(PROMPT)))
    status, _, _, answer = curl("main", "/v1/chat/completions", *arguments, body=big)
    # Longer than the model's context: its own refusal shows that the whole body arrived.
    assert status == 400 and "maximum context length" in answer


@pytest.mark.parametrize("argument", ["--http1.1", "--http2"])
def test_a_body_over_the_limit_is_refused_before_it_is_sent(curl, argument):
    big = prompt(PROMPT * (2_000_000 // len(PROMPT)))
    status, _, _, answer = curl("tls", "/v1/chat/completions", argument, *ASK_FIRST, body=big)
    assert (status, json.loads(answer)["error"]["code"]) == (413, "request_too_large")


@pytest.mark.parametrize("argument", ["--http1.1", "--http2"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/models"])
def test_a_browser_may_call_from_a_listed_page(curl, argument, path):
    asked = ["-X", "OPTIONS", "-H", "access-control-request-method: POST"]
    asked += ["-H", "access-control-request-headers: authorization,content-type,x-stainless-lang"]
    listed = ["-H", "origin: https://chat.example"]
    status, _, headers, _ = curl("tls", path, argument, *asked, *listed, key=None)
    assert status == 204
    assert "access-control-allow-origin: https://chat.example" in headers
    for name in (
        "authorization",
        "content-type",
        "x-api-key",
        "anthropic-version",
        "x-stainless-lang",
    ):
        assert name in headers.split("access-control-allow-headers:")[1].splitlines()[0]
    _, _, headers, _ = curl("tls", path, *asked, "-H", "origin: https://evil.example", key=None)
    assert "access-control-allow" not in headers


def test_a_page_may_read_what_it_is_refused_and_why(curl):
    origin = ["-H", "origin: https://chat.example"]
    status, _, headers, _ = curl(
        "tls", "/v1/chat/completions", *origin, key="unknown", body=prompt()
    )
    assert status == 401
    assert "access-control-allow-origin: https://chat.example" in headers
    assert "x-request-id" in headers.split("access-control-expose-headers:")[1]


@pytest.mark.parametrize(
    "path",
    [
        "/metrics",
        "/health",
        "/v1/../metrics",
        "//v1/models",
        "/v1/%6dodels",
        "/v1/models/",
        "/V1/models",
    ]
    + ["/v1/chat/completions/", "/invocations", "/v1/load_lora_adapter", "/docs", "/explain"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_other_path_leads_anywhere(curl, path, method):
    status, _, _, answer = curl("main", path, "--path-as-is", "-X", method)
    assert (status, json.loads(answer)["error"]["code"]) == (404, "unknown_url")


def test_messages_are_answered_with_a_key_in_either_header(curl, stack):
    body = {"model": "demo/open", "messages": MESSAGES, "max_tokens": 5}
    header = f"x-api-key: {stack.key()}"
    for arguments, key in [((), "member"), (("-H", header), None)]:
        status, _, headers, _ = curl("main", "/v1/messages", *arguments, key=key, body=body)
        assert status == 200 and "request-id:" in headers
