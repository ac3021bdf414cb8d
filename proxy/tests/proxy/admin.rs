//! Health, metrics and explanations.

use crate::{
    actors::{MODEL, Speaks, sim},
    support::{LIMITS, ME, Proxy, key, now, nowhere, record, served, table},
};
use llm_contract::Table;
use llm_proxy::{
    admin,
    auth::{key_verifier::KeyVerifier, oidc::Issuers},
    gateway::Gateway,
    request::explain::Explanation,
    stage::authenticate::Authenticator,
    upstream::AddressPolicy,
};
use llm_sim::Config;
use serde_json::{Value, json};
use std::{future::IntoFuture, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};

/// The admin listener of a gateway, until it is dropped.
struct Admin {
    url: String,
    _serving: JoinSet<std::io::Result<()>>,
}

impl Admin {
    async fn of(gateway: &Arc<Gateway>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut serving = JoinSet::new();
        serving.spawn(axum::serve(listener, admin::router(Arc::clone(gateway))).into_future());
        Self { url, _serving: serving }
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        reqwest::get(format!("{}{path}", self.url)).await.unwrap()
    }

    async fn explain(&self, key: &str, model: &str) -> (u16, String) {
        let answer = self.get(&format!("/explain?key={key}&model={model}")).await;
        assert_eq!(answer.status(), 200);
        let Explanation { status, steps } = answer.json().await.unwrap();
        let last = steps.last().unwrap();
        assert_eq!(last.passes, status == 200);
        (status, format!("{}: {}", last.stage, last.because))
    }
}

