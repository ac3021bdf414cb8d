//! Issuers over time, against a server on loopback.

use super::support::{Answer, Idp, Signer, claims, config, eventually, now, refusal};
use crate::auth::oidc::{
    InvalidIssuer, IssuerConfig, Issuers, TokenError, VerifiedClaims,
    discovery::{DISCOVERY_BYTES_MAX, DiscoveryClient, FetchError, JWKS_BYTES_MAX},
    issuers::REFRESH_WAIT_MAX,
    jwks_cache::{FORCED_REFRESH_BURST, FORCED_REFRESH_INTERVAL, REFRESH_PERIOD, RETRY_MIN},
    token::TOKEN_BYTES_MAX,
};
use reqwest::StatusCode;
use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};
use serde_json::json;
use std::{
    io::{Read as _, Write as _},
    sync::Arc,
    time::Duration,
};
use tokio::{runtime::Handle, task::JoinSet, time::advance};

fn ec(id: &'static str) -> Signer {
    Signer::new(id, "ES256")
}

#[tokio::test]
async fn a_token_of_a_known_issuer_names_its_bearer() {
    let signer = ec("1");
    let idp = Idp::start(&[&signer]).await;
    let issuers = idp.known().await;
    let token = signer.sign("ES256", &claims(&idp.issuer));
    let verified = issuers.authenticate(&token, now()).await.unwrap();
    assert_eq!(verified.issuer(), idp.issuer);
    assert_eq!(verified.subject(), "4711");
    assert_eq!(verified.username(), "ada");
    assert_eq!(verified.groups(), ["science".into(), "staff".into()]);
}

