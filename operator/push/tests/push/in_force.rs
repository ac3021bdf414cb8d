//! What the operator knows of what its proxies have in force.

use crate::support::{Operator, change, limits, routes};
use llm_contract::{
    ResourceName,
    push::wire::{self, InForce, Refusal, RouteState, report},
};
use llm_push::{Limits, Programmed, RefusedBy};
use prost::Message as _;
use std::time::Duration;

/// Custom resources of which one proxy may have routes in force, and refusals it may tell of.
const ROUTES_MAX: usize = 20_000;
const REFUSALS_MAX: usize = 1000;

fn programmed(operator: &Operator, name: &str) -> Programmed {
    let wanted = operator.push.table().hash(&routes(name));
    operator.push.proxies().programmed(&ResourceName::parse(name).unwrap(), wanted)
}

#[tokio::test]
async fn a_route_is_programmed_when_every_proxy_answered_it() {
    let operator = Operator::start().await;
    operator.publish(&[("m/a", "1")], &[]);
    assert_eq!(programmed(&operator, "m/a"), Programmed::NoProxies);
    let (mut one, mut two) = (operator.proxy("p1").await, operator.proxy("p2").await);
    one.follow().await;
    let update = two.receive().await.unwrap();
    operator
        .until(|_| programmed(&operator, "m/a") == Programmed::Lagging(vec!["p2".into()]))
        .await;
    two.answer(&update).await;
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
    assert_eq!(operator.push.numbers().lag().count(), 4);
}

#[tokio::test]
async fn a_refusal_is_known_with_its_reason() {
    let operator = Operator::start().await;
    operator.publish(&[("m/a", "1"), ("m/b", "1")], &[]);
    let mut proxy = operator.proxy("p1").await;
    let update = proxy.receive().await.unwrap();
    let refusal = Refusal {
        kind: wire::Kind::Routes.into(),
        name: "m/b".to_owned(),
        hash: proxy.documents.hash(&routes("m/b")).unwrap().get(),
        reason: "model \"gpt\"\nis taken by m/a".to_owned(),
    };
    let in_force = proxy.states(&change(&[("m/a", "1")], &[]));
    proxy.answer_with(update.sequence, in_force, vec![refusal]).await;
    let reason = "model \"gpt\" is taken by m/a".into();
    let refused = Programmed::Refused(vec![RefusedBy { proxy: "p1".into(), reason }]);
    operator.until(|_| programmed(&operator, "m/b") == refused).await;
    assert_eq!(programmed(&operator, "m/a"), Programmed::Everywhere { proxies: 1 });
    assert_eq!(operator.push.numbers().refusals(), 1);
}

#[tokio::test]
async fn a_proxy_that_has_gone_lags_and_is_then_forgotten() {
    let grace = Duration::from_secs(8);
    let operator = Operator::with(Limits { grace, ..limits() }).await;
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
async fn a_proxy_that_does_not_answer_lags() {
    let operator = Operator::with(Limits { lagging_after: Duration::ZERO, ..limits() }).await;
    operator.publish(&[("m/a", "1")], &[]);
    let mut proxy = operator.proxy("p1").await;
    proxy.receive().await.unwrap();
    assert!(operator.push.proxies().list(crate::support::now())[0].lagging);
}

#[tokio::test]
async fn a_proxy_that_does_not_answer_is_sent_away() {
    let answer_wait = Duration::from_millis(100);
    let operator = Operator::with(Limits { answer_wait, ..limits() }).await;
    operator.publish(&[("m/a", "1")], &[]);
    let (code, message) = operator.proxy("p1").await.end().await;
    assert_eq!(code, tonic::Code::DeadlineExceeded);
    assert_eq!(message, "update 1 was not answered within 100ms");
}

#[tokio::test]
async fn a_proxy_with_another_table_than_it_was_sent_is_sent_away() {
    let operator = Operator::start().await;
    operator.publish(&[("m/a", "1")], &[]);
    let mut proxy = operator.proxy("p1").await;
    let update = proxy.receive().await.unwrap();
    proxy.documents = llm_contract::push::Documents::default();
    proxy.answer(&update).await;
    let (code, message) = proxy.end().await;
    assert_eq!(code, tonic::Code::Aborted);
    assert!(message.ends_with("0000000000000000 is said to be in force after it"), "{message}");
}

#[tokio::test]
async fn a_second_stream_of_a_proxy_takes_the_place_of_the_first() {
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
async fn the_longest_report_that_may_be_is_taken() {
    let operator = Operator::start().await;
    let name = |number: usize| format!("{}/{number:0>253}", "n".repeat(63));
    let route = |number| RouteState { name: name(number), hash: u64::MAX };
    let refusal = |number| Refusal {
        kind: wire::Kind::Routes.into(),
        name: name(number),
        hash: u64::MAX,
        reason: "\u{1f600}".repeat(300),
    };
    let report = InForce {
        sequence: 0,
        digest: vec![1; 32],
        routes: (0..ROUTES_MAX).map(route).collect(),
        refusals: (ROUTES_MAX..ROUTES_MAX + REFUSALS_MAX).map(refusal).collect(),
    };
    assert_eq!(report.encoded_len(), 8_177_000 + 34);
    let proxy = operator.proxy("p1").await;
    proxy.say(report::Report::InForce(report)).await;
    let whole = (ROUTES_MAX, REFUSALS_MAX);
    operator.until(|it| it.first().is_some_and(|it| (it.routes, it.refused) == whole)).await;
}
