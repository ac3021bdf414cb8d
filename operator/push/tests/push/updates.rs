//! Updates that a subscriber is sent.

use crate::support::{Operator, PATIENCE, Proxy, change, hello, limits, now, routes};
use llm_contract::push::{Change, Kind, Name};
use llm_push::PushLimits;
use std::time::Duration;
use tokio::time::timeout;
use tonic::Code;

#[tokio::test]
async fn a_subscriber_gets_a_snapshot_then_changes() {
    let operator = Operator::start().await;
    operator.publish(&[("m/a", "1"), ("m/b", "1"), ("m/c", "1")], &[]);
    let mut proxy = operator.proxy("p1").await;
    let first = proxy.follow().await;
    assert!(first.whole);
    assert_eq!((first.sequence, first.change.upserts.len()), (1, 3));
    operator.publish(&[("m/b", "2")], &["m/c"]);
    let second = proxy.follow().await;
    assert_eq!((second.sequence, second.whole), (2, false));
    assert_eq!(second.change, change(&[("m/b", "2")], &["m/c"]));
    assert_eq!(Some(proxy.documents.digest()), operator.push.table().digest());
    assert_eq!(operator.push.stats().updates.get(), 2);
    assert_eq!(operator.push.stats().snapshots.get(), 1);
}

#[tokio::test]
async fn nothing_is_sent_before_the_first_publish() {
    let operator =
        Operator::with(PushLimits { heartbeat_interval: Duration::ZERO, ..limits() }).await;
    let mut proxy = operator.proxy("p1").await;
    operator.until(|proxies| proxies.len() == 1).await;
    let waits = timeout(Duration::from_millis(100), proxy.updates.message()).await;
    assert!(waits.is_err(), "{waits:?}");
    operator.publish(&[], &[]);
    assert!(proxy.follow().await.whole);
}

#[tokio::test]
async fn a_proxy_with_the_table_gets_a_heartbeat_after_the_first_publish() {
    let operator =
        Operator::with(PushLimits { heartbeat_interval: Duration::ZERO, ..limits() }).await;
    let digest = llm_contract::push::Documents::default().digest();
    let begin = Proxy::begin(operator.channel().await, "good", hello("p1", Some(digest)));
    let mut proxy = begin.await.unwrap();
    operator.until(|proxies| proxies.len() == 1).await;
    let waits = timeout(Duration::from_millis(100), proxy.updates.message()).await;
    assert!(waits.is_err(), "{waits:?}");
    operator.publish(&[], &[]);
    let word = proxy.follow().await;
    assert_eq!((word.whole, word.change.is_empty()), (false, true));
}

#[tokio::test]
async fn a_proxy_that_reconnects_gets_the_changes_since() {
    let operator = Operator::start().await;
    operator.publish(&[("m/a", "1"), ("m/b", "1")], &[]);
    let mut proxy = operator.proxy("p1").await;
    proxy.follow().await;
    let (documents, digest) = (proxy.documents.clone(), proxy.documents.digest());
    drop(proxy);
    operator.publish(&[("m/b", "2")], &[]);
    let hello = hello("p1", Some(digest));
    let mut again = Proxy::begin(operator.channel().await, "good", hello).await.unwrap();
    again.documents = documents;
    let received = again.follow().await;
    assert!(!received.whole);
    assert_eq!(received.change, change(&[("m/b", "2")], &[]));
}

#[tokio::test]
async fn an_unknown_table_is_replaced_by_a_snapshot() {
    let operator = Operator::start().await;
    operator.publish(&[("m/a", "1")], &[]);
    let mut other = llm_contract::push::Documents::default();
    other.put(routes("m/z"), "1".into());
    let hello = hello("p1", Some(other.digest()));
    let mut proxy = Proxy::begin(operator.channel().await, "good", hello).await.unwrap();
    proxy.documents = other;
    assert!(proxy.follow().await.whole);
    assert_eq!(proxy.documents.len(), 1);
}

#[tokio::test]
async fn a_slow_subscriber_gets_merged_changes() {
    let operator = Operator::start().await;
    operator.publish(&[("m/a", "0"), ("m/b", "0"), ("m/c", "0")], &[]);
    let mut proxy = operator.proxy("p1").await;
    let first = proxy.receive().await.unwrap();
    for version in 1..=100 {
        operator.publish(&[("m/a", &version.to_string())], &[]);
    }
    operator.publish(&[], &["m/b"]);
    proxy.acknowledge(&first).await;
    let second = proxy.follow().await;
    assert_eq!(second.change, change(&[("m/a", "100")], &["m/b"]));
    assert_eq!(Some(proxy.documents.digest()), operator.push.table().digest());
}

