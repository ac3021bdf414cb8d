//! The state of proxies, as the operator tracks it.

use crate::support::{Operator, change, limits, routes};
use llm_contract::{
    ResourceName,
    push::wire::{self, Applied, RejectedResource, RouteState, report},
};
use llm_push::{Programmed, PushLimits, RejectedBy};
use prost::Message as _;
use std::time::Duration;

/// Custom resources of which one proxy may have routes in force, and rejected it may tell of.
const ROUTES_MAX: usize = 20_000;
const REFUSALS_MAX: usize = 1000;

fn programmed(operator: &Operator, name: &str) -> Programmed {
    let wanted = operator.push.table().hash(&routes(name));
    operator.push.proxies().programmed(&ResourceName::parse(name).unwrap(), wanted)
}

#[tokio::test]
async fn routes_are_programmed_when_every_proxy_acknowledged_them() {
    let operator = Operator::start().await;
    operator.publish(&[("m/a", "1")], &[]);
    assert_eq!(programmed(&operator, "m/a"), Programmed::NoProxies);
    let (mut one, mut two) = (operator.proxy("p1").await, operator.proxy("p2").await);
    one.follow().await;
    let update = two.receive().await.unwrap();
    operator
        .until(|_| programmed(&operator, "m/a") == Programmed::Lagging(vec!["p2".into()]))
        .await;
    two.acknowledge(&update).await;
    operator.until(|_| programmed(&operator, "m/a") == Programmed::Everywhere { proxies: 2 }).await;
    operator.publish(&[("m/a", "2")], &[]);
    let both = Programmed::Lagging(vec!["p1".into(), "p2".into()]);
    assert_eq!(programmed(&operator, "m/a"), both);
    one.follow().await;
    two.follow().await;
    operator.until(|_| programmed(&operator, "m/a") == Programmed::Everywhere { proxies: 2 }).await;
    operator.publish(&[], &["m/a"]);
    one.follow().await;
    two.follow().await;
    operator.until(|_| programmed(&operator, "m/a") == Programmed::Everywhere { proxies: 2 }).await;
    assert!(operator.metrics().contains("\npush_lag_seconds_count 4\n"));
}

#[tokio::test]
async fn a_rejection_is_reported_with_its_reason() {
    let operator = Operator::start().await;
    operator.publish(&[("m/a", "1"), ("m/b", "1")], &[]);
    let mut proxy = operator.proxy("p1").await;
    let update = proxy.receive().await.unwrap();
    let refusal = RejectedResource {
        kind: wire::Kind::Routes.into(),
        name: "m/b".to_owned(),
        hash: proxy.documents.hash(&routes("m/b")).unwrap().get(),
        reason: "model \"gpt\"\nis taken by m/a".to_owned(),
    };
    let in_force = proxy.states(&change(&[("m/a", "1")], &[]));
    proxy.acknowledge_with(update.sequence, in_force, vec![refusal]).await;
    let reason = "model \"gpt\" is taken by m/a".into();
    let refused = Programmed::Rejected(vec![RejectedBy { proxy: "p1".into(), reason }]);
    operator.until(|_| programmed(&operator, "m/b") == refused).await;
    assert_eq!(programmed(&operator, "m/a"), Programmed::Everywhere { proxies: 1 });
    assert_eq!(operator.push.stats().rejected_documents.get(), 1);
}

#[tokio::test]
async fn a_disconnected_proxy_lags_and_is_then_removed() {
    let disconnect_grace = Duration::from_secs(8);
    let operator = Operator::with(PushLimits { disconnect_grace, ..limits() }).await;
    operator.publish(&[("m/a", "1")], &[]);
    let mut stays = operator.proxy("p1").await;
    let mut goes = operator.proxy("p2").await;
    stays.follow().await;
    goes.follow().await;
    operator.until(|_| programmed(&operator, "m/a") == Programmed::Everywhere { proxies: 2 }).await;
    drop(goes);
    operator.until(|proxies| !proxies[1].connected).await;
    // It may still serve, and had this version.
    assert_eq!(programmed(&operator, "m/a"), Programmed::Everywhere { proxies: 2 });
    operator.publish(&[("m/a", "2")], &[]);
    stays.follow().await;
    operator
        .until(|_| programmed(&operator, "m/a") == Programmed::Lagging(vec!["p2".into()]))
        .await;
    operator.until(|_| programmed(&operator, "m/a") == Programmed::Everywhere { proxies: 1 }).await;
}

#[tokio::test]
async fn a_proxy_without_acknowledgement_lags() {
    let operator = Operator::with(PushLimits { lagging_after: Duration::ZERO, ..limits() }).await;
    operator.publish(&[("m/a", "1")], &[]);
    let mut proxy = operator.proxy("p1").await;
    proxy.receive().await.unwrap();
    assert!(operator.push.proxies().list(crate::support::now())[0].lagging);
}

#[tokio::test]
async fn a_proxy_without_acknowledgement_is_disconnected() {
    let ack_timeout = Duration::from_millis(100);
    let operator = Operator::with(PushLimits { ack_timeout, ..limits() }).await;
    operator.publish(&[("m/a", "1")], &[]);
    let (code, message) = operator.proxy("p1").await.end().await;
    assert_eq!(code, tonic::Code::DeadlineExceeded);
    assert_eq!(message, "update 1 was not acknowledged within 100ms");
}

#[tokio::test]
async fn a_proxy_that_acknowledges_another_table_is_disconnected() {
    let operator = Operator::start().await;
    operator.publish(&[("m/a", "1")], &[]);
    let mut proxy = operator.proxy("p1").await;
    let update = proxy.receive().await.unwrap();
    proxy.documents = llm_contract::push::Documents::default();
    proxy.acknowledge(&update).await;
    let (code, message) = proxy.end().await;
    assert_eq!(code, tonic::Code::Aborted);
    assert!(message.ends_with("the proxy reports 0000000000000000 after it"), "{message}");
}

#[tokio::test]
async fn a_second_stream_of_a_proxy_supersedes_the_first() {
    let operator = Operator::start().await;
    operator.publish(&[("m/a", "1")], &[]);
    let mut first = operator.proxy("p1").await;
    first.follow().await;
    let mut second = operator.proxy("p1").await;
    second.follow().await;
    let (code, message) = first.end().await;
    assert_eq!(code, tonic::Code::Aborted);
    assert_eq!(message, "another stream of proxy p1 began");
    assert_eq!(operator.push.proxies().list(crate::support::now()).len(), 1);
}

#[tokio::test]
async fn the_longest_valid_report_is_accepted() {
    let operator = Operator::start().await;
    let name = |number: usize| format!("{}/{number:0>253}", "n".repeat(63));
    let route = |number| RouteState { name: name(number), hash: u64::MAX };
    let refusal = |number| RejectedResource {
        kind: wire::Kind::Routes.into(),
        name: name(number),
        hash: u64::MAX,
        reason: "\u{1f600}".repeat(300),
    };
    let report = Applied {
        sequence: 0,
        digest: vec![1; 32],
        routes: (0..ROUTES_MAX).map(route).collect(),
        rejected: (ROUTES_MAX..ROUTES_MAX + REFUSALS_MAX).map(refusal).collect(),
    };
    assert_eq!(report.encoded_len(), 8_177_000 + 34);
    let proxy = operator.proxy("p1").await;
    proxy.say(report::Report::Applied(report)).await;
    let whole = (ROUTES_MAX, REFUSALS_MAX);
    operator.until(|it| it.first().is_some_and(|it| (it.routes, it.rejected) == whole)).await;
}
