//! The table that an operator pushes is applied, whatever happens to its stream.

use crate::{
    actors::{CHAT, MODEL, Speaks, ask, sim},
    operator::{Authority, NAME, Operator, TOKEN, key_name, message, routes},
    support::{LIMITS, ME, PATIENCE, Proxy, bearer, eventually, record, served, table},
};
use futures::FutureExt as _;
use llm_contract::{
    Table,
    push::{Change, Digest, Name, wire},
};
use llm_proxy::control_plane::{
    TableApplier, client,
    config::{ControlConfig, ControlTimeouts},
};
use llm_sim::{Config, Sim};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    future::ready,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinSet, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// ControlTimeouts that tests can reach.
pub(crate) const TIMEOUTS: ControlTimeouts = ControlTimeouts {
    connect: PATIENCE,
    response: PATIENCE,
    backoff_min: Duration::from_millis(5),
    backoff_max: Duration::from_millis(50),
    backoff_reset: Duration::from_millis(20),
    ping: PATIENCE,
    update: Duration::from_secs(3600),
    resolve_interval: Duration::from_millis(20),
    key_usage_interval: Duration::from_millis(20),
};

/// A proxy with a control plane client.
pub(crate) struct Following {
    pub(crate) proxy: Proxy,
    pub(crate) applier: Arc<TableApplier>,
    replicas: Arc<Mutex<BTreeSet<SocketAddr>>>,
    files: TempDir,
}

impl Following {
    pub(crate) async fn start(authority: &Authority, operators: &[&Operator]) -> Self {
        let addresses = operators.iter().map(|it| it.address);
        Self::with(&authority.pem(), addresses.collect(), |_| {}).await
    }

    /// Starts with the cached table of this folder.
    pub(crate) async fn cached_in(
        authority: &Authority,
        operators: &[&Operator],
        folder: &Path,
    ) -> Self {
        let addresses = operators.iter().map(|it| it.address);
        let nothing = |_: &mut ControlConfig| {};
        Self::begin(&authority.pem(), addresses.collect(), nothing, Some(folder)).await
    }

    /// Stops the proxy after pending writes.
    pub(crate) async fn end(self) {
        let Self { proxy, applier, .. } = self;
        let Proxy { gateway, server, .. } = proxy;
        server.stop(Duration::ZERO).await;
        drop(applier);
        gateway.background.close();
        tokio::time::timeout(PATIENCE, gateway.background.wait()).await.unwrap();
    }

    async fn with(
        authority: &str,
        addresses: BTreeSet<SocketAddr>,
        change: impl FnOnce(&mut ControlConfig),
    ) -> Self {
        Self::begin(authority, addresses, change, None).await
    }

    #[expect(clippy::unused_async, reason = "says that it must be called on a runtime")]
    async fn begin(
        authority: &str,
        addresses: BTreeSet<SocketAddr>,
        change: impl FnOnce(&mut ControlConfig),
        cached_in: Option<&Path>,
    ) -> Self {
        let proxy = Proxy::without_table(LIMITS);
        let files = tempfile::tempdir().unwrap();
        fs::write(files.path().join("ca.crt"), authority).unwrap();
        fs::write(files.path().join("token"), format!("{TOKEN}\n")).unwrap();
        let replicas = Arc::new(Mutex::new(addresses));
        let mut control = control(files.path(), Arc::clone(&replicas));
        change(&mut control);
        let applier = TableApplier::new(Arc::clone(&proxy.gateway), control.bytes_max);
        if let Some(folder) = cached_in {
            applier.enable_cache(folder).unwrap();
        }
        let following = client::run(Arc::clone(&applier), control);
        let drain = proxy.gateway.drain.clone();
        proxy.gateway.background.spawn(drain.run_until_cancelled_owned(following));
        Self { proxy, applier, replicas, files }
    }

    fn metric(&self, line: &str) -> bool {
        self.proxy.gateway.metrics.text().contains(&format!("\nllm_proxy_{line}\n"))
    }
}

