//! Stopping: what runs ends well, what does not end is cut with an error, usage is written.

use crate::support::{CONFIG, Gateway, Home, PATIENCE, chat, config};
use llm_sim::{Config, Fault, Sim};
use rustix::process::Signal;
use std::time::Duration;

/// Between two tokens: so slow that a stream continues while the gateway gets the signal.
const TOKEN: Duration = Duration::from_millis(40);

async fn slow() -> Sim {
    let models = vec!["a".to_owned()];
    Sim::start(Config { models, itl: TOKEN, ..Config::default() }).await.unwrap()
}

/// A gateway, and a stream through it that has begun.
async fn begun(home: &Home, sim: &Sim, drain: &str) -> (Gateway, reqwest::Response, String) {
    home.write(CONFIG, &format!("shutdown: {{drain: {drain}}}\n{}", config("a", &sim.url())));
    let gateway = home.serve();
    let mut stream = gateway.post(gateway.key(), &chat("a", true)).await;
    let first = stream.chunk().await.unwrap().unwrap();
    let first = String::from_utf8(first.to_vec()).unwrap();
    (gateway, stream, first)
}

async fn rest(stream: reqwest::Response) -> String {
    tokio::time::timeout(PATIENCE, stream.text()).await.unwrap().expect("a well-formed end")
}

/// Requests and output tokens of the only model.
fn used(home: &Home) -> (String, String) {
    let table = home.ask(&["usage", "--by", "model"]);
    let row = table.lines().find(|line| line.trim_start().starts_with('a')).unwrap();
    let cells: Vec<_> = row.split_whitespace().collect();
    (cells[1].to_owned(), cells[4].to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_whole_and_its_usage_is_written() {
    for signal in [Signal::TERM, Signal::INT] {
        let (home, sim) = (Home::new(), slow().await);
        let (mut gateway, stream, _) = begun(&home, &sim, "30s").await;
        gateway.signal(signal);
        let rest = rest(stream).await;
        assert!(rest.ends_with("data: [DONE]\n\n"), "{rest}");
        let (code, log) = gateway.ended();
        assert_eq!(code, 0, "{log}");
        assert!(log.contains("stopping; running requests have 30 s to finish"), "{log}");
        assert_eq!(used(&home), ("1".into(), "8".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_stuck_is_cut_with_an_error_when_the_drain_is_over() {
    let (home, sim) = (Home::new(), slow().await);
    sim.inject(Fault::StallAfterEvents(3));
    let (mut gateway, stream, _) = begun(&home, &sim, "100ms").await;
    gateway.signal(Signal::TERM);
    let rest = rest(stream).await;
    let last = rest.trim_end().lines().last().unwrap();
    assert!(last.contains(r#""code":"stream_cut""#), "{rest}");
    let (code, log) = gateway.ended();
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("requests were cut off"), "{log}");
    assert_eq!(used(&home).0, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_twice_does_not_wait_for_the_drain() {
    let (home, sim) = (Home::new(), slow().await);
    sim.inject(Fault::StallAfterEvents(3));
    let (mut gateway, stream, _) = begun(&home, &sim, "1h").await;
    gateway.signal(Signal::INT);
    gateway.wait_for_log("stopping; running requests have 3600 s to finish");
    gateway.signal(Signal::INT);
    let rest = rest(stream).await;
    assert!(rest.contains(r#""code":"stream_cut""#), "{rest}");
    assert_eq!(gateway.ended().0, 0);
    assert_eq!(used(&home).0, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_was_edited_counts() {
    let (home, sim) = (Home::new(), slow().await);
    sim.inject(Fault::StallAfterEvents(3));
    let (mut gateway, stream, _) = begun(&home, &sim, "1h").await;
    home.write(CONFIG, &format!("shutdown: {{drain: 1ms}}\n{}", config("a", &sim.url())));
    gateway.wait_for_log(r#""revision":2"#);
    gateway.signal(Signal::TERM);
    assert!(rest(stream).await.contains("stream_cut"));
    assert_eq!(gateway.ended().0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_with_nothing_to_do_stops_at_once() {
    let (home, sim) = (Home::new(), slow().await);
    home.write(CONFIG, &config("a", &sim.url()));
    let gateway = home.serve();
    assert_eq!(gateway.chat(gateway.key(), "a").await.0, 200);
    let begun = llm_proxy::clock::now();
    assert_eq!(gateway.stop().0, 0);
    let took = llm_proxy::clock::now().duration_since(begun);
    assert!(took < Duration::from_secs(15), "{took:?}, and the drain is 30 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_waits_for_its_upstream_can_be_stopped() {
    let sim = slow().await;
    sim.inject(llm_sim::Injection {
        fault: Fault::StallBeforeHeaders,
        times: None,
        path_prefix: Some("/v1/models".to_owned()),
    });
    let home = Home::new();
    let mut starting = home.spawn(&["serve", "--upstream", &sim.url()]);
    sim.wait_until(|state| state.received == 1).await.unwrap();
    starting.signal(Signal::INT);
    assert_eq!(starting.ended().0, 0);
    assert!(home.names().is_empty());
}
