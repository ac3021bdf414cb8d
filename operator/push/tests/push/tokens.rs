//! Tokens that open a stream, and for how long.

use crate::support::{Operator, Proxy, hasty, hello};
use llm_contract::push::wire::push_client::PushClient;
use tonic::Code;

#[tokio::test]
async fn a_token_that_is_not_accepted_opens_no_stream() {
    let operator = Operator::with(hasty()).await;
    for (token, code, message) in [
        ("wrong", Code::Unauthenticated, "the token is not accepted: it is unknown"),
        ("expired", Code::Unauthenticated, "the token is not accepted: it has expired"),
        (
            "other-audience",
            Code::Unauthenticated,
            "the token is not accepted: it is for audience \"api\", not \"llm-push\"",
        ),
        ("other-account", Code::PermissionDenied, "llm:web may not follow; only llm:llm-proxy may"),
        (
            "stuck",
            Code::Unavailable,
            "the token cannot be checked: it took longer than 6s; connect again later",
        ),
    ] {
        let refused = Proxy::silent(operator.channel().await, token).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (code, message));
    }
    assert_eq!(operator.push.stats().streams_failed.get(), 5);
}

#[tokio::test]
async fn without_a_token_no_stream_opens() {
    let operator = Operator::start().await;
    let mut client = PushClient::new(operator.channel().await);
    let refused = client.follow(tokio_stream::pending()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(
        refused.message(),
        "the token is not accepted: none was sent; `authorization: Bearer TOKEN` is required"
    );
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_the_next_one_continues() {
    let operator = Operator::start().await;
    operator.publish(&[("m/a", "1")], &[]);
    let begin = Proxy::begin(operator.channel().await, "short", hello("p1", None));
    let mut proxy = begin.await.unwrap();
    proxy.follow().await;
    assert_eq!(proxy.end().await, (Code::Ok, String::new()));
    let hello = hello("p1", Some(proxy.documents.digest()));
    let mut again = Proxy::begin(operator.channel().await, "good", hello).await.unwrap();
    again.documents = proxy.documents;
    operator.publish(&[("m/b", "1")], &[]);
    let received = again.follow().await;
    assert_eq!((received.whole, received.change.upserts.len()), (false, 1));
    assert_eq!(operator.push.stats().snapshots.get(), 1);
}

#[tokio::test]
async fn a_proxy_cannot_supersede_another_by_its_name() {
    let operator = Operator::start().await;
    operator.publish(&[("m/a", "1")], &[]);
    let begin = async |token, name| {
        Proxy::begin(operator.channel().await, token, hello(name, None)).await.unwrap()
    };
    let mut first = begin("pod-1", "pod-1").await;
    first.follow().await;
    let mut second = begin("pod-2", "pod-1").await;
    second.follow().await;
    operator.publish(&[("m/b", "1")], &[]);
    first.follow().await;
    second.follow().await;
    operator.until(|proxies| proxies.iter().filter(|it| it.routes == 2).count() == 2).await;
    let names: Vec<_> =
        operator.push.proxies().list(crate::support::now()).into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["pod-1".into(), "pod-2".into()]);
}