/// Clients that send requests in a loop and expect each to succeed.
pub(crate) struct Load {
    done: CancellationToken,
    clients: JoinSet<()>,
    answered: Arc<AtomicUsize>,
}

impl Load {
    pub(crate) fn on(url: &str, clients: usize) -> Self {
        let (done, answered) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        let client = |number: usize| {
            let request = Speaks::BOTH[number % 2].client().post(url);
            let body = ask(CHAT, &json!({ "stream": number.is_multiple_of(3) }));
            let request = request.header("authorization", bearer()).json(&body);
            let (done, answered) = (done.clone(), Arc::clone(&answered));
            async move {
                // Once at least, however late it begins.
                loop {
                    let reply = request.try_clone().unwrap().send().await.unwrap();
                    assert_eq!(reply.status(), 200);
                    let text = reply.text().await.unwrap();
                    assert!(text.ends_with("[DONE]\n\n") || text.ends_with('}'), "{text}");
                    answered.fetch_add(1, Ordering::Relaxed);
                    if done.is_cancelled() {
                        return;
                    }
                }
            }
        };
        Self { clients: (0..clients).map(client).collect(), done, answered }
    }

    /// ControlTimeouts until so many requests more were answered.
    pub(crate) async fn until_more(&self, more: usize) {
        let enough = self.answered.load(Ordering::Relaxed) + more;
        eventually(|| enough <= self.answered.load(Ordering::Relaxed)).await;
    }

    /// Ends; fails if any request has failed.
    pub(crate) async fn end(mut self) {
        self.done.cancel();
        while let Some(client) = self.clients.join_next().await {
            client.unwrap();
        }
    }
}

fn control(files: &Path, replicas: Arc<Mutex<BTreeSet<SocketAddr>>>) -> ControlConfig {
    ControlConfig {
        address: format!("https://{NAME}:9443").parse().unwrap(),
        resolver: Arc::new(move || ready(Ok(replicas.lock().unwrap().clone())).boxed()),
        server_name: NAME.try_into().unwrap(),
        authorities: Some(files.join("ca.crt")),
        token: Some(files.join("token")),
        proxy: "llm-proxy-0".to_owned(),
        timeouts: TIMEOUTS,
        bytes_max: Table::BYTES_MAX,
    }
}

/// The document of a custom resource with one model.
pub(crate) fn model(name: &str, sim: &Sim) -> (Name, Value) {
    (routes(name), json!({ "routes": [served(name, &[sim.url()])] }))
}

