//! Queueing, metrics, and what happens when a client leaves.

use std::time::Duration;

use http_body_util::BodyExt as _;
use llm_sim::{Config, Ended, Sim};
use serde_json::{Value, json};

use crate::support::{drive, get, open, post, request};

fn endless(stream: bool) -> String {
    let messages = json!([{"role": "user", "content": "a b c d e f"}]);
    json!({"messages": messages, "stream": stream, "ignore_eos": true}).to_string()
}

fn slow() -> Config {
    // The first token comes, and no other while a test runs.
    Config { max_num_seqs: 1, itl: Duration::from_secs(3600), ..Config::default() }
}

fn sample(page: &str, name: &str) -> f64 {
    let line = page.lines().find(|line| line.starts_with(name));
    line.unwrap_or_else(|| panic!("no {name} in {page}"))
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_frees_its_slot() {
    let sim = Sim::start(slow()).await.unwrap();
    for (left, version) in (1..).zip([http::Version::HTTP_11, http::Version::HTTP_2]) {
        let mut asked = request("POST", "/v1/chat/completions", &[], &endless(true));
        *asked.version_mut() = version;
        let mut reply = open(sim.addr(), asked).await.unwrap();
        reply.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(sim.state().running, 1);
        drop(reply);
        sim.wait_until(|state| state.running == 0 && state.aborted == left).await.unwrap();
        assert_eq!(sim.received().last().unwrap().ended, Ended::Aborted);
    }
    let page = get(&sim, "/metrics").await.text;
    assert!(page.contains(
        "vllm:request_success_total{engine=\"0\",model_name=\"tiny\",finished_reason=\"abort\"} 0.0"
    ));
}

#[tokio::test]
async fn a_client_that_leaves_before_a_whole_answer_frees_its_slot() {
    let sim = Sim::start(slow()).await.unwrap();
    for path in ["/v1/chat/completions", "/v1/completions"] {
        let body = json!({"prompt": "a", "messages": [{"role": "user", "content": "a"}], "max_tokens": 1000, "ignore_eos": true});
        let asked = request("POST", path, &[], &body.to_string());
        let addr = sim.addr();
        let client = drive(open(addr, asked));
        sim.wait_until(|state| state.running == 1).await.unwrap();
        client.abort();
        // The connection task of the client ends when its sender is gone.
        sim.wait_until(|state| state.running == 0).await.unwrap();
    }
}

#[tokio::test]
async fn the_metrics_tell_running_and_waiting_requests() {
    let sim = Sim::start(Config { block_size: 4, kv_blocks: 101, ..slow() }).await.unwrap();
    let mut replies = Vec::new();
    for _ in 0..3 {
        let asked = request("POST", "/v1/chat/completions", &[], &endless(true));
        replies.push(open(sim.addr(), asked).await.unwrap());
    }
    sim.wait_until(|state| state.running == 1 && state.waiting == 2).await.unwrap();
    let page = get(&sim, "/metrics").await.text;
    let labels = "{engine=\"0\",model_name=\"tiny\"}";
    assert_eq!(sample(&page, &format!("vllm:num_requests_running{labels}")), 1.0);
    assert_eq!(sample(&page, &format!("vllm:num_requests_waiting{labels}")), 2.0);
    let usage = sample(&page, "vllm:kv_cache_usage_perc");
    assert!((0.04..=0.2).contains(&usage), "14 tokens of 400 in blocks of 4: {usage}");
    assert_eq!(get(&sim, "/load").await.json()["server_load"], 3);
    drop(replies);
    sim.wait_until(|state| state.running == 0 && state.waiting == 0).await.unwrap();
    let page = get(&sim, "/metrics").await.text;
    assert_eq!(sample(&page, "vllm:kv_cache_usage_perc"), 0.0);
}

#[tokio::test]
async fn the_counters_count_what_was_answered() {
    let sim = Sim::start(Config { block_size: 4, ..Config::default() }).await.unwrap();
    let messages = json!([{"role": "user", "content": "a b c d e f"}]);
    for _ in 0..2 {
        post(&sim, "/v1/chat/completions", &json!({"messages": messages, "max_tokens": 5})).await;
    }
    let page = get(&sim, "/metrics").await.text;
    for (name, value) in [
        ("vllm:prompt_tokens_total{", 26.0),
        ("vllm:generation_tokens_total{", 10.0),
        ("vllm:prefix_cache_queries_total{", 26.0),
        ("vllm:prefix_cache_hits_total{", 12.0),
        ("vllm:time_to_first_token_seconds_count{", 2.0),
        ("vllm:inter_token_latency_seconds_count{", 8.0),
        ("vllm:e2e_request_latency_seconds_count{", 2.0),
        (
            "vllm:request_success_total{engine=\"0\",model_name=\"tiny\",finished_reason=\"length\"}",
            2.0,
        ),
    ] {
        assert_eq!(sample(&page, name), value, "{name}");
    }
    assert!(page.contains("vllm:cache_config_info{block_size=\"4\",num_gpu_blocks=\"8192\","));
}

#[tokio::test]
async fn the_cache_config_is_the_observed_one() {
    let config =
        Config { block_size: 128, kv_blocks: 1024, max_model_len: 2048, ..Config::default() };
    let sim = Sim::start(config).await.unwrap();
    let page = get(&sim, "/metrics").await.text;
    let observed = r#"vllm:cache_config_info{block_size="128",num_gpu_blocks="1024",kv_cache_size_tokens="131072",kv_cache_max_concurrency="64.0",kv_cache_memory_bytes="134217728",enable_prefix_caching="True",cache_dtype="auto",gpu_memory_utilization="0.92",num_gpu_blocks_override="None",prefix_caching_hash_algo="sha256",engine="0"} 1.0"#;
    assert!(page.contains(observed), "{page}");
}

#[tokio::test]
async fn every_sample_has_a_type_and_every_number_parses() {
    let sim = Sim::start(Config::default()).await.unwrap();
    let answer = get(&sim, "/metrics").await;
    assert_eq!(answer.headers["content-type"], "text/plain; version=1.0.0; charset=utf-8");
    let mut family = String::new();
    for line in answer.text.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            family = declared.split(' ').next().unwrap().to_owned();
        } else if !line.starts_with('#') {
            assert!(line.starts_with(&family), "{line} under {family}");
            let value = line.rsplit(' ').next().unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
}

#[tokio::test]
async fn the_same_seed_gives_the_same_answer_and_another_another() {
    let mut texts = Vec::new();
    for seed in [1, 1, 2] {
        let sim = Sim::start(Config { seed, ..Config::default() }).await.unwrap();
        let body: Value = json!({"messages": [{"role": "user", "content": "Hi"}]});
        let answer = post(&sim, "/v1/chat/completions", &body).await.json();
        texts.push(answer["choices"][0]["message"]["content"].to_string());
    }
    assert_eq!(texts[0], texts[1]);
    assert_ne!(texts[0], texts[2]);
}
