//! The server as a provider of the OpenAI API.

use llm_sim::{Config, Role, Sim};
use serde_json::json;

use crate::support::{Answer, request, send};

async fn provider() -> Sim {
    let config = Config {
        role: Role::Provider,
        models: vec!["gpt-5-mini".into(), "gpt-5-nano".into()],
        api_key: Some("sk-1".into()),
        ..Config::default()
    };
    Sim::start(config).await.unwrap()
}

async fn ask(sim: &Sim, method: &str, path: &str, body: &serde_json::Value) -> Answer {
    let key = [("authorization", "Bearer sk-1")];
    send(sim, request(method, path, &key, &body.to_string())).await.unwrap()
}

#[tokio::test]
async fn it_does_not_know_what_only_vllm_knows() {
    let sim = provider().await;
    let hi = json!([{"role": "user", "content": "Hi"}]);
    let options = json!({"include_usage": true, "continuous_usage_stats": true});
    let body =
        json!({"model": "gpt-5-mini", "messages": hi, "stream": true, "stream_options": options});
    let answer = ask(&sim, "POST", "/v1/chat/completions", &body).await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.text,
        r#"{"error":{"message":"Unknown parameter: 'stream_options.continuous_usage_stats'.","type":"invalid_request_error","param":"stream_options.continuous_usage_stats","code":"unknown_parameter"}}"#
    );
    let body = json!({"model": "gpt-5-mini", "messages": hi, "top_k": 3});
    assert_eq!(ask(&sim, "POST", "/v1/chat/completions", &body).await.status, 400);
    assert_eq!(ask(&sim, "POST", "/tokenize", &json!({"prompt": "Hi"})).await.status, 404);
}

#[tokio::test]
async fn it_serves_its_models_and_no_other() {
    let sim = provider().await;
    let models = ask(&sim, "GET", "/v1/models", &json!({})).await.json();
    assert_eq!(models["data"][1]["id"], "gpt-5-nano");
    assert!(models["data"][1].get("root").is_none());
    let hi = json!([{"role": "user", "content": "Hi"}]);
    for (model, status) in [("gpt-5-mini", 200), ("gpt-5-nano", 200), ("tiny", 404)] {
        let body = json!({"model": model, "messages": hi});
        let answer = ask(&sim, "POST", "/v1/chat/completions", &body).await;
        assert_eq!(answer.status, status, "{model}");
    }
}

#[tokio::test]
async fn it_refuses_a_wrong_key_in_openai_s_words() {
    let sim = provider().await;
    let answer = send(&sim, request("GET", "/v1/models", &[], "")).await.unwrap();
    assert_eq!(answer.status, 401);
    assert_eq!(answer.json()["error"]["code"], "invalid_api_key");
}

#[tokio::test]
async fn it_makes_images_and_counts_them() {
    let sim = provider().await;
    let body = json!({"model": "gpt-5-mini", "prompt": "a fox", "n": 2});
    let answer = ask(&sim, "POST", "/v1/images/generations", &body).await.json();
    assert_eq!(answer["data"].as_array().unwrap().len(), 2);
    assert!(answer["data"][0]["b64_json"].as_str().unwrap().starts_with("iVBORw0KGgo"));
    assert_eq!(answer["usage"]["total_tokens"], 2 + 2 * 272);
}
