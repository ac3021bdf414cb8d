//! Peers that violate the protocol.

use crate::support::{Operator, PATIENCE, Proxy, hasty, hello, limits, tls};
use llm_contract::push::wire::{Applied, Hello, RouteState, push_client::PushClient, report};
use llm_push::PushLimits;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tonic::Code;

/// How a connection ends that only reads.
async fn cut(mut connection: impl AsyncReadExt + Unpin) {
    let mut rest = Vec::new();
    let read = timeout(PATIENCE, connection.read_to_end(&mut rest)).await;
    assert!(read.is_ok(), "the connection is still open");
}

#[tokio::test]
async fn a_connection_that_never_opens_a_stream_is_closed() {
    let operator = Operator::with(hasty()).await;
    let bundle = operator.authority.bundle();
    let tcp = TcpStream::connect(operator.address).await.unwrap();
    let silent = tls(operator.address, &bundle).await.unwrap();
    let mut garbage = TcpStream::connect(operator.address).await.unwrap();
    garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut preface = tls(operator.address, &bundle).await.unwrap();
    preface.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    preface.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    tokio::join!(cut(tcp), cut(silent), cut(garbage), cut(preface));
}

#[tokio::test]
async fn a_stream_without_hello_ends() {
    let operator = Operator::with(hasty()).await;
    let mut proxy = Proxy::silent(operator.channel().await, "good").await.unwrap();
    let (code, message) = proxy.end().await;
    assert_eq!((code, &*message), (Code::DeadlineExceeded, "no `hello` arrived within 6s"));
    assert!(operator.push.proxies().list(crate::support::now()).is_empty());
}

#[tokio::test]
async fn a_first_message_that_is_no_valid_hello_ends_the_stream() {
    let operator = Operator::start().await;
    let names = "`proxy` and `version` have 1 to 253 visible ASCII characters";
    let schema = format!(
        "this operator writes schema {}, and proxy p1 reads schema 99; run the same version of both",
        llm_contract::Table::VERSION
    );
    let hello = |change: fn(&mut Hello)| {
        let mut hello = hello("p1", None);
        change(&mut hello);
        report::Report::Hello(hello)
    };
    let first = "the first message of a stream is a `hello`";
    let digest = "a digest has 32 bytes, not 3";
    for (report, code, message) in [
        (report::Report::Applied(Applied::default()), Code::InvalidArgument, first),
        (hello(|it| it.schema = 99), Code::FailedPrecondition, &schema),
        (hello(|it| it.proxy.clear()), Code::InvalidArgument, names),
        (hello(|it| it.proxy = "p 1".to_owned()), Code::InvalidArgument, names),
        (hello(|it| it.version = "v".repeat(254)), Code::InvalidArgument, names),
        (hello(|it| it.digest = vec![1, 2, 3]), Code::InvalidArgument, digest),
    ] {
        let mut proxy = Proxy::silent(operator.channel().await, "good").await.unwrap();
        proxy.say(report).await;
        assert_eq!(proxy.end().await, (code, message.to_owned()));
    }
}

#[tokio::test]
async fn an_invalid_report_ends_the_stream() {
    let operator = Operator::start().await;
    let route = |name: &str| RouteState { name: name.to_owned(), hash: 1 };
    let many = (0..20_001).map(|it| route(&format!("m/{it}"))).collect();
    let named = |name: &str| Applied { routes: vec![route(name)], ..Applied::default() };
    for (report, message) in [
        (
            report::Report::Hello(hello("p1", None)),
            "after `hello`, a report is `applied` or `key_usage`".to_owned(),
        ),
        (
            report::Report::Applied(named("a")),
            "\"a\" is not the name of a custom resource".to_owned(),
        ),
        (
            report::Report::Applied(Applied { routes: many, ..Applied::default() }),
            "more than 20000 custom resources have routes".to_owned(),
        ),
        (
            report::Report::Applied(Applied { sequence: 7, ..Applied::default() }),
            "update 7 was acknowledged, but 0 is the last that was sent".to_owned(),
        ),
    ] {
        let mut proxy = operator.proxy("p1").await;
        proxy.say(report).await;
        let (_, ended) = proxy.end().await;
        assert!(ended.starts_with(&message), "{ended}");
    }
}