#[tokio::test]
async fn a_reverted_change_is_not_sent() {
    let operator = Operator::start().await;
    operator.publish(&[("m/a", "1"), ("m/b", "1")], &[]);
    let mut proxy = operator.proxy("p1").await;
    let first = proxy.receive().await.unwrap();
    operator.publish(&[("m/a", "2")], &[]);
    operator.publish(&[("m/a", "1")], &[]);
    proxy.acknowledge(&first).await;
    operator.publish(&[("m/b", "2")], &[]);
    assert_eq!(proxy.follow().await.change, change(&[("m/b", "2")], &[]));
}

#[tokio::test]
async fn a_large_table_is_sent_in_chunks() {
    let operator = Operator::start().await;
    let document: bytes::Bytes = vec![b' '; 300_000].into();
    let upserts = (0..20).map(|it| (routes(&format!("m/{it}")), document.clone())).collect();
    operator.push.table().publish(Change { upserts, removals: Vec::new() }, now());
    let mut proxy = operator.proxy("p1").await;
    let received = proxy.follow().await;
    assert_eq!((received.parts, received.change.upserts.len()), (7, 20));
}

#[tokio::test]
async fn without_changes_heartbeats_are_sent() {
    let heartbeat_interval = Duration::from_millis(50);
    let operator = Operator::with(PushLimits { heartbeat_interval, ..limits() }).await;
    operator.publish(&[("m/a", "1")], &[]);
    let mut proxy = operator.proxy("p1").await;
    proxy.follow().await;
    for sequence in 2..5 {
        let word = proxy.follow().await;
        assert_eq!((word.sequence, word.whole), (sequence, false));
        assert!(word.change.is_empty());
    }
    assert_eq!(operator.push.stats().updates.get(), 1);
}

#[tokio::test]
async fn a_stream_without_subscription_is_sent_nothing() {
    let operator =
        Operator::with(PushLimits { heartbeat_interval: Duration::ZERO, ..limits() }).await;
    operator.publish(&[("m/a", "1")], &[]);
    let hello = llm_contract::push::wire::Hello { follow: false, ..hello("p1", None) };
    let proxy = Proxy::begin(operator.channel().await, "good", hello).await.unwrap();
    let mut follower = operator.proxy("p2").await;
    follower.follow().await;
    // It answers another replica's updates, so their numbers mean nothing here.
    proxy.acknowledge_with(70, follower.states(&change(&[("m/a", "1")], &[])), Vec::new()).await;
    operator.until(|proxies| proxies.iter().filter(|proxy| proxy.routes == 1).count() == 2).await;
    let mut proxy = proxy;
    let waits = timeout(Duration::from_millis(50), proxy.updates.message()).await;
    assert!(waits.is_err(), "{waits:?}");
}

#[tokio::test]
async fn five_subscribers_converge() {
    let operator = Operator::start().await;
    operator.publish(&[("m/a", "0")], &[]);
    let last = operator.push.table().watch();
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..5 {
        let mut proxy = operator.proxy(&format!("p{index}")).await;
        tasks.spawn(async move {
            while proxy.documents.get(&routes("m/end")).is_none() {
                proxy.follow().await;
            }
            proxy.documents.digest()
        });
    }
    for version in 1..50 {
        operator.publish(&[("m/a", &version.to_string()), (&format!("m/{version}"), "1")], &[]);
        tokio::task::yield_now().await;
    }
    operator.publish(&[("m/end", "1")], &[]);
    let digests = timeout(PATIENCE, tasks.join_all()).await.unwrap();
    assert_eq!(digests, [last.borrow().unwrap(); 5]);
}

#[tokio::test]
async fn a_replica_that_stops_sends_its_subscribers_to_another() {
    let operator = Operator::start().await;
    operator.publish(&[("m/a", "1")], &[]);
    let mut proxy = operator.proxy("p1").await;
    proxy.follow().await;
    assert!(operator.push.is_serving());
    operator.stop.cancel();
    let (code, message) = proxy.end().await;
    assert_eq!(code, Code::Unavailable);
    assert_eq!(message, "this replica stops; follow another");
    assert!(!operator.push.is_serving());
}

#[tokio::test]
async fn a_key_is_pushed_like_a_route() {
    let operator = Operator::start().await;
    let name = Name::new(Kind::Key, "k1");
    let change = Change { upserts: vec![(name.clone(), "{}".into())], removals: Vec::new() };
    operator.push.table().publish(change, now());
    let mut proxy = operator.proxy("p1").await;
    proxy.follow().await;
    assert!(proxy.documents.get(&name).is_some());
}
