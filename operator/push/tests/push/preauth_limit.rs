//! Unauthenticated connections do not use up those of proxies.

use crate::support::{NAME, Operator, PATIENCE, Proxy, hello, limits, over, tls, tls_from};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use llm_contract::push::wire::push_client::PushClient;
use llm_push::PushLimits;
use std::{net::Ipv4Addr, time::Duration};
use tokio::time::timeout;
use tonic::{Code, Request};

/// So long that no connection is closed for being slow.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(600);
const UNAUTHENTICATED_MAX: usize = 3;
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

async fn operator(connections: usize) -> Operator {
    let limits = PushLimits {
        handshake_timeout: HANDSHAKE_TIMEOUT,
        unauthenticated_per_ip: UNAUTHENTICATED_MAX,
        connections,
        ..limits()
    };
    Operator::with(limits).await
}

/// Opens a stream with a token, or none, and waits until the server closes the connection.
async fn rejected_with(operator: &Operator, token: Option<&str>) -> Code {
    let stream = tls(operator.address, &operator.authority.bundle()).await.unwrap();
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = handshake.await.unwrap();
    let service = tower::service_fn(|request| {
        let mut sender = sender.clone();
        async move { sender.send_request(request).await }
    });
    let mut client = PushClient::with_origin(service, format!("https://{NAME}").parse().unwrap());
    let mut request = Request::new(tokio_stream::pending());
    if let Some(token) = token {
        let bearer = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", bearer);
    }
    let asked = async { client.follow(request).await.unwrap_err().code() };
    let (code, closed) = tokio::join!(asked, timeout(PATIENCE, connection));
    assert!(closed.is_ok(), "the connection is still open");
    code
}

#[tokio::test]
async fn a_connection_with_a_rejected_token_makes_room_for_a_proxy() {
    let operator = operator(UNAUTHENTICATED_MAX).await;
    for _ in 0..10 {
        for (token, code) in [
            (None, Code::Unauthenticated),
            (Some("wrong"), Code::Unauthenticated),
            (Some("expired"), Code::Unauthenticated),
            (Some("other-account"), Code::PermissionDenied),
        ] {
            assert_eq!(rejected_with(&operator, token).await, code, "{token:?}");
        }
    }
    operator.publish(&[("m/a", "1")], &[]);
    operator.proxy("p1").await.follow().await;
    assert_eq!(operator.push.stats().connections_refused.get(), 0);
}

#[tokio::test]
async fn idle_connections_of_one_address_leave_room_for_a_proxy_at_another() {
    let operator = operator(100).await;
    let bundle = operator.authority.bundle();
    let mut waiting = Vec::new();
    for _ in 0..UNAUTHENTICATED_MAX {
        waiting.push(tls(operator.address, &bundle).await.unwrap());
    }
    for _ in 0..10 {
        assert!(tls(operator.address, &bundle).await.is_err());
    }
    assert_eq!(operator.push.stats().connections_refused.get(), 10);

    operator.publish(&[("m/a", "1")], &[]);
    let stream = tls_from(ELSEWHERE, operator.address, &bundle).await.unwrap();
    let mut proxy = Proxy::begin(over(stream).await, "good", hello("p1", None)).await.unwrap();
    proxy.follow().await;
    drop(waiting);
}

#[tokio::test]
async fn authenticated_proxies_behind_one_address_are_not_limited() {
    let operator = operator(100).await;
    operator.publish(&[("m/a", "1")], &[]);
    let mut proxies = Vec::new();
    for index in 0..4 * UNAUTHENTICATED_MAX {
        let mut proxy = operator.proxy(&format!("p{index}")).await;
        proxy.follow().await;
        proxies.push(proxy);
    }
    assert_eq!(operator.push.stats().connections_refused.get(), 0);
}