#[tokio::test]
async fn a_giant_report_ends_the_stream_unread() {
    let operator = Operator::with(PushLimits { report_bytes_max: 64 * 1024, ..limits() }).await;
    let mut proxy = operator.proxy("p1").await;
    let routes = (0..5000).map(|it| RouteState { name: format!("m/{it:0100}"), hash: 1 }).collect();
    proxy.say(report::Report::Applied(Applied { routes, ..Applied::default() })).await;
    let (code, message) = proxy.end().await;
    assert_eq!(code, Code::OutOfRange, "{message}");
}

#[tokio::test]
async fn a_flood_of_reports_is_throttled_and_delays_no_other_stream() {
    let report_interval = Duration::from_millis(50);
    let operator = Operator::with(PushLimits { report_interval, ..limits() }).await;
    operator.publish(&[("m/a", "1")], &[]);
    let mut flooding = operator.proxy("flood").await;
    flooding.follow().await;
    let flood = async {
        let began = crate::support::now();
        let route = RouteState { name: format!("m/{:0100}", 1), hash: 1 };
        let routes = vec![route; 500];
        for _ in 0..60 {
            let report = Applied { routes: routes.clone(), ..Applied::default() };
            flooding.say(report::Report::Applied(report)).await;
        }
        began.elapsed()
    };
    let others = async {
        let mut proxy = operator.proxy("p1").await;
        proxy.follow().await;
        for version in 2..20 {
            operator.publish(&[("m/a", &version.to_string())], &[]);
            proxy.follow().await;
        }
    };
    let (took, ()) = tokio::join!(flood, others);
    // Half of them at most are on their way, and not yet read.
    assert!(report_interval * 30 < took, "{took:?}");
}

#[tokio::test]
async fn a_half_open_connection_is_detected_by_pings() {
    let ping_interval = Duration::from_secs(2);
    let operator = Operator::with(PushLimits { ping_interval, ..limits() }).await;
    operator.publish(&[("m/a", "1")], &[]);
    let freeze = CancellationToken::new();
    let relay = relay(operator.address, freeze.clone()).await;
    let channel = crate::support::channel(relay, &operator.authority.bundle()).await.unwrap();
    let mut proxy = Proxy::begin(channel, "good", hello("p1", None)).await.unwrap();
    proxy.follow().await;
    operator.until(|proxies| proxies.len() == 1 && proxies[0].connected).await;
    freeze.cancel();
    operator.until(|proxies| !proxies[0].connected).await;
}

/// Relays bytes until frozen; then neither bytes nor an end.
async fn relay(to: SocketAddr, frozen: CancellationToken) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio_util::task::TaskTracker::new().spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = TcpStream::connect(to).await.unwrap();
        tokio::select! {
            _ = copy_bidirectional(&mut near, &mut far) => {}
            () = frozen.cancelled() => std::future::pending().await,
        }
    });
    address
}

#[tokio::test]
async fn connections_over_the_limit_are_closed() {
    let operator = Operator::with(PushLimits { connections: 1, ..limits() }).await;
    let _first = operator.proxy("p1").await;
    operator.until(|proxies| proxies.len() == 1).await;
    assert!(tls(operator.address, &operator.authority.bundle()).await.is_err());
    assert_eq!(operator.push.stats().connections_refused.get(), 1);
}

#[tokio::test]
async fn proxies_over_the_limit_get_an_error() {
    let operator = Operator::with(PushLimits { proxies: 1, ..limits() }).await;
    let _first = operator.proxy("p1").await;
    operator.until(|proxies| proxies.len() == 1).await;
    let (code, message) = operator.proxy("p2").await.end().await;
    assert_eq!(code, Code::ResourceExhausted);
    assert_eq!(message, "1 proxies are connected, which is the limit");
}

#[tokio::test]
async fn one_connection_has_few_streams() {
    let operator = Operator::start().await;
    let channel = operator.channel().await;
    let mut streams = Vec::new();
    for index in 0..4 {
        let hello = hello(&format!("p{index}"), None);
        streams.push(Proxy::begin(channel.clone(), "good", hello).await.unwrap());
    }
    let mut client = PushClient::new(channel);
    let fifth = client.follow(tokio_stream::pending());
    assert!(timeout(Duration::from_millis(100), fifth).await.is_err());
    drop(streams);
}
