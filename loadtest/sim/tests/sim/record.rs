//! The record of what was received, the control paths, TLS and HTTP/2.

use std::sync::Arc;

use http::Version;
use llm_sim::{Config, Ended, Sim};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{exchange_raw, get, post, raw_request, request, send};

#[tokio::test]
async fn a_request_is_recorded_as_it_came() {
    let sim = Sim::start(Config::default()).await.unwrap();
    let headers =
        "x-one: 1\r\nauthorization: Bearer sk-secret\r\nx-one: 2\r\nconnection: close\r\n";
    let bytes = raw_request("/v1/completions?a=%2F&b", headers, r#"{"prompt":"Hi"}"#);
    exchange_raw(sim.addr(), &bytes).await.1.unwrap();

    sim.wait_until(|state| state.completed == 1).await.unwrap();
    let received = sim.received();
    let [one] = received.as_slice() else { panic!("{received:?}") };
    assert_eq!(
        (one.method.as_str(), one.path_and_query.as_str()),
        ("POST", "/v1/completions?a=%2F&b")
    );
    assert_eq!((one.version, one.ended), (Version::HTTP_11, Ended::Completed));
    let values: Vec<_> = one.headers.get_all("x-one").iter().collect();
    assert_eq!(values, ["1", "2"]);
    assert_eq!(one.headers["authorization"], "Bearer sk-secret");
    assert_eq!(one.body, r#"{"prompt":"Hi"}"#);
    assert!(!format!("{one:?}").contains("sk-secret"));
}

#[tokio::test]
async fn the_record_keeps_the_last_requests_only() {
    let sim = Sim::start(Config { received_max: 2, ..Config::default() }).await.unwrap();
    for path in ["/health", "/ping", "/version"] {
        get(&sim, path).await;
    }
    let paths: Vec<_> = sim.received().into_iter().map(|one| one.path_and_query).collect();
    assert_eq!(paths, ["/ping", "/version"]);
    assert_eq!(sim.state().received, 3);
}

#[tokio::test]
async fn the_control_paths_show_the_record_and_set_faults() {
    let sim = Sim::start(Config { allow_faults: true, ..Config::default() }).await.unwrap();
    post(&sim, "/v1/completions", &json!({"prompt": "Hi"})).await;
    let set = post(&sim, "/sim/fault", &json!({"fault": "status=503", "times": 1})).await;
    assert_eq!(set.status, 204);
    assert_eq!(post(&sim, "/v1/completions", &json!({"prompt": "Hi"})).await.status, 503);
    assert_eq!(post(&sim, "/v1/completions", &json!({"prompt": "Hi"})).await.status, 200);
    sim.wait_until(|state| state.completed == 3).await.unwrap();
    let record = get(&sim, "/sim/received").await.json();
    assert_eq!(record.as_array().unwrap().len(), 3);
    assert_eq!(record[0]["body"], r#"{"prompt":"Hi"}"#);
    assert_eq!(record[0]["ended"], "completed");
    assert_eq!(get(&sim, "/sim/state").await.json()["completed"], 3);
    assert_eq!(post(&sim, "/sim/fault", &json!({"fault": "explode"})).await.status, 400);
    send(&sim, request("DELETE", "/sim/received", &[], "")).await.unwrap();
    assert_eq!(get(&sim, "/sim/received").await.text, "[]");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let sim = Sim::start(Config { body_bytes_max: 10, ..Config::default() }).await.unwrap();
    let answer = post(&sim, "/v1/completions", &json!({"prompt": "too long for this"})).await;
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn http2_without_tls_is_understood() {
    let sim = Sim::start(Config::default()).await.unwrap();
    let mut asked = request("POST", "/v1/completions", &[], r#"{"prompt":"Hi","stream":true}"#);
    *asked.version_mut() = Version::HTTP_2;
    let answer = send(&sim, asked).await.unwrap();
    assert_eq!(answer.events().last().unwrap(), "[DONE]");
    assert_eq!(sim.received()[0].version, Version::HTTP_2);
}

#[tokio::test]
async fn tls_is_served_with_the_given_certificate() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let sim =
        Sim::start(Config { tls: Some(Arc::new(server)), ..Config::default() }).await.unwrap();
    assert!(sim.url().starts_with("https://"));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = TcpStream::connect(sim.addr()).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let mut tls = connector.connect("localhost".try_into().unwrap(), socket).await.unwrap();
    tls.write_all(b"GET /version HTTP/1.1\r\nhost: sim\r\n\r\n").await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"}") {
        seen.push(tls.read_u8().await.unwrap());
    }
    assert!(seen.ends_with(br#"{"version":"0.32.0"}"#));
}
