//! From `kubectl apply` to a streamed answer: operators, proxies, models and a provider as pods of
//! a real node, and what becomes of them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed, and how long each step took is told"
)]

mod steps;
mod hub;
mod world;

use llm_cluster::wait_for;
use llm_scale::{
    caller::{Caller, Streamed},
    clock,
    load::Load,
    reach::reach,
};
use std::time::Duration;
use steps::Steps;
use tokio::task::JoinSet;
use world::{DEADLINE, World};

/// Revocations, one after the other: the machine may stall during one.
const REVOCATIONS: usize = 3;
/// What the quickest may take until every proxy refuses the key, on a machine that runs all of
/// Kubernetes beside it. That most take less than a second is for the tests of the push to show.
const REVOKED_MAX: Duration = Duration::from_secs(5);
/// Callers at each proxy.
const CALLERS: usize = 4;
/// Tokens of a stream that runs for a while: 10 ms each. A caller waits for 20 s and no longer.
const LONG_TOKENS: u32 = 1000;

#[tokio::test]
async fn from_kubectl_apply_to_a_streamed_answer_and_back() {
    let mut steps = Steps::begin();
    let world = World::start(&mut steps).await;
    let _hub = hub::serve(&world, &["acme/tiny", "acme/kept"]).await;
    world.apply(include_str!("models.yaml")).await;
    world.explains_itself().await;
    steps.done("kubectl apply and explain");

    world.is_ready("passthroughmodel", "provider").await;
    steps.done("the provider is ready");
    world.is_ready("llmmodel", "fast").await;
    world.is_ready("llmmodel", "kept").await;
    steps.done("weights are fetched, models are ready");

    let key = world.create_key(&["--name", "laptop", "--team", "ml-team", "--models", "*"]);
    let only = format!("{}/kept", world.namespace);
    let other = world.create_key(&["--name", "other", "--team", "ml-team", "--models", &only]);
    let caller = Caller::new(&key).unwrap();
    for model in ["fast", "acme/tiny", "acme/kept", "mini"] {
        reach(&world.proxies, &caller, model, 200, DEADLINE).await.unwrap();
        world.streams(&caller, model).await;
    }
    steps.done("keys are made, answers are streamed");

    for (kind, name) in
        [("llmmodel", "fast"), ("llmmodel", "kept"), ("passthroughmodel", "provider")]
    {
        world.says(kind, name, "RouteProgrammed", "True in force on all proxies (2)").await;
    }
    steps.done("every resource says that both proxies have it");

    replace_a_pod(&world, &caller).await;
    steps.done("a pod was replaced under load");

    revoke_keys(&world, &caller).await;
    steps.done("keys are revoked");

    world.kubectl(&["delete", "llmmodel", "kept", "fast"]).await;
    world.is_bare().await;
    world.says("apikey", other.id().as_str(), "Active", "False").await;
    let reason = world.reason("apikey", other.id().as_str(), "Active").await;
    assert_eq!(reason, "NoModelLeft");
    let holder = caller.with(&other);
    reach(&world.proxies, &holder, "acme/kept", 404, DEADLINE).await.unwrap();
    steps.done("the models are deleted, and all that they had");

    world.asked_for_nothing_it_may_not();
}

/// A key that is revoked is soon refused by every proxy.
async fn revoke_keys(world: &World, caller: &Caller) {
    let mut quickest = Duration::MAX;
    for number in 0..REVOCATIONS {
        let name = format!("revoked-{number}");
        let key = world.create_key(&["--name", &name, "--team", "ml-team", "--models", "*"]);
        let holder = caller.with(&key);
        reach(&world.proxies, &holder, "fast", 200, DEADLINE).await.unwrap();
        world.keys(&["revoke", key.id().as_str()]);
        let revoked = clock::now();
        let refused = reach(&world.proxies, &holder, "fast", 401, DEADLINE).await.unwrap();
        let took = refused.into_iter().map(|at| at - revoked).max().unwrap();
        println!("every proxy refuses the key {took:?} after `llm-keys revoke` ended");
        quickest = quickest.min(took);
    }
    assert!(quickest < REVOKED_MAX, "{quickest:?}");
}

/// A pod that ends gets no new request, and ends what it has begun.
async fn replace_a_pod(world: &World, caller: &Caller) {
    let load = Load::start(caller, &world.proxies, "fast", CALLERS);
    let mut streams = JoinSet::new();
    for proxy in world.proxies.iter().flat_map(|proxy| [*proxy; CALLERS]) {
        let caller = caller.for_tokens(LONG_TOKENS);
        streams.spawn(async move { caller.stream(proxy, "fast").await });
    }
    let pods = world.pods("fast").await;
    let leaving = pods[0].clone();
    let works = async || world.requests_running(&leaving).await.is_some_and(|count| 2.0 < count);
    wait_for("the pod has requests", DEADLINE, works).await.unwrap();

    world.kubectl(&["delete", "pod", &leaving, "--wait=false"]).await;

    while let Some(ended) = streams.join_next().await {
        let Streamed { parts, took } = ended.unwrap().unwrap();
        println!("a stream of {parts} parts took {took:?}");
    }
    // With the load upon it there would always be some.
    let rests = async || world.requests_running(&leaving).await.is_none_or(|count| count == 0.0);
    wait_for("the pod has no new requests", DEADLINE, rests).await.unwrap();
    let replaced = async || {
        let now = world.pods("fast").await;
        now.len() == 2
            && !now.contains(&leaving)
            && world.phase("llmmodel", "fast").await == "Ready"
    };
    wait_for("another pod is ready in its place", DEADLINE, replaced).await.unwrap();
    let tally = load.stop().await;
    println!("{} requests, {} failed, {}", tally.requests, tally.failed, tally.latencies);
    assert!(tally.failures.is_empty(), "{} failed: {:#?}", tally.failed, tally.failures);
}
