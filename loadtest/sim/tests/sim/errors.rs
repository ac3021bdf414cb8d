//! Error bodies against what was observed of vLLM 0.32.

use crate::support::{get, post, request, send};
use llm_sim::{Config, Overload, Sim};
use serde_json::json;

async fn sim() -> Sim {
    Sim::start(Config { max_model_len: 2048, ..Config::default() }).await.unwrap()
}

#[tokio::test]
async fn what_does_not_exist_is_said_as_observed() {
    let sim = sim().await;
    let hi = json!([{"role": "user", "content": "Hi"}]);
    for (path, body, status, expected) in [
        (
            "/v1/chat/completions",
            json!({"model": "nope", "messages": hi}),
            404,
            r#"{"error":{"message":"The model `nope` does not exist. Valid aliases: tiny.","type":"NotFoundError","param":"model","code":404}}"#,
        ),
        (
            "/v1/chat/completions",
            json!({"model": "nope", "messages": hi, "stream": true}),
            404,
            r#"{"error":{"message":"The model `nope` does not exist. Valid aliases: tiny.","type":"NotFoundError","param":"model","code":404}}"#,
        ),
        (
            "/tokenize",
            json!({"model": "nope", "prompt": "Hi"}),
            404,
            r#"{"error":{"message":"The model `nope` does not exist. Valid aliases: tiny.","type":"NotFoundError","param":"model","code":404}}"#,
        ),
        (
            "/v1/messages",
            json!({"model": "nope", "messages": hi, "max_tokens": 1}),
            404,
            r#"{"type":"error","error":{"type":"NotFoundError","message":"The model `nope` does not exist. Valid aliases: tiny."}}"#,
        ),
        (
            "/v1/messages/count_tokens",
            json!({"model": "nope", "messages": hi}),
            404,
            r#"{"type":"error","error":{"type":"NotFoundError","message":"The model `nope` does not exist. Valid aliases: tiny."}}"#,
        ),
        (
            "/v1/responses",
            json!({"input": "Hi", "previous_response_id": "resp_x"}),
            404,
            r#"{"error":{"message":"Response with id 'resp_x' not found.","type":"invalid_request_error","param":"response_id","code":404}}"#,
        ),
    ] {
        let answer = post(&sim, path, &body).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (status, expected), "{path}");
    }
}

#[tokio::test]
async fn what_a_body_lacks_or_has_too_much_of_is_said_as_observed() {
    let sim = sim().await;
    let hi = json!([{"role": "user", "content": "Hi"}]);
    let long = json!([{"role": "user", "content": " a".repeat(3000)}]);
    for (path, body, status, expected) in [
        (
            "/v1/chat/completions",
            json!({"model": "tiny"}),
            400,
            r#"{"error":{"message":"1 validation error:\n  {'type': 'missing', 'loc': 'body.messages', 'msg': 'Field required', 'input': '<dict of 1 items>'}","type":"Bad Request","param":"body.messages","code":400}}"#,
        ),
        (
            "/v1/messages",
            json!({"model": "tiny", "messages": hi}),
            400,
            r#"{"error":{"message":"1 validation error:\n  {'type': 'missing', 'loc': 'body.max_tokens', 'msg': 'Field required', 'input': '<dict of 2 items>'}","type":"Bad Request","param":"body.max_tokens","code":400}}"#,
        ),
        (
            "/v1/completions",
            json!({"model": "tiny"}),
            400,
            r#"{"error":{"message":"Either prompt or prompt_embeds must be provided and non-empty. (parameter=prompt)","type":"BadRequestError","param":"prompt","code":400}}"#,
        ),
        (
            "/v1/chat/completions",
            json!({"messages": hi, "max_tokens": 99999}),
            400,
            r#"{"error":{"message":"max_tokens=99999 cannot be greater than max_model_len=2048. Please request fewer output tokens. (parameter=max_tokens, value=99999)","type":"BadRequestError","param":"max_tokens","code":400}}"#,
        ),
        (
            "/v1/chat/completions",
            json!({"messages": long}),
            400,
            r#"{"error":{"message":"This model's maximum context length is 2048 tokens. However, your prompt contains at least 2049 input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input prompt. (parameter=input_tokens, value=2049)","type":"BadRequestError","param":"input_tokens","code":400}}"#,
        ),
        (
            "/v1/chat/completions",
            json!({"messages": []}),
            400,
            r#"{"error":{"message":"Cannot apply chat template to an empty conversation. Provide at least one message.","type":"BadRequestError","param":null,"code":400}}"#,
        ),
        (
            "/v1/chat/completions",
            json!({"messages": hi, "stream_options": {"include_usage": true}}),
            400,
            r#"{"error":{"message":"Stream options can only be defined when `stream=True`. (parameter=stream_options)","type":"BadRequestError","param":"stream_options","code":400}}"#,
        ),
    ] {
        let answer = post(&sim, path, &body).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (status, expected), "{path}");
    }
}