/// The record of the callers' key.
pub(crate) fn me() -> (Name, Value) {
    (key_name(ME), record(ME, &["ml-team"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_and_then_a_delta_are_applied() {
    let (authority, sim) = (Authority::new(), sim(Config::default()).await);
    let operator = Operator::start(&authority).await;
    let following = Following::start(&authority, &[&operator]).await;
    assert!(!following.proxy.gateway.tables.is_loaded());
    operator.put([me(), model(MODEL, &sim)]);
    operator.until_applied().await;
    assert_eq!(following.proxy.chat(MODEL).await.status(), 200);
    assert_eq!(following.proxy.chat("other").await.status(), 404);
    operator.put([(
        routes("other"),
        json!({ "routes": [{
        "model": "other", "access": { "public": true },
        "upstream": { "served": { "endpoints": [sim.url()], "model": MODEL } },
    }] }),
    )]);
    operator.until_applied().await;
    assert_eq!(following.proxy.chat("other").await.status(), 200);
    operator.remove(routes(MODEL));
    operator.until_applied().await;
    assert_eq!(following.proxy.chat(MODEL).await.status(), 404);
    let [stream] = &operator.streams()[..] else { panic!("one stream") };
    assert_eq!((stream.snapshots, stream.updates), (1, 3));
    assert_eq!(stream.hello.proxy, "llm-proxy-0");
    assert!(stream.hello.digest.is_empty() && stream.hello.follow);
    let numbers: Vec<_> = stream.reports.iter().map(|it| it.sequence).collect();
    assert_eq!(numbers, [0, 1, 2, 3], "the initial report, and an acknowledgement of each update");
    assert!(following.metric("control_connected 1") && following.metric("control_updates_total 3"));
    for line in [r#"kind="routes"} 1"#, r#"kind="key"} 1"#, r#"kind="issuers"} 0"#] {
        assert!(following.metric(&format!("table_resources{{{line}")), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_table_is_applied_after_its_last_chunk() {
    let (authority, sim) = (Authority::new(), sim(Config::default()).await);
    let operator = Operator::with_chunks(&authority, 1).await;
    let following = Following::start(&authority, &[&operator]).await;
    operator.put([me(), model(MODEL, &sim), model("b", &sim), model("c", &sim)]);
    operator.until_applied().await;
    assert_eq!(following.proxy.chat(MODEL).await.status(), 200);
    let reports = operator.streams()[0].reports.len();
    assert_eq!(reports, 2, "earlier chunks are not acknowledged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_valid_until_the_operator_suspends_or_removes_it() {
    let (authority, sim) = (Authority::new(), sim(Config::default()).await);
    let operator = Operator::start(&authority).await;
    let following = Following::start(&authority, &[&operator]).await;
    operator.put([me(), model(MODEL, &sim)]);
    operator.until_applied().await;
    assert_eq!(following.proxy.chat(MODEL).await.status(), 200);
    let mut suspended = record(ME, &["ml-team"]);
    suspended["suspended"] = true.into();
    for ended in [Some(suspended), Some(json!({ "id": "unreadable" })), None] {
        match ended {
            Some(document) => operator.put([(key_name(ME), document)]),
            None => operator.remove(key_name(ME)),
        }
        operator.until_applied().await;
        assert_eq!(following.proxy.chat(MODEL).await.status(), 401);
        operator.put([me()]);
        operator.until_applied().await;
        assert_eq!(following.proxy.chat(MODEL).await.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_document_leaves_the_last_good_one_and_its_reason_is_reported() {
    let (authority, sim) = (Authority::new(), sim(Config::default()).await);
    let operator = Operator::start(&authority).await;
    let following = Following::start(&authority, &[&operator]).await;
    operator.put([me(), model(MODEL, &sim)]);
    operator.until_applied().await;
    let good = operator.documents().hash(&routes(MODEL)).unwrap();
    let access = json!({ "routes": [{ "model": MODEL, "access": {}, "upstream":
        { "served": { "endpoints": [sim.url()] } } }] });
    operator.put([(routes(MODEL), access)]);
    operator.until_applied().await;
    assert_eq!(following.proxy.chat(MODEL).await.status(), 200);
    let report = operator.last_report().unwrap();
    let refused = operator.documents().hash(&routes(MODEL)).unwrap();
    assert_eq!(report.rejected[0].hash, refused.get());
    let reason = r#"route "tiny": `access`: say who may use it: `groups: [..]` or `public: true`"#;
    assert_eq!(report.rejected[0].reason, reason);
    assert_eq!(report.routes[0].hash, good.get());
    assert!(following.metric("control_resources_refused 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_names_the_owner_of_a_model() {
    let (authority, sim) = (Authority::new(), sim(Config::default()).await);
    let operator = Operator::start(&authority).await;
    let following = Following::start(&authority, &[&operator]).await;
    operator.put([me(), model(MODEL, &sim)]);
    operator.until_applied().await;
    operator.put([(routes("second"), model(MODEL, &sim).1)]);
    operator.until_applied().await;
    let refusal = operator.last_report().unwrap().rejected.remove(0);
    assert_eq!(refusal.name, "models/second");
    assert_eq!(refusal.reason, r#"the model "tiny" is taken by models/tiny"#);
    operator.remove(routes(MODEL));
    operator.until_applied().await;
    assert_eq!(following.proxy.chat(MODEL).await.status(), 200);
    assert!(following.metric("control_resources_refused 0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_disconnects_fail_no_request_and_cause_no_snapshot() {
    let (authority, sim) = (Authority::new(), sim(Config::default()).await);
    let operator = Operator::start(&authority).await;
    let following = Following::start(&authority, &[&operator]).await;
    operator.put([me(), model(MODEL, &sim)]);
    operator.until_applied().await;
    let load = Load::on(&following.proxy.url(CHAT), 4);
    let mut rounds = tokio::time::interval(Duration::from_millis(50));
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for round in 0..20 {
        rounds.tick().await;
        operator.cut();
        if round % 4 == 0 {
            operator.put([model(&format!("m{round}"), &sim)]);
            // On a machine that is busy a stream takes longer than a round to begin.
            operator.until_streams(2 + round / 4).await;
        }
    }
    operator.until_applied().await;
    load.until_more(20).await;
    load.end().await;
    let streams = operator.streams();
    assert_eq!(streams.iter().map(|it| it.snapshots).sum::<usize>(), 1);
    assert!(streams[1..].iter().all(|it| it.hello.digest.len() == Digest::BYTES));
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_changes_a_second_fail_no_request() {
    let (authority, one, two) =
        (Authority::new(), sim(Config::default()).await, sim(Config::default()).await);
    let operator = Operator::start(&authority).await;
    let following = Following::start(&authority, &[&operator]).await;
    operator.put([me(), model(MODEL, &one)]);
    operator.until_applied().await;
    let load = Load::on(&following.proxy.url(CHAT), 4);
    load.until_more(20).await;
    let mut rounds = tokio::time::interval(Duration::from_millis(100));
    let mut other = record("otherotherot", &[]);
    for round in 0..20 {
        rounds.tick().await;
        other["suspended"] = (round % 2 == 0).into();
        let model = model(MODEL, if round % 2 == 0 { &one } else { &two });
        operator.put([model, (key_name("otherotherot"), other.clone())]);
    }
    operator.until_applied().await;
    load.until_more(20).await;
    load.end().await;
    assert!(one.wait_until(|it| 0 < it.received).now_or_never().is_some());
    assert!(two.wait_until(|it| 0 < it.received).now_or_never().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_replica_has_the_subscription_and_the_others_get_reports() {
    let (authority, sim) = (Authority::new(), sim(Config::default()).await);
    let replicas = [Operator::start(&authority).await, Operator::start(&authority).await];
    let following = Following::start(&authority, &[&replicas[0], &replicas[1]]).await;
    replicas.iter().for_each(|it| it.put([me(), model(MODEL, &sim)]));
    for replica in &replicas {
        replica.until_applied().await;
    }
    let follows = |it: &Operator| it.streams().last().unwrap().hello.follow;
    assert_ne!(follows(&replicas[0]), follows(&replicas[1]));
    let [dies, stays] = if follows(&replicas[0]) {
        replicas
    } else {
        let [first, second] = replicas;
        [second, first]
    };
    drop(dies);
    eventually(|| follows(&stays)).await;
    stays.put([model("m2", &sim)]);
    stays.until_applied().await;
    assert_eq!(following.proxy.chat(MODEL).await.status(), 200);
    let wholes: usize = stays.streams().iter().map(|it| it.snapshots).sum();
    assert_eq!(wholes, 0, "it continues from the table of the former replica");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_no_longer_resolved_is_replaced() {
    let authority = Authority::new();
    let (old, new) = (Operator::start(&authority).await, Operator::start(&authority).await);
    let following = Following::start(&authority, &[&old]).await;
    [&old, &new].iter().for_each(|it| it.put([me()]));
    old.until_applied().await;
    *following.replicas.lock().unwrap() = [new.address].into();
    new.put([(key_name("otherotherot"), record("otherotherot", &[]))]);
    new.until_applied().await;
    assert!(new.streams().iter().any(|it| it.hello.follow));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unresponsive_replica_does_not_block_others() {
    let authority = Authority::new();
    let (operator, mute) =
        (Operator::start(&authority).await, TcpListener::bind("127.0.0.1:0").await.unwrap());
    operator.put([me()]);
    let addresses = [operator.address, mute.local_addr().unwrap()].into();
    let _following = Following::with(&authority.pem(), addresses, |_| {}).await;
    operator.until_applied().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_operator_is_disconnected() {
    let authority = Authority::new();
    let operator = Operator::start(&authority).await;
    operator.put([me()]);
    let short = |control: &mut ControlConfig| control.timeouts.update = Duration::from_millis(50);
    let _following = Following::with(&authority.pem(), [operator.address].into(), short).await;
    operator.until_streams(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_update_is_rejected_and_a_snapshot_requested() {
    let (authority, sim) = (Authority::new(), sim(Config::default()).await);
    let operator = Operator::start(&authority).await;
    let following = Following::start(&authority, &[&operator]).await;
    operator.put([me(), model(MODEL, &sim)]);
    operator.until_applied().await;
    let here = operator.documents().digest().to_vec();
    let removal = Change { upserts: Vec::new(), removals: vec![key_name(ME)] };
    let wrong_digest = wire::Update {
        sequence: 2,
        from: here.clone(),
        digest: vec![7; Digest::BYTES],
        ..message(removal.clone())
    };
    let unknown_base = wire::Update { from: vec![7; Digest::BYTES], ..wrong_digest.clone() };
    let short_digest = wire::Update { digest: vec![7], ..wrong_digest.clone() };
    let interrupted = vec![
        wire::Update { more: true, ..wrong_digest.clone() },
        wire::Update { sequence: 3, ..wrong_digest.clone() },
    ];
    for messages in [vec![wrong_digest], vec![unknown_base], vec![short_digest], interrupted] {
        let before = operator.streams().len();
        operator.send_raw(messages);
        operator.until_streams(before + 1).await;
        eventually(|| operator.streams().last().unwrap().snapshots == 1).await;
        assert!(operator.streams().last().unwrap().hello.digest.is_empty());
        assert_eq!(following.proxy.chat(MODEL).await.status(), 200);
    }
    assert!(following.metric("control_updates_refused_total 4"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_too_large_is_rejected() {
    let (authority, sim) = (Authority::new(), sim(Config::default()).await);
    let operator = Operator::with_chunks(&authority, 2).await;
    let small = |control: &mut ControlConfig| control.bytes_max = 2000;
    let following = Following::with(&authority.pem(), [operator.address].into(), small).await;
    operator.put([me(), model(MODEL, &sim)]);
    operator.until_applied().await;
    let many = (0..20).map(|number| model(&format!("m{number}"), &sim));
    operator.put(many);
    operator.until_streams(3).await;
    assert_eq!(following.proxy.chat(MODEL).await.status(), 200);
    assert!(!following.metric("control_updates_refused_total 0"));
    (0..20).for_each(|number| operator.remove(routes(&format!("m{number}"))));
    operator.put([model("m", &sim)]);
    operator.until_applied().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_of_another_authority_is_not_trusted() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let operator = Operator::start(&theirs).await;
    operator.put([me()]);
    let addresses = BTreeSet::from([operator.address]);
    let following = Following::with(&ours.pem(), addresses, |_| {}).await;
    // Meanwhile a trusted operator is reached.
    let other = Operator::start(&ours).await;
    other.put([me()]);
    following.replicas.lock().unwrap().insert(other.address);
    other.until_applied().await;
    assert!(operator.streams().is_empty());
    assert_eq!(operator.refused(), 0, "no token was sent to it");
    // A bundle with both roots is loaded without a restart.
    let both = format!("{}{}", ours.pem(), theirs.pem());
    fs::write(following.files.path().join("ca.crt"), both).unwrap();
    operator.until_streams(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_reloaded_for_each_connection() {
    let authority = Authority::new();
    let operator = Operator::start(&authority).await;
    operator.put([me()]);
    let following = Following::start(&authority, &[&operator]).await;
    operator.until_applied().await;
    operator.expect_token("next");
    operator.cut();
    eventually(|| 0 < operator.refused()).await;
    assert_eq!(operator.streams().len(), 1);
    eventually(|| following.metric("control_connected 0")).await;
    fs::write(following.files.path().join("token"), "next").unwrap();
    operator.until_streams(2).await;
    assert_eq!(following.proxy.chat("nothing").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn issuers_and_settings_are_applied() {
    let authority = Authority::new();
    let operator = Operator::start(&authority).await;
    let following = Following::start(&authority, &[&operator]).await;
    let issuers = Name::new(llm_contract::push::Kind::Issuers, "");
    let settings = Name::new(llm_contract::push::Kind::Settings, "");
    let issuer = json!({ "issuer": "http://127.0.0.1:1/realm", "audiences": ["llm"] });
    let origins = json!({ "corsOrigins": ["https://chat.example"] });
    operator.put([(issuers.clone(), json!([issuer])), (settings.clone(), origins.clone())]);
    operator.until_applied().await;
    let cors = || following.proxy.gateway.tables.snapshot().settings.cors.clone();
    assert_ne!(cors(), llm_contract::CorsOrigins::Any);
    operator.put([(issuers.clone(), json!([issuer, issuer]))]);
    operator.until_applied().await;
    let refusal = operator.last_report().unwrap().rejected.remove(0);
    assert_eq!(refusal.reason, "the issuer is configured twice");
    operator.remove(issuers);
    operator.remove(settings);
    operator.until_applied().await;
    assert_eq!(cors(), llm_contract::CorsOrigins::Any);
}

#[tokio::test(flavor = "multi_thread")]
async fn key_usage_is_reported_once_an_hour() {
    let (authority, sim) = (Authority::new(), sim(Config::default()).await);
    let followed = Operator::start(&authority).await;
    followed.put([me(), model(MODEL, &sim)]);
    let following = Following::start(&authority, &[&followed]).await;
    followed.until_applied().await;
    for _ in 0..3 {
        assert_eq!(following.proxy.chat(MODEL).await.status(), 200);
    }
    let used = || followed.streams().into_iter().flat_map(|seen| seen.used).collect::<Vec<_>>();
    eventually(|| !used().is_empty()).await;
    assert_eq!(following.proxy.chat(MODEL).await.status(), 200);
    followed.put([model("other", &sim)]);
    followed.until_applied().await;
    // Once, unless a new hour has just begun.
    let used = used();
    assert!(
        used.len() <= 2 && used.iter().all(|it| it.id == ME && it.hour % 3600 == 0),
        "{used:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_without_an_external_entry_does_not_exist_for_keys() {
    let (authority, sim) = (Authority::new(), sim(Config::default()).await);
    let operator = Operator::start(&authority).await;
    let (name, mut inside) = model(MODEL, &sim);
    inside["routes"][0]["entries"] = json!({"external": false, "internal": true});
    operator.put([me(), (name, inside)]);
    let following = Following::start(&authority, &[&operator]).await;
    operator.until_applied().await;
    assert_eq!(following.proxy.chat(MODEL).await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_page_shows_no_secret() {
    let (authority, sim) = (Authority::new(), sim(Config::default()).await);
    let operator = Operator::start(&authority).await;
    let following = Following::start(&authority, &[&operator]).await;
    let mut with_secret = served(MODEL, &[sim.url()]);
    with_secret["upstream"]["served"]["apiKey"] = "sk-canary".into();
    operator.put([
        me(),
        (routes(MODEL), json!({ "routes": [with_secret] })),
        (routes("odd"), json!({ "routes": "sk-canary" })),
    ]);
    operator.until_applied().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/table", listener.local_addr().unwrap());
    let mut serving = JoinSet::new();
    let router = llm_proxy::control_plane::router(Arc::clone(&following.applier));
    serving.spawn(async move { axum::serve(listener, router).await });
    let shown: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    let names: Vec<_> =
        shown["resources"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["models/tiny", ME]);
    assert_eq!(shown["refused"][0]["name"], "models/odd");
    assert_eq!(shown["digest"], operator.documents().digest().to_string());
    let text = shown.to_string();
    let hash = table(json!([]))["keys"][0]["hash"].as_str().unwrap().to_owned();
    for secret in ["sk-canary", &hash, TOKEN] {
        assert!(!text.contains(secret), "{text}");
    }
}
