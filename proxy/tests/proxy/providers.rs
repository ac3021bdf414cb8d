//! What providers see of the gateway, what callers see of providers, and whom the gateway trusts.

use crate::support::{Proxy, THEIRS, chat, provided, provider};
use llm_sim::{Config, Sim};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::Response;
use rustls::{
    crypto::ring,
    pki_types::PrivateKeyDer,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use secrecy::SecretString;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};

const MODEL: &str = "tiny";
const CHAT: &str = "/v1/chat/completions";
const CANARY: &str = "canary";

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_called_by_its_host_and_prefix_with_only_the_model_changed() {
    let sim = provider(Config::default()).await;
    let url = format!("{}/openai/v9/", sim.url());
    let proxy = Proxy::start(provided("org/tiny", &url, Some("their/tiny:2"))).await;
    let body = "{ \"messages\":[{\"role\" :\"user\",\"content\":\"\\u00e9 model \\\"model\\\"\"}],\
                \t\"model\"\n:\"org\\/tiny\", \"max_tokens\":1e0,\"x\":{\"model\":\"org/tiny\"}}\r\n";
    proxy.post(&format!("{CHAT}?beta=true&secret=1"), body).await;
    let received = &sim.received()[0];
    assert_eq!(received.path_and_query, "/openai/v9/chat/completions");
    assert_eq!(received.headers["host"], sim.addr().to_string());
    assert_eq!(received.headers["authorization"], format!("Bearer {THEIRS}"));
    assert_eq!(received.body, body.replacen(r#""org\/tiny""#, r#""their/tiny:2""#, 1));
}

/// A server that answers every request with the same bytes, until it is dropped.
async fn scripted(answer: &'static str) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    server.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut part = [0; 64 * 1024];
            let _ = stream.read(&mut part).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (url, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_s_account_is_not_shown_to_callers() {
    let (url, _server) = scripted(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nset-cookie: canary=1\r\n\
         Set-Cookie: canary=2\r\nserver: canary\r\nopenai-organization: canary\r\n\
         OpenAI-Project: canary\r\nx-ratelimit-remaining-tokens: canary\r\n\
         anthropic-ratelimit-tokens-limit: canary\r\nstrict-transport-security: canary\r\n\
         alt-svc: canary\r\nvia: canary\r\naccess-control-allow-origin: canary\r\n\
         x-request-id: canary\r\nanthropic-organization-id: canary\r\n\
         openai-processing-ms: 12\r\ncontent-length: 2\r\n\r\n{}",
    )
    .await;
    let proxy = Proxy::start(provided(MODEL, &url, None)).await;
    let answer = proxy.chat(MODEL).await;
    assert_eq!(answer.status(), 200);
    let leaked = |value: &http::HeaderValue| value.to_str().unwrap().contains(CANARY);
    let leaks: Vec<_> = answer.headers().iter().filter(|(_, value)| leaked(value)).collect();
    assert!(leaks.is_empty(), "{leaks:?}");
    assert_eq!(answer.headers()["openai-processing-ms"], "12");
    assert!(answer.headers()["x-request-id"].to_str().unwrap().starts_with("req-"));
}

async fn assert_hidden(answer: Response) {
    assert_eq!(answer.status(), 502);
    assert!(!answer.headers().contains_key("www-authenticate"));
    let body = answer.text().await.unwrap();
    assert!(body.contains("the model's server rejects the gateway's credential"), "{body}");
    assert!(!body.contains(THEIRS) && !body.contains("canary"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_refuses_our_credential_is_not_the_caller_s_fault() {
    let api_key = Some(SecretString::from("sk-another"));
    let sim = provider(Config { api_key, ..Config::default() }).await;
    let proxy = Proxy::start(provided(MODEL, &sim.url(), None)).await;
    for stream in [false, true] {
        assert_hidden(proxy.post(CHAT, chat(MODEL, stream)).await).await;
    }
    for answer in [
        "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: canary\r\ncontent-length: 6\r\n\r\ncanary",
        "HTTP/1.1 403 Forbidden\r\ncontent-length: 26\r\n\r\nno: sk-theirs-0123456789 !!",
        "HTTP/1.1 400 Bad Request\r\ncontent-length: 53\r\n\r\n\
         {\"error\":{\"message\":\"canary sk-theirs-0123456789 no\"}}",
    ] {
        let (url, _server) = scripted(answer).await;
        let proxy = Proxy::start(provided(MODEL, &url, None)).await;
        assert_hidden(proxy.chat(MODEL).await).await;
    }
}

/// A certificate authority of our own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A provider whose certificate says these names, and the server names it is asked for.
    async fn provider(&self, mut params: CertificateParams, names: &[&str]) -> Secured {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        params.subject_alt_names = CertificateParams::new(names).unwrap().subject_alt_names;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let key = ring::sign::any_supported_type(&key).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let certified = CertifiedKey::new(vec![certificate.der().clone()], key);
        let resolver = Resolver { certified: Arc::new(certified), asked: Arc::clone(&asked) };
        let tls = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(resolver));
        // Whichever loopback address the name has here.
        let mut addresses = tokio::net::lookup_host("localhost:0").await.unwrap();
        let bind = SocketAddr::new(addresses.next().unwrap().ip(), 0);
        let sim = provider(Config { bind, tls: Some(Arc::new(tls)), ..Config::default() }).await;
        Secured { sim, asked }
    }
}

struct Secured {
    sim: Sim,
    asked: Arc<Mutex<Vec<Option<String>>>>,
}

#[derive(Debug)]
struct Resolver {
    certified: Arc<CertifiedKey>,
    asked: Arc<Mutex<Vec<Option<String>>>>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.asked.lock().unwrap().push(hello.server_name().map(str::to_owned));
        Some(Arc::clone(&self.certified))
    }
}

async fn status(url: &str, authority: Option<&Authority>) -> u16 {
    let mut table = provided(MODEL, url, None);
    if let Some(Authority(issuer)) = authority {
        table["providers"][0]["caPem"] = issuer.pem().into();
    }
    let answer = Proxy::start(table).await.chat(MODEL).await;
    let status = answer.status().as_u16();
    assert_eq!(status == 502, answer.text().await.unwrap().contains("upstream_error"));
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_trusted_by_its_authority_and_name_alone() {
    let authority = Authority::new();
    let params = CertificateParams::default;
    let good = authority.provider(params(), &["localhost"]).await;
    let url = format!("https://localhost:{}", good.sim.addr().port());
    assert_eq!(status(&url, Some(&authority)).await, 200);
    assert_eq!(good.asked.lock().unwrap()[0].as_deref(), Some("localhost"));
    let received = good.sim.received();
    assert_eq!(received[0].headers["host"], url.trim_start_matches("https://"));

    assert_eq!(status(&url, None).await, 502, "the system does not know the authority");
    assert_eq!(status(&url, Some(&Authority::new())).await, 502, "another authority");
    assert_eq!(status(&good.sim.url(), Some(&authority)).await, 502, "an address is no name");
    let other = authority.provider(params(), &["localhost.example"]).await;
    let url = format!("https://localhost:{}", other.sim.addr().port());
    assert_eq!(status(&url, Some(&authority)).await, 502, "another name");
    let mut expired = params();
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let expired = authority.provider(expired, &["localhost"]).await;
    let url = format!("https://localhost:{}", expired.sim.addr().port());
    assert_eq!(status(&url, Some(&authority)).await, 502, "expired");
    assert_eq!(good.sim.received().len() + other.sim.received().len(), 1);
    assert!(expired.sim.received().is_empty());
}