fn empty() -> Arc<Gateway> {
    let authenticator = Authenticator {
        key_verifier: KeyVerifier::new(&[7; _], None),
        issuers: Issuers::new(1000),
    };
    Gateway::new(authenticator, LIMITS, AddressPolicy::AllowAll, mpsc::channel(1).0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_alive_at_once_and_ready_with_its_first_table() {
    let gateway = empty();
    let admin = Admin::of(&gateway).await;
    assert_eq!(admin.get("/healthz").await.status(), 200);
    assert_eq!(admin.get("/readyz").await.status(), 503);
    let told = admin.explain(ME, MODEL).await;
    assert_eq!(told, (503, "authenticate: no table is in force yet".to_owned()));
    let text = table(json!([])).to_string();
    gateway.update(Table::parse(text.as_bytes()).unwrap()).unwrap();
    assert_eq!(admin.get("/readyz").await.status(), 200);
    gateway.drain.cancel();
    assert_eq!(admin.get("/readyz").await.status(), 503);
    assert_eq!(admin.get("/healthz").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_in_the_format_they_say_and_under_the_names_that_dashboards_use() {
    let sim = sim(Config::default()).await;
    let routes = json!([served(MODEL, &[sim.url()]), served("down", &[nowhere()])]);
    let mut proxy = Proxy::start(table(routes)).await;
    let admin = Admin::of(&proxy.gateway).await;
    proxy.chat("down").await;
    proxy.chat(MODEL).await;
    proxy.usage().await;
    proxy.until_metric("llm_proxy_rejections_total{").await;
    let answer = admin.get("/metrics").await;
    assert_eq!(
        answer.headers()["content-type"],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let text = answer.text().await.unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");
    for name in [
        "llm_proxy_requests counter",
        "llm_proxy_rejections counter",
        "llm_proxy_time_to_first_token_seconds histogram",
        "llm_proxy_request_duration_seconds histogram",
        "llm_proxy_tokens counter",
        "llm_proxy_failed_attempts counter",
        "llm_proxy_requests_running gauge",
        "llm_proxy_usage_events_lost counter",
        "llm_proxy_tables_refused counter",
        "llm_proxy_table_revision gauge",
        "llm_proxy_connections_refused counter",
    ] {
        assert!(text.contains(&format!("# TYPE {name}\n")), "{name}\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_names_the_stage_that_refuses() {
    let sim = sim(Config::default()).await;
    let mut private = served("private", &[sim.url()]);
    private["access"] = json!({ "groups": ["ml-team"] });
    let mut table = table(json!([served(MODEL, &[sim.url()]), private, served("down", &[])]));
    let hour = Duration::from_secs(3600);
    let mut narrow = record("narrownarrow", &["ml-team"]);
    narrow["models"] = json!([MODEL]);
    let mut expired = record("expiredexpir", &["ml-team"]);
    expired["expiresAt"] = json!(now() - hour);
    let mut early = record("earlyearlyea", &["ml-team"]);
    early["notBefore"] = json!(now() + hour);
    let mut suspended = record("suspendsuspe", &["ml-team"]);
    suspended["suspended"] = true.into();
    let stranger = record("strangerstra", &["others"]);
    let me = record(ME, &["ml-team"]);
    table["keys"] = json!([me, narrow, expired, early, suspended, stranger]);
    let proxy = Proxy::start(table).await;
    let admin = Admin::of(&proxy.gateway).await;
    for (key, model, status, because) in [
        (ME, MODEL, 200, "pick: 1 of 1 endpoints are ready"),
        (ME, "private", 200, "pick: 1 of 1 endpoints are ready"),
        (ME, "nobody-serves-this", 404, "resolve: no route serves this model"),
        (ME, "down", 503, "pick: 0 of 0 endpoints are ready"),
        ("narrownarrow", "private", 403, "authorize: the key's models are [tiny]"),
        ("strangerstra", "private", 403, "authorize: alice is in none of [ml-team]"),
        ("expiredexpir", MODEL, 401, "authenticate: the key has expired"),
        ("earlyearlyea", MODEL, 401, "authenticate: the key is not valid yet"),
        ("suspendsuspe", MODEL, 401, "authenticate: the key is suspended"),
        ("nobodynobody", MODEL, 401, "authenticate: no key of this id is in force here"),
        ("not a key id", MODEL, 401, "authenticate: no key of this id is in force here"),
    ] {
        let told = admin.explain(key, model).await;
        assert_eq!(told, (status, because.to_owned()), "{key} {model}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_agrees_with_what_a_request_meets() {
    let sim = sim(Config::default()).await;
    let mut private = served("private", &[sim.url()]);
    private["access"] = json!({ "groups": ["nobody-is-in-this"] });
    let proxy = Proxy::start(table(json!([served(MODEL, &[sim.url()]), private]))).await;
    let admin = Admin::of(&proxy.gateway).await;
    for model in [MODEL, "private", "nobody-serves-this"] {
        let (status, _) = admin.explain(ME, model).await;
        assert_eq!(proxy.chat(model).await.status(), status, "{model}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_the_admin_listener_tells_is_secret() {
    let sim = sim(Config::default()).await;
    let mut with_secret = served(MODEL, &[sim.url()]);
    with_secret["upstream"]["served"]["apiKey"] = "sk-canary".into();
    let mut table = table(json!([with_secret]));
    let hash = table["keys"][0]["hash"].as_str().unwrap().to_owned();
    table["revision"] = 7.into();
    let proxy = Proxy::start(table).await;
    let admin = Admin::of(&proxy.gateway).await;
    proxy.chat(MODEL).await;
    proxy.until_metric(r#"end="complete"} 1"#).await;
    let clear = key(ME).reveal().to_owned();
    let mut told = String::new();
    for path in ["/healthz", "/readyz", "/metrics", &format!("/explain?key={ME}&model={MODEL}")] {
        let answer = admin.get(path).await;
        told.push_str(&format!("{:?}", answer.headers()));
        told.push_str(&answer.text().await.unwrap());
    }
    // A whole key by mistake is not an id, and is not repeated.
    told.push_str(
        &admin.get(&format!("/explain?key={clear}&model={MODEL}")).await.text().await.unwrap(),
    );
    for secret in ["sk-canary", &hash, &clear, hash.rsplit('$').next().unwrap()] {
        assert!(!told.contains(secret), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_paths_are_not_on_the_entries() {
    let proxy = Proxy::start(table(json!([]))).await;
    for path in ["/healthz", "/readyz", "/metrics", "/explain?key=a&model=b"] {
        for at in [proxy.external, proxy.internal] {
            let answer = Speaks::Http1.client().get(format!("http://{at}{path}")).send().await;
            let answer = answer.unwrap();
            assert_eq!(answer.status(), 404, "{path}");
            let error: Value = answer.json().await.unwrap();
            assert_eq!(error["error"]["code"], "unknown_url", "{path}");
        }
    }
}