#[tokio::test]
async fn what_does_not_parse_is_refused_in_openai_s_shape_everywhere() {
    let sim = sim().await;
    let bad = r#"{"model":"tiny","messages": nope}"#;
    assert_eq!(bad.find("nope"), Some(28));
    for (media, body, expected) in [
        (
            "application/json",
            bad,
            r#"{"error":{"message":"1 validation error:\n  {'type': 'json_invalid', 'loc': 'body.28', 'msg': 'JSON decode error', 'input': '<dict of 0 items>', 'ctx': {'error': 'Expecting value'}}","type":"Bad Request","param":"body.28","code":400}}"#,
        ),
        (
            "application/json",
            "",
            r#"{"error":{"message":"1 validation error:\n  {'type': 'missing', 'loc': 'body', 'msg': 'Field required', 'input': 'None'}","type":"Bad Request","param":"body","code":400}}"#,
        ),
        (
            "text/plain",
            "{}",
            r#"{"error":{"message":"1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed","type":"Bad Request","param":null,"code":400}}"#,
        ),
    ] {
        for path in ["/v1/chat/completions", "/v1/messages"] {
            let answer =
                send(&sim, request("POST", path, &[("content-type", media)], body)).await.unwrap();
            assert_eq!((answer.status.as_u16(), answer.text.as_str()), (400, expected), "{path}");
        }
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_have_a_detail() {
    let sim = sim().await;
    for (method, path, status, expected) in [
        ("GET", "/nope", 404, r#"{"detail":"Not Found"}"#),
        ("GET", "/v1/models/tiny", 404, r#"{"detail":"Not Found"}"#),
        ("POST", "/v1/images/generations", 404, r#"{"detail":"Not Found"}"#),
        ("GET", "/sim/received", 404, r#"{"detail":"Not Found"}"#),
        ("GET", "/v1/chat/completions", 405, r#"{"detail":"Method Not Allowed"}"#),
        ("GET", "/tokenize", 405, r#"{"detail":"Method Not Allowed"}"#),
        ("POST", "/health", 405, r#"{"detail":"Method Not Allowed"}"#),
        (
            "GET",
            "/v1/responses/resp_x",
            404,
            r#"{"error":{"message":"Response with id 'resp_x' not found.","type":"invalid_request_error","param":"response_id","code":404}}"#,
        ),
    ] {
        let answer = send(&sim, request(method, path, &[], "")).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (status, expected), "{path}");
    }
}

#[tokio::test]
async fn a_key_guards_some_prefixes_and_is_taken_as_a_bearer_token_only() {
    let config = Config { api_key: Some("sk-1".into()), ..Config::default() };
    let sim = Sim::start(config).await.unwrap();
    for (headers, path, status) in [
        (vec![], "/v1/models", 401),
        (vec![("authorization", "Bearer sk-2")], "/v1/models", 401),
        (vec![("x-api-key", "sk-1")], "/v1/models", 401),
        (vec![("authorization", "Bearer sk-1")], "/v1/models", 200),
        (vec![], "/health", 200),
        (vec![], "/metrics", 200),
        (vec![], "/tokenize", 405),
    ] {
        let answer = send(&sim, request("GET", path, &headers, "")).await.unwrap();
        assert_eq!(answer.status.as_u16(), status, "{path} {headers:?}");
        if status == 401 {
            assert_eq!(answer.text, r#"{"error":"Unauthorized"}"#);
        }
    }
}

#[tokio::test]
async fn a_full_queue_refuses_in_the_shape_of_the_path() {
    let sim =
        Sim::start(Config { max_num_queued_reqs: Some(0), ..Config::default() }).await.unwrap();
    let hi = json!({"model": "tiny", "max_tokens": 1, "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    let busy = "The engine is currently busy and cannot accept new requests. Please try again later or on a different instance.";
    let chat = post(&sim, "/v1/chat/completions", &hi).await;
    assert_eq!(chat.status, 503);
    assert_eq!(
        chat.text,
        format!(
            r#"{{"error":{{"message":"{busy}","type":"Service Unavailable","param":null,"code":503}}}}"#
        )
    );
    assert!(chat.headers.get("retry-after").is_none());
    let messages = post(&sim, "/v1/messages", &hi).await;
    assert_eq!(messages.status, 503);
    assert_eq!(
        messages.text,
        format!(
            r#"{{"type":"error","error":{{"type":"Service Unavailable","message":"{busy}"}}}}"#
        )
    );
    assert_eq!(get(&sim, "/health").await.status, 200);
    assert!(get(&sim, "/metrics").await.text.contains(
        "vllm:admission_rejections_total{model_name=\"tiny\",reason=\"max_num_queued_reqs\"} 2.0"
    ));
}

#[tokio::test]
async fn a_full_queue_can_refuse_as_the_first_event_of_a_stream() {
    let config =
        Config { max_num_queued_reqs: Some(0), overload: Overload::InStream, ..Config::default() };
    let sim = Sim::start(config).await.unwrap();
    let hi = json!({"stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    let answer = post(&sim, "/v1/chat/completions", &hi).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.text,
        "data: {\"error\": {\"message\": \"The engine is currently busy and cannot accept new requests. Please try again later or on a different instance.\", \"type\": \"Service Unavailable\", \"param\": null, \"code\": 503}}\n\ndata: [DONE]\n\n"
    );
}
