//! From `kubectl apply` to a streamed answer: operators, proxies, models and a provider as pods of
//! a real node.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed, and the time of each step is printed"
)]

mod step_timer;
mod hub;
mod testbed;

use llm_cluster::{GatewayClient, LoadGenerator, StreamReport, clock, wait_for, wait_for_status};
use std::time::Duration;
use step_timer::StepTimer;
use testbed::{DEADLINE, TestBed};
use tokio::task::JoinSet;

/// Revocations, one after the other: the machine may stall during one.
const REVOCATIONS: usize = 3;
/// How long the fastest may take until every proxy rejects the key, on a machine that runs all of
/// Kubernetes beside it. The tests of the push show that most take less than a second.
const REVOKED_MAX: Duration = Duration::from_secs(5);
/// Callers at each proxy.
const CLIENTS_PER_PROXY: usize = 4;
/// Tokens of a stream that runs for a while: 10 ms each. A client waits for 20 s and no longer.
const LONG_TOKENS: u32 = 1000;

#[tokio::test]
async fn from_kubectl_apply_to_a_streamed_answer_and_back() {
    let mut steps = StepTimer::start();
    let testbed = TestBed::start(&mut steps).await;
    let _hub = hub::serve(&testbed, &["acme/tiny", "acme/kept"]).await;
    testbed.apply(include_str!("models.yaml")).await;
    testbed.check_explain().await;
    steps.finish("kubectl apply and explain");

    testbed.wait_until_ready("passthroughmodel", "provider").await;
    steps.finish("the provider is ready");
    testbed.wait_until_ready("llmmodel", "fast").await;
    testbed.wait_until_ready("llmmodel", "kept").await;
    steps.finish("weights are fetched, models are ready");

    let key = testbed.create_key(&["--name", "laptop", "--team", "ml-team", "--models", "*"]);
    let only = format!("{}/kept", testbed.namespace);
    let other = testbed.create_key(&["--name", "other", "--team", "ml-team", "--models", &only]);
    let client = GatewayClient::new(&key).unwrap();
    for model in ["fast", "acme/tiny", "acme/kept", "mini"] {
        wait_for_status(&testbed.proxies, &client, model, 200, DEADLINE).await.unwrap();
        testbed.check_stream(&client, model).await;
    }
    steps.finish("keys are created, answers are streamed");

    for (kind, name) in
        [("llmmodel", "fast"), ("llmmodel", "kept"), ("passthroughmodel", "provider")]
    {
        testbed
            .wait_for_condition(kind, name, "RouteProgrammed", "True in force on all proxies (2)")
            .await;
    }
    steps.finish("every resource reports that both proxies have its routes");

    replace_a_pod(&testbed, &client).await;
    steps.finish("a pod was replaced under load");

    revoke_keys(&testbed, &client).await;
    steps.finish("keys are revoked");

    testbed.kubectl(&["delete", "llmmodel", "kept", "fast"]).await;
    testbed.wait_until_models_are_gone().await;
    testbed.wait_for_condition("apikey", other.id().as_str(), "Active", "False").await;
    let reason = testbed.reason("apikey", other.id().as_str(), "Active").await;
    assert_eq!(reason, "NoModelLeft");
    let holder = client.with_key(&other);
    wait_for_status(&testbed.proxies, &holder, "acme/kept", 404, DEADLINE).await.unwrap();
    steps.finish("the models are deleted, and all that they had");

    testbed.assert_no_forbidden_requests();
}

/// Every proxy soon rejects a revoked key.
async fn revoke_keys(testbed: &TestBed, client: &GatewayClient) {
    let mut quickest = Duration::MAX;
    for number in 0..REVOCATIONS {
        let name = format!("revoked-{number}");
        let key = testbed.create_key(&["--name", &name, "--team", "ml-team", "--models", "*"]);
        let holder = client.with_key(&key);
        wait_for_status(&testbed.proxies, &holder, "fast", 200, DEADLINE).await.unwrap();
        testbed.keys(&["revoke", key.id().as_str()]);
        let revoked = clock::now();
        let refused =
            wait_for_status(&testbed.proxies, &holder, "fast", 401, DEADLINE).await.unwrap();
        let took = refused.into_iter().map(|at| at - revoked).max().unwrap();
        println!("every proxy rejects the key {took:?} after `llm-keys revoke` ended");
        quickest = quickest.min(took);
    }
    assert!(quickest < REVOKED_MAX, "{quickest:?}");
}

/// A terminating pod gets no new request, and finishes those it has.
async fn replace_a_pod(testbed: &TestBed, client: &GatewayClient) {
    let load = LoadGenerator::start(client, &testbed.proxies, "fast", CLIENTS_PER_PROXY);
    let mut streams = JoinSet::new();
    for proxy in testbed.proxies.iter().flat_map(|proxy| [*proxy; CLIENTS_PER_PROXY]) {
        let client = client.with_tokens(LONG_TOKENS);
        streams.spawn(async move { client.stream(proxy, "fast").await });
    }
    let pods = testbed.pods("fast").await;
    let leaving = pods[0].clone();
    let works = async || testbed.requests_running(&leaving).await.is_some_and(|count| 2.0 < count);
    wait_for("the pod has requests", DEADLINE, works).await.unwrap();

    testbed.kubectl(&["delete", "pod", &leaving, "--wait=false"]).await;

    while let Some(ended) = streams.join_next().await {
        let StreamReport { chunks, duration } = ended.unwrap().unwrap();
        println!("a stream of {chunks} chunks took {duration:?}");
    }
    // Under load it would always have some.
    let rests = async || testbed.requests_running(&leaving).await.is_none_or(|count| count == 0.0);
    wait_for("the pod has no new requests", DEADLINE, rests).await.unwrap();
    let replaced = async || {
        let now = testbed.pods("fast").await;
        now.len() == 2
            && !now.contains(&leaving)
            && testbed.phase("llmmodel", "fast").await == "Ready"
    };
    wait_for("another pod is ready in its place", DEADLINE, replaced).await.unwrap();
    let report = load.stop().await;
    println!("{} requests, {} failed, {}", report.requests, report.failed, report.latencies);
    assert!(report.errors.is_empty(), "{} failed: {:#?}", report.failed, report.errors);
}
