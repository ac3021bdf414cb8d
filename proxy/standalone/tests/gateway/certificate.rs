//! TLS on the gateway's own entries.

use crate::support::{CONFIG, Gateway, Home, PATIENCE, config, sim};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use reqwest::{Certificate, Client};
use std::time::Duration;

fn certificate() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap()
}

/// A client that trusts one certificate, and keeps no connection.
fn trusting(it: &CertifiedKey<KeyPair>) -> Client {
    llm_gateway::http_client::install_crypto();
    let only = Certificate::from_pem(it.cert.pem().as_bytes()).unwrap();
    let builder = Client::builder().tls_certs_only([only]).pool_max_idle_per_host(0);
    builder.no_proxy().build().unwrap()
}

async fn is_shown_to(client: &Client, gateway: &Gateway) -> bool {
    let asked = client.get(format!("{}/models", gateway.base)).bearer_auth(gateway.key());
    asked.timeout(PATIENCE).send().await.is_ok_and(|answer| answer.status() == 200)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_replaced_is_shown_to_the_next_connection() {
    let sim = sim(&["a"]).await;
    let home = Home::new();
    let (old, new) = (certificate(), certificate());
    home.write("tls.crt", &old.cert.pem());
    home.write("tls.key", &old.signing_key.serialize_pem());
    let text = format!("tls: {{certificate: tls.crt, key: tls.key}}\n{}", config("a", &sim.url()));
    home.write(CONFIG, &text);
    let gateway = home.serve();
    assert!(gateway.base.starts_with("https://127.0.0.1:"), "{}", gateway.base);
    assert!(is_shown_to(&trusting(&old), &gateway).await);
    assert!(!is_shown_to(&trusting(&new), &gateway).await);
    home.write("tls.crt", &new.cert.pem());
    gateway
        .wait_for_log("tls.key: the file tls.key: the private key does not match the certificate");
    assert!(is_shown_to(&trusting(&old), &gateway).await, "half of a pair changes nothing");
    home.write("tls.key", &new.signing_key.serialize_pem());
    let client = trusting(&new);
    let mut rounds = tokio::time::interval(Duration::from_millis(10));
    let shown = async {
        while !is_shown_to(&client, &gateway).await {
            rounds.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, shown).await.unwrap();
    assert!(!is_shown_to(&trusting(&old), &gateway).await);
}

#[test]
fn a_key_of_another_certificate_is_found_by_check() {
    let home = Home::new();
    home.write("tls.crt", &certificate().cert.pem());
    home.write("tls.key", &certificate().signing_key.serialize_pem());
    home.write(CONFIG, "\ntls: {certificate: tls.crt, key: tls.key}\n");
    let ran = home.run(&["check"]);
    assert_eq!((ran.code, ran.out.as_str()), (65, ""));
    let start = "gateway.yaml:2: tls.key: the file tls.key: the private key does not fit";
    assert!(ran.err.starts_with(start), "{}", ran.err);
}