#[tokio::test]
async fn only_the_exact_issuer_is_known() {
    let signer = ec("1");
    let idp = Idp::start(&[&signer]).await;
    let issuers = idp.known().await;
    for other in [format!("{}/", idp.issuer), idp.issuer.to_uppercase(), String::new()] {
        let token = signer.sign("ES256", &claims(&other));
        assert_eq!(issuers.verify(&token, now()), Err(TokenError::UnknownIssuer), "{other}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_issuers_key_does_not_verify_tokens_of_another() {
    let (ours, theirs) = (ec("1"), ec("2"));
    let (idp, other) = (Idp::start(&[&ours]).await, Idp::start(&[&theirs]).await);
    let issuers = idp.known().await;
    let both = vec![config(&idp.issuer), config(&other.issuer)];
    issuers.update(both, &Handle::current()).unwrap();
    let token = theirs.sign("ES256", &claims(&idp.issuer));
    assert_eq!(issuers.authenticate(&token, now()).await, Err(TokenError::UnknownKey));
}

#[tokio::test]
async fn a_token_longer_than_the_limit_is_rejected() {
    let issuers = Issuers::new(1);
    let token = "a".repeat(TOKEN_BYTES_MAX + 1);
    assert_eq!(issuers.authenticate(&token, now()).await, Err(TokenError::TooLong));
}

#[tokio::test]
async fn a_repeated_token_is_verified_once_until_it_expires() {
    let signer = ec("1");
    let idp = Idp::start(&[&signer]).await;
    let issuers = idp.known().await;
    let token = signer.sign("ES256", &claims(&idp.issuer));
    let first = issuers.verify(&token, now()).unwrap();
    assert!(Arc::ptr_eq(&first, &issuers.verify(&token, now()).unwrap()));
    let later = now() + Duration::from_secs(300);
    assert_eq!(issuers.verify(&token, later), Err(TokenError::Expired));
}

#[tokio::test(start_paused = true)]
async fn the_first_token_of_a_new_key_is_accepted_and_the_old_key_is_gone() {
    let (old, new) = (ec("old"), ec("new"));
    let idp = Idp::start(&[&old]).await;
    let issuers = idp.known().await;
    let old_token = old.sign("ES256", &claims(&idp.issuer));
    issuers.authenticate(&old_token, now()).await.unwrap();

    idp.publish(&[&new]);
    let new_token = new.sign("ES256", &claims(&idp.issuer));
    issuers.authenticate(&new_token, now()).await.unwrap();
    assert_eq!(issuers.verify(&old_token, now()), Err(TokenError::UnknownKey));
}

#[tokio::test(start_paused = true)]
async fn a_rotation_is_noticed_by_tokens_without_key_id() {
    let (old, new) = (ec("old"), ec("new"));
    let idp = Idp::start(&[&old]).await;
    let issuers = idp.known().await;
    idp.publish(&[&new]);
    let token = new.sign_with(&json!({"alg": "ES256"}), &claims(&idp.issuer));
    issuers.authenticate(&token, now()).await.unwrap();
}

/// Authenticates all of them at once.
async fn all(
    issuers: &Arc<Issuers>,
    tokens: Vec<String>,
) -> Vec<Result<Arc<VerifiedClaims>, TokenError>> {
    let mut requests = JoinSet::new();
    for token in tokens {
        let issuers = Arc::clone(issuers);
        requests.spawn(async move { issuers.authenticate(&token, now()).await });
    }
    requests.join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_requests_with_a_new_key_cause_one_refresh_and_all_succeed() {
    let (old, new) = (ec("old"), ec("new"));
    let idp = Idp::start(&[&old]).await;
    let issuers = idp.known().await;
    idp.publish(&[&old, &new]);
    let tokens = (0..100)
        .map(|n| {
            let mut claims = claims(&idp.issuer);
            claims["jti"] = json!(n);
            new.sign("ES256", &claims)
        })
        .collect();
    assert!(all(&issuers, tokens).await.iter().all(Result::is_ok));
    assert_eq!(idp.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn made_up_keys_cause_no_more_refreshes_than_the_limit_and_never_wait_beyond_it() {
    static IDS: [&str; 4] = ["x", "y", "z", "w"];
    let signer = ec("1");
    let idp = Idp::start(&[&signer]).await;
    let issuers = idp.known().await;
    let made_up = |n: usize| ec(IDS[n % IDS.len()]).sign("ES256", &claims(&idp.issuer));
    let refused = all(&issuers, (0..100).map(made_up).collect()).await;
    assert!(
        refused.into_iter().map(refusal).all(|refused| {
            matches!(refused, TokenError::UnknownKey | TokenError::RefreshLimited)
        })
    );
    let token = made_up(0);
    while issuers.authenticate(&token, now()).await != Err(TokenError::RefreshLimited) {}
    assert_eq!(idp.fetches(), 1 + usize::try_from(FORCED_REFRESH_BURST).unwrap());

    assert_eq!(issuers.authenticate(&token, now()).await, Err(TokenError::RefreshLimited));
    let later = now() + FORCED_REFRESH_INTERVAL;
    assert_eq!(issuers.authenticate(&token, later).await, Err(TokenError::UnknownKey));
    assert_eq!(issuers.authenticate(&token, later).await, Err(TokenError::RefreshLimited));
    assert_eq!(idp.fetches(), 2 + usize::try_from(FORCED_REFRESH_BURST).unwrap());
}

#[tokio::test]
async fn an_expired_or_foreign_token_of_an_unknown_key_causes_no_refresh() {
    let signer = ec("1");
    let idp = Idp::start(&[&signer]).await;
    let issuers = idp.known().await;
    for (member, refused) in [("exp", TokenError::Expired), ("aud", TokenError::Audience)] {
        let mut claims = claims(&idp.issuer);
        claims[member] = if member == "exp" { json!(0) } else { json!("other") };
        let token = ec("2").sign("ES256", &claims);
        assert_eq!(issuers.authenticate(&token, now()).await, Err(refused));
    }
    assert_eq!(idp.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_made_up_key_just_before_a_rotation_causes_no_false_rejection() {
    let (old, new) = (ec("old"), ec("new"));
    let idp = Idp::start(&[&old]).await;
    let issuers = idp.known().await;
    let made_up = ec("x").sign("ES256", &claims(&idp.issuer));
    assert_eq!(issuers.authenticate(&made_up, now()).await, Err(TokenError::UnknownKey));
    idp.publish(&[&new]);
    let token = new.sign("ES256", &claims(&idp.issuer));
    issuers.authenticate(&token, now()).await.unwrap();
}

#[tokio::test]
async fn known_keys_survive_an_outage_and_unknown_ones_are_rejected_temporarily() {
    let (signer, unknown) = (ec("1"), ec("2"));
    let mut idp = Idp::start(&[&signer]).await;
    let issuers = idp.known().await;
    idp.stop().await;
    let token = unknown.sign("ES256", &claims(&idp.issuer));
    let refused = refusal(issuers.authenticate(&token, now()).await);
    assert_eq!(refused, TokenError::KeysUnavailable);
    assert!(refused.is_temporary());
    let token = signer.sign("ES256", &claims(&idp.issuer));
    issuers.authenticate(&token, now()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_invalid_key_set_leaves_the_last_good_one_in_force() {
    for body in ["", "{}", r#"{"keys":[]}"#, "<html>"] {
        let (signer, unknown) = (ec("1"), ec("2"));
        let idp = Idp::start(&[&signer]).await;
        let issuers = idp.known().await;
        idp.published.lock().unwrap().jwks = Answer::ok(body);
        let token = unknown.sign("ES256", &claims(&idp.issuer));
        assert_eq!(issuers.authenticate(&token, now()).await, Err(TokenError::KeysUnavailable));
        assert_eq!(idp.fetches(), 2);
        let token = signer.sign("ES256", &claims(&idp.issuer));
        issuers.verify(&token, now()).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_an_unresponsive_issuer_only_up_to_the_limit() {
    let signer = ec("1");
    let idp = Idp::start(&[&signer]).await;
    let issuers = idp.known().await;
    idp.published.lock().unwrap().hangs = true;
    let token = ec("2").sign("ES256", &claims(&idp.issuer));
    let mut request = JoinSet::new();
    let waiting = Arc::clone(&issuers);
    request.spawn(async move { waiting.authenticate(&token, now()).await });
    eventually(|| issuers.in_force.load()[&idp.issuer].jwks.is_waited_for()).await;
    advance(REFRESH_WAIT_MAX).await;
    assert_eq!(request.join_all().await, [Err(TokenError::KeysUnavailable)]);
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_again_every_period() {
    let (old, new) = (ec("old"), ec("new"));
    let idp = Idp::start(&[&old]).await;
    let issuers = idp.known().await;
    let old_token = old.sign("ES256", &claims(&idp.issuer));
    let new_token = new.sign("ES256", &claims(&idp.issuer));
    issuers.verify(&old_token, now()).unwrap();
    idp.publish(&[&new]);
    assert_eq!(issuers.verify(&new_token, now()), Err(TokenError::UnknownKey));

    advance(REFRESH_PERIOD).await;
    eventually(|| issuers.verify(&new_token, now()).is_ok()).await;
    assert_eq!(issuers.verify(&old_token, now()), Err(TokenError::UnknownKey));
    assert_eq!(idp.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn fetching_the_first_keys_is_retried_until_it_succeeds() {
    let signer = ec("1");
    let idp = Idp::start(&[&signer]).await;
    let good = idp.published.lock().unwrap().jwks.clone();
    let unavailable = Answer { status: "503 Service Unavailable", ..Answer::default() };
    idp.published.lock().unwrap().jwks = unavailable;
    let issuers = idp.trusted();
    let token = signer.sign("ES256", &claims(&idp.issuer));
    for (attempt, pause) in [(1, RETRY_MIN), (2, RETRY_MIN * 2)] {
        eventually(|| issuers.in_force.load()[&idp.issuer].jwks.finished_refreshes() == attempt)
            .await;
        assert_eq!(issuers.authenticate(&token, now()).await, Err(TokenError::KeysUnavailable));
        idp.published.lock().unwrap().jwks = if attempt == 2 {
            good.clone()
        } else {
            Answer { status: "500 No", ..Answer::default() }
        };
        advance(pause).await;
    }
    eventually(|| issuers.verify(&token, now()).is_ok()).await;
    assert_eq!(idp.fetches(), 3);
}

/// What a fetch says about a server set up like this.
async fn fetched(set_up: impl FnOnce(&Idp)) -> (Result<Vec<u8>, FetchError>, Idp) {
    let idp = Idp::start(&[&ec("1")]).await;
    set_up(&idp);
    (DiscoveryClient::new(&config(&idp.issuer)).unwrap().fetch_jwks().await, idp)
}

#[tokio::test]
async fn discovery_must_be_that_of_the_issuer() {
    for issuer in ["https://evil.example.org", ""] {
        let (fetched, idp) = fetched(|idp| {
            let document = json!({"issuer": issuer, "jwks_uri": format!("{}/jwks", idp.issuer)});
            idp.published.lock().unwrap().discovery = Answer::ok(&document);
        })
        .await;
        assert!(matches!(fetched, Err(FetchError::OtherIssuer)), "{issuer}");
        assert_eq!(idp.fetches(), 0);
    }
}

#[tokio::test]
async fn keys_are_not_fetched_in_clear_from_another_host() {
    for jwks_uri in ["http://192.0.2.1/jwks", "ftp://127.0.0.1/jwks", "file:///etc/jwks"] {
        let (fetched, _) = fetched(|idp| {
            let document = json!({"issuer": idp.issuer, "jwks_uri": jwks_uri});
            idp.published.lock().unwrap().discovery = Answer::ok(&document);
        })
        .await;
        assert!(matches!(fetched, Err(FetchError::Insecure)), "{jwks_uri}");
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (fetched, idp) = fetched(|idp| {
        let mut published = idp.published.lock().unwrap();
        published.discovery.status = "302 Found";
        published.discovery.headers = format!("location: {}/jwks\r\n", idp.issuer);
    })
    .await;
    assert!(matches!(fetched, Err(FetchError::Status { status: StatusCode::FOUND, .. })));
    assert_eq!(idp.fetches(), 0);
}

#[tokio::test]
async fn documents_are_read_up_to_their_limits() {
    // White space after a JSON document belongs to it.
    fn pad(answer: &mut Answer, bytes: usize) {
        let padding = bytes - answer.body.len();
        answer.body.push_str(&" ".repeat(padding));
    }
    for (discovery_bytes, jwks_bytes, limit) in [
        (DISCOVERY_BYTES_MAX, JWKS_BYTES_MAX, None),
        (DISCOVERY_BYTES_MAX + 1, JWKS_BYTES_MAX, Some(DISCOVERY_BYTES_MAX)),
        (DISCOVERY_BYTES_MAX, JWKS_BYTES_MAX + 1, Some(JWKS_BYTES_MAX)),
    ] {
        let (fetched, _) = fetched(|idp| {
            let mut published = idp.published.lock().unwrap();
            pad(&mut published.discovery, discovery_bytes);
            pad(&mut published.jwks, jwks_bytes);
        })
        .await;
        let exceeded = match fetched {
            Ok(_) => None,
            Err(FetchError::TooLarge { bytes_max, .. }) => Some(bytes_max),
            Err(other) => panic!("{other}"),
        };
        assert_eq!(exceeded, limit);
    }
}

#[tokio::test]
async fn a_private_ca_is_trusted_if_it_is_configured() {
    let (tls, certificate) = tls_server();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let issuer = format!("https://{}", listener.local_addr().unwrap());
    let discovery = json!({"issuer": issuer, "jwks_uri": format!("{issuer}/jwks")}).to_string();
    let server = std::thread::spawn(move || {
        // Two documents for the one who trusts, one failed handshake for the one who does not.
        for _ in 0..3 {
            serve_once(&listener, Arc::clone(&tls), &discovery);
        }
    });
    let jwks = |ca| {
        let source = DiscoveryClient::new(&IssuerConfig { ca, ..config(&issuer) }).unwrap();
        async move { source.fetch_jwks().await }
    };
    assert!(jwks(Some(certificate.into_bytes())).await.is_ok());
    assert!(matches!(jwks(None).await, Err(FetchError::Request { .. })));
    server.join().unwrap();
}

/// A TLS server's settings for this machine, and the certificate (PEM) to trust it by.
fn tls_server() -> (Arc<ServerConfig>, String) {
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    (Arc::new(tls), certified.cert.pem())
}

fn serve_once(listener: &std::net::TcpListener, tls: Arc<ServerConfig>, body: &str) {
    let (tcp, _) = listener.accept().unwrap();
    let mut stream = StreamOwned::new(ServerConnection::new(tls).unwrap(), tcp);
    let mut request = [0; 4096];
    if stream.read(&mut request).is_ok_and(|bytes| 0 < bytes) {
        let length = body.len();
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
    }
}

#[tokio::test]
async fn an_update_keeps_the_keys_of_unchanged_issuers_and_forgets_removed_ones() {
    let signer = ec("1");
    let (idp, other) = (Idp::start(&[&signer]).await, Idp::start(&[&signer]).await);
    let issuers = idp.known().await;
    let token = signer.sign("ES256", &claims(&idp.issuer));
    let first = issuers.verify(&token, now()).unwrap();

    let both = vec![config(&other.issuer), config(&idp.issuer)];
    issuers.update(both, &Handle::current()).unwrap();
    assert!(Arc::ptr_eq(&first, &issuers.verify(&token, now()).unwrap()));

    issuers.update(vec![config(&other.issuer)], &Handle::current()).unwrap();
    assert_eq!(issuers.verify(&token, now()), Err(TokenError::UnknownIssuer));
    assert_eq!(idp.fetches(), 1);
}

#[tokio::test]
async fn a_changed_audience_takes_effect_at_once_without_new_keys() {
    let signer = ec("1");
    let mut idp = Idp::start(&[&signer]).await;
    let issuers = idp.known().await;
    let token = signer.sign("ES256", &claims(&idp.issuer));
    issuers.verify(&token, now()).unwrap();
    idp.stop().await;

    let changed = IssuerConfig { audiences: vec!["new".to_owned()], ..config(&idp.issuer) };
    issuers.update(vec![changed], &Handle::current()).unwrap();
    assert_eq!(issuers.verify(&token, now()), Err(TokenError::Audience));
    let mut claims = claims(&idp.issuer);
    claims["aud"] = json!("new");
    issuers.verify(&signer.sign("ES256", &claims), now()).unwrap();
}

#[tokio::test]
async fn a_rejected_update_changes_nothing() {
    let signer = ec("1");
    let idp = Idp::start(&[&signer]).await;
    let issuers = idp.known().await;
    let good = config(&idp.issuer);
    let bad = |issuer: &str| vec![config(issuer), good.clone()];
    let runtime = Handle::current();
    let refused = |configs| issuers.update(configs, &runtime).unwrap_err();
    assert!(matches!(refused(bad("http://idp.example.org")), InvalidIssuer::Scheme));
    assert!(matches!(refused(bad("https://idp.example.org?a=b")), InvalidIssuer::QueryOrFragment));
    assert!(matches!(refused(bad("idp")), InvalidIssuer::Url(_)));
    assert!(matches!(refused(vec![good.clone(), good.clone()]), InvalidIssuer::Duplicate));
    let without_certificates = IssuerConfig { ca: Some(b"none".to_vec()), ..good.clone() };
    assert!(matches!(refused(vec![without_certificates]), InvalidIssuer::EmptyCa));
    issuers.verify(&signer.sign("ES256", &claims(&idp.issuer)), now()).unwrap();
}

#[tokio::test]
async fn dropping_the_issuers_ends_their_tasks() {
    let idp = Idp::start(&[&ec("1")]).await;
    let issuers = idp.known().await;
    let keyset = Arc::downgrade(&issuers.in_force.load()[&idp.issuer].jwks);
    drop(issuers);
    eventually(|| keyset.strong_count() == 0).await;
}
