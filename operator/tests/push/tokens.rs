//! Who may follow: only the proxies' service account of this cluster, with a token for this.

use crate::support::{DEADLINE, TestBed};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use llm_cluster::{ControlPlane, PROXY_SERVICE_ACCOUNT, TOKEN_AUDIENCE, clock, wait_for};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use std::{fs, time::Duration};

const LIFE: Duration = Duration::from_secs(3600);
/// How long the token is good that runs out during a test.
const SHORT_LIFE: Duration = Duration::from_secs(25);

/// Other claims under a token's signature, as only the cluster itself could make them.
async fn forge(plane: &ControlPlane, token: &SecretString, claims: Value) -> SecretString {
    let (header, payload) = token.expose_secret().split_once('.').unwrap();
    let payload = payload.split_once('.').unwrap().0;
    let mut all: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(all.to_string()));
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    fs::write(&text, &signed).unwrap();
    let key = plane.kubeconfig().with_file_name("sa.key");
    let mut openssl = tokio::process::Command::new("openssl");
    openssl.args(["dgst", "-sha256", "-sign"]).arg(key).arg(&text);
    let made = openssl.output().await.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(made.stdout)).into()
}

fn seconds_from_now(seconds: i64) -> i64 {
    clock::wall().as_second() + seconds
}

#[tokio::test]
async fn who_may_not_follow_is_refused_with_a_reason_that_its_log_has() {
    let testbed = TestBed::with(1, 1).await;
    let (plane, namespace) = (&testbed.installation.plane, &testbed.installation.namespace);
    let good = plane.token(namespace, PROXY_SERVICE_ACCOUNT, TOKEN_AUDIENCE, LIFE).await.unwrap();
    let past = json!({"iat": seconds_from_now(-7200), "nbf": seconds_from_now(-7200), "exp": seconds_from_now(-3600)});
    let elsewhere = plane.namespace().await.unwrap();
    let account = format!(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {PROXY_SERVICE_ACCOUNT}, namespace: {elsewhere}}}\n"
    );
    plane.apply(&account).await.unwrap();
    let other_cluster =
        ControlPlane::options().without_workload_controllers().start().await.unwrap();
    let same_name = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {PROXY_SERVICE_ACCOUNT}, namespace: {namespace}}}\n"
    );
    other_cluster.apply(&same_name).await.unwrap();
    let unknown = "it is not of this cluster, has expired, or is for another audience";
    let cases = [
        ("nonsense", SecretString::from("nonsense"), unknown.to_owned()),
        ("expired", forge(plane, &good, past).await, unknown.to_owned()),
        (
            "another audience",
            plane.token(namespace, PROXY_SERVICE_ACCOUNT, "llm-keys", LIFE).await.unwrap(),
            unknown.to_owned(),
        ),
        (
            "another account",
            plane.token(namespace, "llm-operator", TOKEN_AUDIENCE, LIFE).await.unwrap(),
            format!("system:serviceaccount:{namespace}:llm-operator may not subscribe"),
        ),
        (
            "another namespace",
            plane.token(&elsewhere, PROXY_SERVICE_ACCOUNT, TOKEN_AUDIENCE, LIFE).await.unwrap(),
            format!("system:serviceaccount:{elsewhere}:{PROXY_SERVICE_ACCOUNT} may not subscribe"),
        ),
        (
            "another cluster",
            other_cluster
                .token(namespace, PROXY_SERVICE_ACCOUNT, TOKEN_AUDIENCE, LIFE)
                .await
                .unwrap(),
            unknown.to_owned(),
        ),
    ];

    for (case, token, reason) in cases {
        let proxy = testbed.installation.proxy_with(&token).await.unwrap();
        let what = format!("the log of a proxy with a token of {case} says why");
        let said = async || proxy.log().unwrap().contains(&reason);
        if let Err(late) = wait_for(&what, DEADLINE, said).await {
            panic!("{late}: {}", proxy.log().unwrap());
        }
        let metrics = proxy.metrics().await.unwrap();
        assert_eq!(metrics.get("llm_proxy_control_connected"), 0.0, "{case}");
        assert_eq!(metrics.get("llm_proxy_control_updates_total"), 0.0, "{case}");
        let secret = token.expose_secret();
        assert!(!proxy.log().unwrap().contains(secret), "{case}: the token is in the log");
        assert!(!testbed.operators[0].log().unwrap().contains(secret), "{case}");
    }
    let metrics = testbed.operators[0].metrics().await.unwrap();
    assert_eq!(metrics.get("llm_operator_proxies_connected"), 1.0);
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_goes_on_with_the_next() {
    let mut testbed = TestBed::with(1, 1).await;
    let (plane, namespace) = (&testbed.installation.plane, &testbed.installation.namespace);
    let good = plane.token(namespace, PROXY_SERVICE_ACCOUNT, TOKEN_AUDIENCE, LIFE).await.unwrap();
    let end = seconds_from_now(i64::try_from(SHORT_LIFE.as_secs()).unwrap());
    let short = forge(plane, &good, json!({"exp": end})).await;
    let mut proxy = testbed.installation.proxy_with(&short).await.unwrap();
    proxy.wait_until_ready().await.unwrap();
    let connected = async |wanted: f64| {
        let what = format!("the proxy's being connected is {wanted}");
        let is = async || {
            let metrics = proxy.metrics().await.unwrap();
            metrics.get("llm_proxy_control_connected") == wanted
        };
        wait_for(&what, DEADLINE, is).await.unwrap();
    };

    connected(0.0).await;
    let whole = "llm_operator_push_whole_tables_total";
    let before = testbed.operators[0].metrics().await.unwrap().get(whole);
    let file = testbed.installation.path(&format!("{}.token", proxy.name));
    fs::write(file, good.expose_secret()).unwrap();

    connected(1.0).await;
    assert_eq!(testbed.operators[0].metrics().await.unwrap().get(whole), before);
    testbed.proxies.push(proxy);
    testbed.add_model("after").await;
}
